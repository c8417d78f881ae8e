"""Augmentation of whole batches on their device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genshift.data.batches import seed_of


@dataclass(frozen=True)
class Augment:
    """Random flips, small affine moves, other colours.

    flip: probability of a horizontal flip (0 for digits). degrees, shift (of the side), scale: largest
    rotation, translation and relative enlargement, each drawn evenly from − to +. recolour: probability that an
    image's channels are put in another order, and each inverted with probability `invert`. strong: probability that
    an image is seen in its strong view (`genshift.data.strong`).
    """

    flip: float = 0.0
    degrees: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    recolour: float = 0.0
    strong: float = 0.0
    invert: float = 0.5

    @property
    def idle(self) -> bool:
        """Whether images stay where they are."""
        return not (self.flip or self.degrees or self.shift or self.scale)

    def draw(self, count: int, seed: int, seen: int) -> Tensor:
        """float32 `[count, 2, 3]`: an affine map for each image of the GLOBAL batch that begins at `seen`.

        A process takes its own rows; so what an image undergoes does not depend on how many processes share
        the batch.
        """
        generator = torch.Generator().manual_seed(seed_of("augment", seed, seen))
        return self.maps(torch.rand(count, 5, generator=generator))

    def maps(self, u: Tensor) -> Tensor:
        """float32 `[N, 2, 3]`: the affine maps that numbers u from U[0, 1), `[N, 5]`, stand for."""
        angle, dx, dy, grow = (2 * u[:, :4] - 1).unbind(1)
        angle = angle * math.radians(self.degrees)
        grow = 1 / (1 + grow * self.scale)
        mirror = torch.where(u[:, 4] < self.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle) * grow, torch.sin(angle) * grow
        # grid_sample asks where each output pixel comes from, in [−1, 1]: hence a shift of the side counts
        # twice.
        first = torch.stack([cos * mirror, -sin, 2 * self.shift * dx], 1)
        second = torch.stack([sin * mirror, cos, 2 * self.shift * dy], 1)
        return torch.stack([first, second], 1)

    def apply(self, x_NCHW: Tensor, maps_N23: Tensor) -> Tensor:
        """Floats `[N, C, H, W]` moved by their maps, bilinear; the border is repeated outwards."""
        if self.idle:
            return x_NCHW
        maps = maps_N23.to(x_NCHW.device, x_NCHW.dtype)
        if not (self.degrees or self.shift or self.scale):  # flips alone: exact, and much cheaper than sampling
            flipped = (maps[:, 0, 0] < 0).view(-1, 1, 1, 1)
            return torch.where(flipped, x_NCHW.flip(-1), x_NCHW)
        grid = F.affine_grid(maps, list(x_NCHW.shape), align_corners=False)
        return F.grid_sample(x_NCHW, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def colours(self, x: Tensor, u: Tensor, middle: float) -> Tensor:
        """Floats `[N, C, H, W]` recoloured by numbers u from U[0, 1), `[N, 1 + 2 C]`; `middle` is the value of
        mid-grey, about which a channel is inverted."""
        channels = x.shape[1]
        changed, places, inverts = u.to(x.device).split([1, channels, channels], 1)
        changed = changed < self.recolour
        order = torch.where(changed, places.argsort(1), torch.arange(channels, device=x.device))
        x = x.gather(1, order[:, :, None, None].expand_as(x))
        return torch.where((changed & (inverts < self.invert))[:, :, None, None], 2 * middle - x, x)
