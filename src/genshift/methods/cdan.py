"""CDAN+E (Long et al. 2018, arXiv 1705.10667): an adversary of domains that sees what class an image is taken for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.methods.aligning import Aligning, certainty
from genshift.methods.base import wide
from genshift.methods.dann import GradientReversal, domain_accuracy
from genshift.methods.schedules import Progress
from genshift.nets.layers import from_all


class CDANMethod(Aligning):
    """`domain` judges features and class probabilities together; it learns as DANN's does, by a reversed gradient that
    grows with DANN's λ. The probabilities take no gradient, as in the paper's code. BatchNorm: as `Aligning`."""

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted adversary's loss, reversed towards the extractor."""
        lam = self.lam(progress)
        told = wide(self.nets["domain"](GradientReversal.apply(features, lam), logits.detach().softmax(1)))
        loss = conditional_loss(told, certainty(logits), sources)
        scalars = {"loss_domain": loss.detach(), "domain_accuracy": domain_accuracy(told, sources)}
        return loss, {**scalars, "lam": torch.tensor(lam)}


def conditional_loss(told: Tensor, weights: Tensor, sources: int) -> Tensor:
    """-E w log D(source) - E w log(1 - D(target)) of logits `[N, 1]` and weights w = 1 + e^(-H) `[N]` (entropy
    conditioning), in each domain divided by their mean over the whole batch."""
    signs = (told[:sources, 0], -told[sources:, 0])
    own = weights[:sources], weights[sources:]
    terms = [-(w / from_all(w).mean() * F.logsigmoid(z)).mean() for z, w in zip(signs, own, strict=True)]
    return terms[0] + terms[1]
