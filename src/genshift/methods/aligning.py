"""What methods share that learn the source's labels and, beside it, something about both domains at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genshift.data.feed import Batch
from genshift.methods.base import at_least_float32
from genshift.methods.dann import Adversarial, both_features
from genshift.methods.schedules import Progress
from genshift.methods.supervised import label_loss, labelled_scalars
from genshift.presets import BenchmarkPreset


class Aligning(Adversarial):
    """L = L_label(source) + `transfer`(both domains), by one optimizer over every network.

    BatchNorm (`own`): each domain is normalised by its own batch, and keeps its own running statistics for answering.
    So every such method begins where AdaBN ends, and what it adds is not what statistics alone align.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on labelled source and unlabelled target images."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        with self.arithmetic.autocast():
            features = both_features(self.nets["extractor"], source.x, target.x, self.preset.statistics)
            logits = at_least_float32(self.nets["predictor"](features))
        loss_transfer, scalars = self.transfer(features, logits, len(source.y), progress)
        loss_label = label_loss(logits[: len(source.y)], source.y)
        self._descend("all", loss_label + loss_transfer)
        return {**labelled_scalars(loss_label, logits[: len(source.y)], source.y), **scalars}

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What is added to the label loss, and scalars to show, of features `[N, D]` and logits `[N, K]` in float32 or
        float64; the first `sources` rows are the source's."""
        raise NotImplementedError


def entropy(logits: Tensor) -> Tensor:
    """H of the softmax of logits `[N, K]`, in nats: `[N]`."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


@torch.no_grad()
def certainty(logits: Tensor) -> Tensor:
    """1 + e^(-H), from 1 + 1/K of a guess to 2 of a certainty, `[N]` of logits `[N, K]`: how much an image counts in
    CDAN+E and MCC. Without a gradient: a weight is nothing to be learnt."""
    return 1 + (-entropy(logits)).exp()
