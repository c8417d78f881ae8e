"""MCD (Saito et al. 2018, arXiv 1712.02560): features on which two classifiers that know the source agree."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genshift.data.feed import Batch
from genshift.methods.base import ClassifierMethod, Frozen, at_least_float32
from genshift.methods.dann import both_features
from genshift.methods.schedules import Progress
from genshift.methods.supervised import label_loss, labelled_scalars
from genshift.nets.backbone import BackboneParts
from genshift.nets.layers import in_domain
from genshift.presets import BenchmarkPreset

PREDICTORS = ("predictor", "second_predictor")


class MCD(ClassifierMethod):
    """G is `extractor`, F_1 `predictor`, which answers, F_2 `second_predictor`. A step is the paper's three (section
    3.3): A, all learn the source's labels; B, F_1 and F_2 draw apart on the target and keep the source; C,
    `generator_steps` times, G takes the target's features to where they agree.

    G and the two F have an optimizer each, at one learning rate. BatchNorm: each domain passes by itself, as in the
    paper's code; running statistics are each domain's own.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """F_2, initialised otherwise than F_1."""
        return {"second_predictor": parts.predictor()}

    def set_up(self) -> None:
        self.optimizers = {
            "extractor": self._optimizer(self.preset.lr, "extractor"),
            "predictors": self._optimizer(self.preset.lr, *PREDICTORS),
        }

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """Steps A, B and C on labelled source and unlabelled target images."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        scalars = self.learn_labels(source.x, source.y)
        apart = self.draw_apart(source.x, source.y, target.x)
        for _ in range(self.preset.generator_steps):
            together = self.draw_together(target.x)
        return {**scalars, "discrepancy_before": apart, "discrepancy": together}

    def learn_labels(self, xs: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Step A: min over G, F_1, F_2 of L(X_s, Y_s)."""
        with self.arithmetic.autocast():
            features = in_domain(self.nets["extractor"], "source")(xs)
            z1, z2 = self._logits_of_both(features, self.nets)
        loss = label_loss(z1, y) + label_loss(z2, y)
        self.optimizers["predictors"].zero_grad(set_to_none=True)
        self._descend("extractor", loss)
        self.optimizers["predictors"].step()
        return labelled_scalars(loss / 2, z1, y)

    def draw_apart(self, xs: Tensor, y: Tensor, xt: Tensor) -> Tensor:
        """Step B: min over F_1, F_2 of L(X_s, Y_s) - L_adv(X_t), G being as it is; L_adv(X_t) before it."""
        with self.arithmetic.autocast():
            with torch.no_grad():
                features = both_features(self.networks["extractor"], xs, xt, self.preset.statistics)
            z1, z2 = self._logits_of_both(features, self.nets)
        loss_label = label_loss(z1[: len(y)], y) + label_loss(z2[: len(y)], y)
        loss_adversary = discrepancy(z1[len(y) :], z2[len(y) :])
        self._descend("predictors", loss_label - loss_adversary)
        return loss_adversary.detach()

    def draw_together(self, xt: Tensor) -> Tensor:
        """Step C: min over G of L_adv(X_t), F_1 and F_2 being as they are; L_adv(X_t) before it."""
        with Frozen(self.networks["predictor"]), Frozen(self.networks["second_predictor"]):
            with self.arithmetic.autocast():
                features = in_domain(self.nets["extractor"], "target")(xt)
                z1, z2 = self._logits_of_both(features, self.networks)
            loss_adversary = discrepancy(z1, z2)
            self._descend("extractor", loss_adversary)
        return loss_adversary.detach()

    def _logits_of_both(self, features: Tensor, nets: Mapping[str, nn.Module]) -> list[Tensor]:
        return [at_least_float32(nets[name](features)) for name in PREDICTORS]


def discrepancy(z1: Tensor, z2: Tensor) -> Tensor:
    """L_adv = E d(p_1, p_2), d = 1/K Σ_k |p_1k - p_2k| (equation 1), from 0 to 2/K, p being the softmax of logits
    `[N, K]`."""
    return (z1.softmax(1) - z2.softmax(1)).abs().mean()
