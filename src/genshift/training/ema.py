"""The moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RAMP = (
    0.1  # the half-life is at most this share of the images seen, so that the start is soon forgotten (EDM's ramp-up)
)


class MovingAverage:
    """An exponential moving average of networks, with its half-life counted in images.

    θ_ema ← θ_ema + (1 - 2^(-batch/h)) (θ - θ_ema), h = min(half_life, RAMP · images seen), for weights and BatchNorm
    statistics; counters are copied.
    """

    def __init__(self, networks: dict[str, nn.Module], half_life: int) -> None:
        self.half_life = half_life
        self.state = {name: value.detach().clone() for name, value in _flat(networks).items()}

    @torch.no_grad()
    def update(self, networks: dict[str, nn.Module], batch: int, seen: int) -> None:
        """Moves the average by one step of `batch` images, `seen` being the images seen before it."""
        half_life = min(self.half_life, RAMP * seen)
        weight = 1.0 - 0.5 ** (batch / half_life) if half_life > 0 else 1.0
        now = _flat(networks)
        floating = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in floating], [now[n] for n in floating], weight)
        for name in now.keys() - set(floating):
            self.state[name].copy_(now[name])

    def of(self, name: str) -> dict[str, Tensor]:
        """The averaged state dict of one network."""
        return {k.removeprefix(f"{name}."): v for k, v in self.state.items() if k.startswith(f"{name}.")}


def _flat(networks: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
