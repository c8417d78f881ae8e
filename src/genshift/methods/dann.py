"""Domain-adversarial training of neural networks (Ganin et al. 2016, arXiv 1505.07818).

Two readings of one idea, an extractor whose features do not tell the domains apart:

- `reversal` (hw3; the paper's equations 10 to 18): one step, the domain loss's gradient reversed and scaled by λ on its
  way into the extractor.
- `alternating` (hw2; its cited source, ML2021 HW11): first the domain classifier steps on detached features, then
  extractor and predictor step on L_label - λ L_domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.methods.base import ClassifierMethod, at_least_float32
from genshift.methods.schedules import Progress, dann_lambda
from genshift.methods.supervised import label_loss, labelled_scalars
from genshift.nets.layers import all_gather_rows, in_domain
from genshift.presets import Adaptation


class GradientReversal(torch.autograd.Function):
    """R(x) = x with dR/dx = -λ I (equations 14 and 15)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: float) -> Tensor:
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.lam * grads[0], None


class Adversarial(ClassifierMethod):
    """A method whose extractor an adversary of domains, `domain`, pushes with λ."""

    preset: Adaptation

    def lam(self, progress: Progress) -> float:
        """λ at `progress`."""
        ramp = dann_lambda(progress.fraction) if self.preset.lam_schedule == "dann" else 1.0
        return self.preset.lam * ramp

    def reversed_loss(
        self, progress: Progress, sources: int, features: Tensor, *others: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`domain_loss` of the adversary, its gradient reversed and times λ on its way into `features`; and scalars to
        show. `others` is what the adversary sees besides."""
        lam = self.lam(progress)
        with self.arithmetic.autocast():
            domain_logits = self.nets["domain"](GradientReversal.apply(features, lam), *others)
        loss = domain_loss(domain_logits, sources, weights)
        return loss, {**adversary_scalars(loss, domain_logits, sources), "lam": torch.tensor(lam)}


class DANN(Adversarial):
    """Labels from the source, an adversary of domains over both.

    BatchNorm of the extractor: `mixed` takes its statistics over source and target in one batch; `apart` passes each
    domain by itself, so that each is normalised by its own. Its running statistics see both domains either way; in
    `own` each domain has running ones of its own too.
    """

    draws = ("source", "target")

    def set_up(self) -> None:
        model = ("extractor", "predictor")
        if self.preset.adversary == "reversal":
            self.optimizers = {"all": self._optimizer(self.preset.lr, *model, "domain")}
        else:
            self.optimizers = {
                "model": self._optimizer(self.preset.lr, *model),
                "domain": self._optimizer(self.preset.lr, "domain"),
            }

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on labelled source and unlabelled target images."""
        play = self._reversal if self.preset.adversary == "reversal" else self._alternating
        return play(batch, progress)

    def features(self, batch: Mapping[str, Batch]) -> Tensor:
        """Features of source then target `[N_s + N_t, D]`, with the chosen BatchNorm statistics."""
        return both_features(self.nets["extractor"], batch["source"].x, batch["target"].x, self.preset.statistics)

    def _reversal(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        y = batch["source"].y
        assert y is not None
        with self.arithmetic.autocast():
            features = self.features(batch)
            logits = self.nets["predictor"](features[: len(y)])
        loss_domain, scalars = self.reversed_loss(progress, len(y), features)
        loss_label = label_loss(logits, y)
        self._descend("all", loss_label + loss_domain)
        return {**labelled_scalars(loss_label, logits, y), **scalars}

    def _alternating(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        y, lam = batch["source"].y, self.lam(progress)
        assert y is not None
        with self.arithmetic.autocast():
            features = self.features(batch)
            domain_logits = self.nets["domain"](features.detach())
        loss_adversary = mixed_loss(domain_logits, len(y))
        self._descend("domain", loss_adversary)

        with self.arithmetic.autocast():
            logits = self.nets["predictor"](features[: len(y)])
            confused = self.nets["domain"](features)
        loss_label = label_loss(logits, y)
        self._descend("model", loss_label - lam * mixed_loss(confused, len(y)))
        adversary = adversary_scalars(loss_adversary, domain_logits, len(y))
        return {**labelled_scalars(loss_label, logits, y), **adversary, "lam": torch.tensor(lam)}


def both_features(extractor: nn.Module, xs: Tensor, xt: Tensor, statistics: str) -> Tensor:
    """Features of source then target `[N_s + N_t, D]`, in one pass where `statistics` are mixed, else in two."""
    if statistics == "mixed":
        return extractor(torch.cat([xs, xt]))
    return torch.cat([in_domain(extractor, "source")(xs), in_domain(extractor, "target")(xt)])


def domain_loss(domain_logits: Tensor, sources: int, weights: Tensor | None = None) -> Tensor:
    """-E log D(source) - E log(1 - D(target)), the first `sources` rows being the source's: a mean over each domain,
    then their sum (equation 9 of the paper), so that unequal batches weigh the same.

    domain_logits: D's logits `[N, 1]`, or log-probabilities `[N, 2]`. weights, `[N]`: how much an image counts, in each
    domain over their mean in the whole batch (CDAN+E).
    """
    odds = source_odds(domain_logits)
    terms = [F.logsigmoid(odds[:sources]), F.logsigmoid(-odds[sources:])]
    if weights is not None:
        own = weights[:sources], weights[sources:]
        terms = [term * (w / all_gather_rows(w).mean()) for term, w in zip(terms, own, strict=True)]
    return -terms[0].mean() - terms[1].mean()


def mixed_loss(domain_logits: Tensor, sources: int) -> Tensor:
    """Binary cross-entropy over the mixed batch, source = 1 (hw2's cited source), of what `domain_loss` takes."""
    odds = source_odds(domain_logits)
    return F.binary_cross_entropy_with_logits(odds, _is_source(odds, sources).to(odds.dtype))


def domain_accuracy(domain_logits: Tensor, sources: int) -> Tensor:
    """The mean over both domains of the share told apart rightly: 0.5 is full confusion, whatever the batches."""
    odds = source_odds(domain_logits.detach())
    right = ((odds > 0) == _is_source(odds, sources)).float()
    return (right[:sources].mean() + right[sources:].mean()) / 2


def source_odds(domain_logits: Tensor) -> Tensor:
    """D's log odds of the source `[N]`, in float32 at least, of its logits `[N, 1]` or log-probabilities `[N, 2]`."""
    domain_logits = at_least_float32(domain_logits)
    return domain_logits[:, 0] if domain_logits.shape[1] == 1 else domain_logits[:, 0] - domain_logits[:, 1]


def _is_source(odds: Tensor, sources: int) -> Tensor:
    return torch.arange(len(odds), device=odds.device) < sources


def adversary_scalars(loss: Tensor, domain_logits: Tensor, sources: int) -> dict[str, Tensor]:
    """What a step of the adversary shows."""
    return {"loss_domain": loss.detach(), "domain_accuracy": domain_accuracy(domain_logits, sources)}
