"""CDAN+E (Long et al. 2018, arXiv 1705.10667): an adversary of domains that sees what class an image is taken for."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.methods.aligning import Aligning, certainty
from genshift.methods.dann import GradientReversal, domain_accuracy, domain_loss
from genshift.methods.schedules import Progress


class CDANMethod(Aligning):
    """`domain` judges features and class probabilities together; it learns as DANN's does, by a reversed gradient that
    grows with DANN's λ. The probabilities take no gradient, as in the paper's code. BatchNorm: as `Aligning`."""

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The adversary's loss, each image weighted by 1 + e^(-H) (entropy conditioning), reversed towards the
        extractor."""
        lam = self.lam(progress)
        told = self.nets["domain"](GradientReversal.apply(features, lam), logits.detach().softmax(1))
        loss = domain_loss(told, sources, certainty(logits))
        scalars = {"loss_domain": loss.detach(), "domain_accuracy": domain_accuracy(told, sources)}
        return loss, {**scalars, "lam": torch.tensor(lam)}
