"""What every method offers the loop and the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genshift.data.feed import Batch, PixelRule
from genshift.data.imageset import ImageSet
from genshift.device import Arithmetic
from genshift.methods.schedules import Progress

EVALUATION_BATCH = 500


class Method:
    """How networks learn: losses and one optimisation step; and how a learnt model answers.

    `networks` are the modules whose state is saved. `nets` are what a step calls: the same modules, or their
    data-parallel wrappers. `optimizers` are stepped by the method; their learning rates are set by the loop.
    """

    draws: ClassVar[tuple[str, ...]]
    networks: dict[str, nn.Module]
    nets: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    arithmetic: Arithmetic
    rule: PixelRule

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One optimisation step; scalars that stay on the device."""
        raise NotImplementedError

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Measures on held-out images, by name; the first one chooses the best checkpoint (larger is better), and
        "error", where given, is its standard error."""
        raise NotImplementedError

    def train_mode(self, on: bool) -> None:
        """Puts every network in training or evaluation mode."""
        for net in self.networks.values():
            net.train(on)


class Classifying(Method):
    """A method whose model is an extractor followed by a label predictor."""

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """uint8 `[N, C, H, W]` to the latent features, float32 `[N, D]` on the CPU."""
        return torch.cat([self._features(chunk).float().cpu() for chunk in images.split(EVALUATION_BATCH)])

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """uint8 `[N, C, H, W]` to class probabilities, float32 `[N, K]` on the CPU."""
        chunks = images.split(EVALUATION_BATCH)
        return torch.cat([self._logits(self._features(chunk)).softmax(1).cpu() for chunk in chunks])

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Accuracy on held-out labelled images, with its binomial error."""
        assert held_out.labels is not None
        value = (self.predict(held_out.images).argmax(1) == held_out.labels.cpu()).double().mean().item()
        return {"accuracy": value, "error": math.sqrt(value * (1 - value) / len(held_out))}

    def _features(self, images: Tensor) -> Tensor:
        self.train_mode(False)
        with self.arithmetic.autocast():
            return self.networks["extractor"](self.rule(images, self.arithmetic))

    def _logits(self, features: Tensor) -> Tensor:
        with self.arithmetic.autocast():
            return self.networks["predictor"](features).float()
