"""Minimum class confusion (Jin et al. 2020, arXiv 1912.03699), alone or beside DANN's adversary."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.methods.aligning import Aligning, certainty
from genshift.methods.dann import GradientReversal, domain_accuracy, domain_loss
from genshift.methods.schedules import Progress
from genshift.nets.layers import from_all
from genshift.presets.beyond import MCC


class MCCMethod(Aligning):
    """Class confusion, and DANN's loss where there is an adversary `domain`. BatchNorm: as `Aligning`."""

    preset: MCC

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted class confusion of the whole batch's target images, and the adversary's loss."""
        confusion = class_confusion(from_all(logits[sources:]), self.preset.temperature)
        loss, scalars = self.preset.mcc * confusion, {"loss_confusion": confusion.detach()}
        if "domain" not in self.nets:
            return loss, scalars
        lam = self.lam(progress)
        told = self.nets["domain"](GradientReversal.apply(features, lam))
        loss_domain = domain_loss(told, sources)
        adversary = {"loss_domain": loss_domain.detach(), "domain_accuracy": domain_accuracy(told, sources)}
        return loss + loss_domain, {**scalars, **adversary, "lam": torch.tensor(lam)}


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
