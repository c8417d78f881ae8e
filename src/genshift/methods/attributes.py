"""Learning attributes that do not exclude one another; its features measure generated pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.data.imageset import ImageSet
from genshift.methods.base import Domain, at_least_float32
from genshift.methods.schedules import Progress
from genshift.methods.supervised import Supervised
from genshift.metrics.classification import error_of_mean


class Attributes(Supervised):
    """Binary cross-entropy of every attribute."""

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on pictures and their attributes."""
        data = batch["data"]
        assert data.attributes is not None
        with self.arithmetic.autocast():
            logits = self.nets["predictor"](self.nets["extractor"](data.x))
        logits = at_least_float32(logits)
        has = data.attributes.to(logits)
        loss = F.binary_cross_entropy_with_logits(logits, has)
        self.optimizers["all"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["all"].step()
        return {"loss": loss.detach(), "accuracy": ((logits.detach() > 0) == (has > 0)).float().mean()}

    @torch.inference_mode()
    def predict(self, images: Tensor, domain: Domain = "target") -> Tensor:
        """uint8 `[N, C, H, W]` to the probability of each attribute, float32 `[N, A]` on the CPU."""
        return torch.cat([self._logits(self._features(chunk)).sigmoid().cpu() for chunk in self._chunks(images)])

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """The mean over the attributes of held-out accuracy, with its standard error over pictures."""
        assert held_out.attributes is not None
        right = ((self.predict(held_out.images) > 0.5) == (held_out.attributes.cpu() > 0)).double().mean(1)
        return {"accuracy": right.mean().item(), "error": error_of_mean(right)}
