"""The moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of networks, with its half-life counted in images.

    θ_ema ← θ_ema + (1 - 2^(-batch/half_life)) (θ - θ_ema), for weights and BatchNorm statistics; counters are copied.
    """

    def __init__(self, networks: dict[str, nn.Module], half_life: int) -> None:
        self.half_life = half_life
        self.state = {
            f"{name}.{key}": value.detach().clone()
            for name, net in networks.items()
            for key, value in net.state_dict().items()
        }

    @torch.no_grad()
    def update(self, networks: dict[str, nn.Module], batch: int) -> None:
        """Moves the average by one step of `batch` images."""
        weight = 1.0 - 0.5 ** (batch / self.half_life)
        for name, net in networks.items():
            for key, value in net.state_dict().items():
                mean = self.state[f"{name}.{key}"]
                mean.lerp_(value, weight) if value.is_floating_point() else mean.copy_(value)

    def of(self, name: str) -> dict[str, Tensor]:
        """The averaged state dict of one network."""
        return {k.removeprefix(f"{name}."): v for k, v in self.state.items() if k.startswith(f"{name}.")}
