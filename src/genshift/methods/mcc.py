"""Minimum class confusion (Jin et al. 2020, arXiv 1912.03699), alone or beside DANN's adversary."""

from __future__ import annotations

from torch import Tensor

from genshift.methods.aligning import Aligning, certainty
from genshift.methods.schedules import Progress
from genshift.nets.layers import all_gather_rows
from genshift.presets import BenchmarkPreset


class MCC(Aligning):
    """Class confusion, and DANN's loss where there is an adversary `domain`. BatchNorm: as `Aligning`."""

    preset: BenchmarkPreset

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted class confusion of the whole batch's target images, and the adversary's loss."""
        confusion = class_confusion(all_gather_rows(logits[sources:]), self.preset.temperature)
        loss, scalars = self.preset.mcc * confusion, {"loss_confusion": confusion.detach()}
        if "domain" not in self.nets:
            return loss, scalars
        loss_domain, adversary = self.reversed_loss(progress, sources, features)
        return loss + loss_domain, {**scalars, **adversary}


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """How much probability classes share, of target logits `[N, K]`.

    Ŷ is their softmax at `temperature` (probability rescaling); images weigh N (1 + e^(-H)) over the sum of that
    (uncertainty reweighting); C = Ŷᵀ W Ŷ (class correlation) with rows that sum to 1 (category normalisation); the mean
    over classes of what lies off its diagonal.
    """
    y = (logits / temperature).softmax(1)
    weights = certainty(logits / temperature)
    confusion = y.t() @ (y * (weights / weights.mean())[:, None])
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / len(confusion)
