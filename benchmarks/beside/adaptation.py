"""Domain adaptation: a plain loop, genshift, pytorch-adapt and skada over the same networks and batches.

DANN is played by one reversed gradient with λ = 1 in all arms. What is each one's own: in skada both domains pass the
extractor, and so its BatchNorm, in one batch; pytorch-adapt shows the discriminator one domain after the other, and
reads every loss back in every step. Of CDAN, pytorch-adapt scales its entropy weights by the largest, and skada gives
the adversary logits where the paper has probabilities: their losses differ from the reference in the third digit.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beside.arms import Arm, Genshift, Loss
from beside.tasks import plain_networks
from genshift.methods.aligning import certainty
from genshift.methods.dann import GradientReversal, domain_loss, source_odds
from genshift.methods.mcc import class_confusion
from genshift.methods.schedules import Progress


def reference(
    task: str, networks: dict[str, nn.Module], batch: Any, preset: Any, together: bool, apart: bool
) -> Tensor:
    """The loss that plain PyTorch computes of the first batch: source pictures, labels, target pictures.

    together: both domains pass the extractor in one batch; apart: the adversary sees one after the other.
    """
    networks = {name: copy.deepcopy(net).train() for name, net in networks.items()}
    xs, ys, xt = batch
    extractor, predictor = networks["extractor"], networks["predictor"]
    if together:
        fs, ft = extractor(torch.cat([xs, xt])).split([len(xs), len(xt)])
    else:
        fs, ft = extractor(xs), extractor(xt)
    logits = predictor(torch.cat([fs, ft]))
    label = F.cross_entropy(logits[: len(xs)], ys)
    if task == "mcc":
        return label + preset.mcc * class_confusion(logits[len(xs) :], preset.temperature)
    domain = networks["domain"]
    seen = [(f, g) for f, g in zip((fs, ft), logits.softmax(1).split([len(xs), len(xt)]), strict=True)]
    given = [(f, g) if task == "cdan" else (f,) for f, g in seen]
    if apart:
        odds = torch.cat([domain(*one) for one in given])
    else:
        odds = domain(*(torch.cat(both) for both in zip(*given, strict=True)))
    weights = certainty(logits) if task == "cdan" and not together else None
    return label + domain_loss(odds, len(xs), weights)


class TwoDomains(Arm):
    """What the arms share that are not genshift's."""

    def first_batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source pictures, their labels, target pictures."""
        return (*self.first("source"), self.first("target")[0])

    def adam(self, *names: str) -> torch.optim.Optimizer:
        """PyTorch's optimizer of the preset over the networks of these names."""
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.preset.optimizer]
        return kind([p for name in names for p in self.networks[name].parameters()], lr=self.preset.lr)


class Plain(TwoDomains):
    """The loop as a tutorial writes it: float32, NCHW, PyTorch's layers and Adam, a loss read back in every step."""

    def build(self) -> None:
        self.networks = plain_networks(self.task)
        self.optimizer = self.adam(*self.networks)
        self.data = self.loader("source"), self.loader("target")

    def loss(self, xs: Tensor, ys: Tensor, xt: Tensor) -> Tensor:
        extractor, predictor, domain = (self.networks[n] for n in ("extractor", "predictor", "domain"))
        features = torch.cat([extractor(xs), extractor(xt)])
        loss = F.cross_entropy(predictor(features[: len(xs)]), ys)
        return loss + domain_loss(domain(GradientReversal.apply(features, 1.0)), len(xs))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            (xs, ys), (xt, _) = (next(loader) for loader in self.data)
            loss = self.loss(xs, ys, xt)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()

    def first_loss(self) -> Loss:
        expected = reference("dann", dict(self.networks), self.first_batch(), self.preset, False, False)
        return Loss(self.loss(*self.first_batch()).item(), expected.item())


class OurAdaptation(Genshift):
    """genshift's step of the method."""

    def first_loss(self) -> Loss | None:
        batches = self.first_batches()
        name = self.preset.method
        if name == "adda":
            return None
        networks = plain_networks(self.task)
        batch = batches["source"].x, batches["source"].y, batches["target"].x
        expected = reference(name, networks, batch, self.preset, False, False)
        told = self.method.step(batches, Progress(0, self.total))
        parts = [told["loss_label"], told["loss_confusion"] * self.preset.mcc if name == "mcc" else told["loss_domain"]]
        return Loss(sum(part.item() for part in parts), expected.item())


# --- pytorch-adapt ----------------------------------------------------------------------------------------------------


class Odds(nn.Module):
    """A domain classifier as pytorch-adapt wants it: one logit `[N]`, positive for the target."""

    def __init__(self, domain: nn.Module) -> None:
        super().__init__()
        self.domain = domain

    def forward(self, *features: Tensor) -> Tensor:
        return -source_odds(self.domain(*features))


class PytorchAdapt(TwoDomains):
    """An adapter of pytorch-adapt, its `training_step` on each batch; losses are summed as the paper's are."""

    def build(self) -> None:
        self.networks = plain_networks(self.task)
        self.adapter = self._adapter(self.preset.method)
        self.data = self.loader("source"), self.loader("target")

    def _adapter(self, method: str) -> Any:
        from pytorch_adapt import adapters
        from pytorch_adapt.containers import Misc, Models, Optimizers
        from pytorch_adapt.hooks import MCCHook
        from pytorch_adapt.hooks.classification import FeaturesAndLogitsHook
        from pytorch_adapt.layers import MCCLoss
        from pytorch_adapt.weighters import SumWeighter

        nets, summed = dict(self.networks), {"weighter": SumWeighter()}
        models = {"G": nets["extractor"], "C": nets["predictor"]}
        if method == "cdan":
            models["D"] = Odds(nets["domain"].judge)
            # Its key of each name is given features and probabilities of one domain.
            misc = Misc({"feature_combiner": Combined(nets["domain"])})
            made = Models(models), self._optimizers(Optimizers)
            return adapters.CDANNE(models=made[0], optimizers=made[1], misc=misc, hook_kwargs=summed)
        if method == "mcc":
            post = [FeaturesAndLogitsHook(domains=["target"]), MCCHook(loss_fn=MCCLoss(T=self.preset.temperature))]
            return adapters.Classifier(
                models=Models(models), optimizers=self._optimizers(Optimizers), hook_kwargs={**summed, "post": post}
            )
        models["D"] = Odds(nets["domain"])
        if method == "adda":
            models["G"] = nets["source_extractor"]
            return adapters.ADDA(
                models=Models(models), optimizers=self._optimizers(Optimizers, "D", "T"), hook_kwargs={"threshold": 0.0}
            )
        return adapters.DANN(models=Models(models), optimizers=self._optimizers(Optimizers), hook_kwargs=summed)

    def _optimizers(self, container: Any, *keys: str) -> Any:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.preset.optimizer]
        return container((kind, {"lr": self.preset.lr}), **({"keys": list(keys)} if keys else {}))

    def run(self, steps: int) -> None:
        self.adapter.models.train()
        for _ in range(steps):
            (xs, ys), (xt, _) = (next(loader) for loader in self.data)
            self.adapter.training_step(as_batch(xs, ys, xt))

    def first_loss(self) -> Loss | None:
        name = self.preset.method
        if name == "adda":
            return None
        batch = self.first_batch()
        expected = reference(name, dict(self.networks), batch, self.preset, False, True)
        self.adapter.models.train()
        told = self.adapter.training_step(as_batch(*batch))
        return Loss(told["total_loss"]["total"], expected.item())


class Combined(nn.Module):
    """CDAN's joint map of features and probabilities."""

    def __init__(self, domain: nn.Module) -> None:
        super().__init__()
        self.domain = domain

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return self.domain.joint(features, probabilities)


def as_batch(xs: Tensor, ys: Tensor, xt: Tensor) -> dict[str, Tensor]:
    """A batch under the names that pytorch-adapt's hooks look for."""
    return {
        "src_imgs": xs, "src_labels": ys, "target_imgs": xt,
        "src_domain": torch.zeros(len(xs)), "target_domain": torch.ones(len(xt)),
        "src_sample_idx": torch.arange(len(xs)), "target_sample_idx": torch.arange(len(xt)),
    }  # fmt: skip


# --- skada ------------------------------------------------------------------------------------------------------------


class Classified(nn.Module):
    """Extractor and predictor as one network, whose layer `extractor` skada looks at."""

    def __init__(self, extractor: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.extractor, self.predictor = extractor, predictor

    def forward(self, X: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        return self.predictor(self.extractor(X))


class Reversed(nn.Module):
    """The adversary behind a reversed gradient, one logit `[N]`, positive for the target. In skada's CDAN it is given
    the joint map alone."""

    def __init__(self, domain: nn.Module) -> None:
        super().__init__()
        self.domain = domain

    def forward(self, features: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        return -source_odds(self.domain(GradientReversal.apply(features, 1.0)))


class Skada(TwoDomains):
    """skada's estimator, fitted for as many epochs as make the steps; it takes arrays in memory."""

    def build(self) -> None:
        self.networks = plain_networks(self.task)
        self.net = self._net(self.preset.method).initialize()
        self.arrays = {name: self.pictures[name].floats(self.preset).numpy() for name in self.sizes}

    def _net(self, method: str) -> Any:
        from skada.deep import CDAN, DANN, MCC

        nets = self.networks
        module = Classified(nets["extractor"], nets["predictor"])
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.preset.optimizer]
        options: dict[str, Any] = {
            "layer_name": "extractor", "batch_size": self.batch, "max_epochs": 1, "train_split": None,
            "optimizer": kind, "lr": self.preset.lr, "verbose": 0,
        }  # fmt: skip
        if method == "mcc":
            return MCC(module, T=self.preset.temperature, reg=self.preset.mcc, **options)
        judged: dict[str, Any] = {"domain_criterion": nn.BCEWithLogitsLoss()}
        if method == "cdan":
            domain = Reversed(nets["domain"].judge)
            return CDAN(module, domain_classifier=domain, n_classes=10, num_features=256, **judged, **options)
        return DANN(module, domain_classifier=Reversed(nets["domain"]), **judged, **options)

    def run(self, steps: int) -> None:
        images = steps * self.batch
        xs, xt = (np.resize(self.arrays[name], (images, *self.arrays[name].shape[1:])) for name in self.sizes)
        ys = np.resize(self.pictures["source"].labels, images)
        X, y, domains = joined(xs, ys, xt)
        self.net.partial_fit({"X": X, "sample_domain": domains}, y)

    def first_loss(self) -> Loss:
        name = self.preset.method
        xs, ys, xt = self.first_batch()
        expected = reference(name, dict(self.networks), (xs, ys, xt), self.preset, True, False)
        X, y, domains = joined(xs.numpy(), ys.numpy(), xt.numpy())
        self.net.module_.train()
        answers = self.net.module_(torch.from_numpy(X), sample_domain=torch.from_numpy(domains))
        return Loss(self.net.criterion_(answers, torch.from_numpy(y)).item(), expected.item())


def joined(xs: np.ndarray, ys: np.ndarray, xt: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both domains as skada wants them: pictures, labels (-1: none), domains (above 0: a source)."""
    y = np.concatenate([ys, np.full(len(xt), -1)]).astype(np.int64)
    domains = np.concatenate([np.ones(len(xs)), np.full(len(xt), -2)]).astype(np.int64)
    return np.concatenate([xs, xt]).astype(np.float32), y, domains


ARMS: dict[str, type[Arm]] = {
    "plain": Plain,
    "genshift": OurAdaptation,
    "pytorch-adapt": PytorchAdapt,
    "skada": Skada,
}
