"""The strong view of images: moved, recoloured, inverted or not, and cut, far more than a weak one.

What a method that compares two views of one image asks for (RandAugment and cutout in FixMatch, arXiv 2001.07685,
section 2.3), made of what two domains of one task may differ in: place, size, slant, colour, polarity, contrast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from genshift.data.augment import Augment

MOVES = Augment(degrees=15.0, shift=0.08, scale=0.2, recolour=0.5)
GAIN = 0.6  # contrast of a channel, and of the whole, by factors from 1 - GAIN to 1 + GAIN
LIFT = 0.3  # brightness of a channel, by -LIFT to LIFT of the range
HOLE = 0.5  # largest side of the square that is cut out (cutout, arXiv 1708.04552), as a share of the picture's


class Uniform(Protocol):
    """Random numbers by name, one row an image (`genshift.data.feed.StepRandom`)."""

    def uniform(self, name: str, *shape: int) -> Tensor:
        """float32 `[N, *shape]` from U[0, 1), on the CPU."""


def strong_view(
    x: Tensor,
    draws: Uniform,
    mean: float,
    std: float,
    rows: Tensor | None = None,
    recolour: float = MOVES.recolour,
    invert: float = MOVES.invert,
) -> Tensor:
    """The strong views of weak ones, float `[N, C, H, W]` of pixels (p - mean)/std; of `rows`, int64 on the CPU, alone
    where given. `recolour` is the probability that channels change places, and `invert` that such a one is inverted.

    A function of the images and of `draws` alone; what an image undergoes depends on no other one of the batch.
    """
    channels = x.shape[1]
    names = {"moves": 5, "colours": 1 + 2 * channels, "contrast": 1 + 2 * channels, "hole": 3}
    u = {name: draws.uniform(f"strong {name}", width) for name, width in names.items()}
    if rows is not None:
        x, u = x[rows.to(x.device)], {name: value[rows] for name, value in u.items()}
    if not len(x):
        return x
    # Moved, and in other colours.
    middle = (0.5 - mean) / std
    moves = replace(MOVES, recolour=recolour, invert=invert)
    y = moves.colours(moves.apply(x, moves.maps(u["moves"])), u["colours"], middle)
    # Contrast: each channel stretched about mid-grey and lifted; the first number stretches all channels alike.
    whole, gains, lifts = (2 * u["contrast"].to(y) - 1).split([1, channels, channels], 1)
    gain = (1 + GAIN * whole) * (1 + GAIN / 2 * gains)
    lift = middle + LIFT * (1 / std) * lifts
    y = (y - middle) * gain[:, :, None, None] + lift[:, :, None, None]
    y = y.clamp((0 - mean) / std, (1 - mean) / std)
    # A hole of mid-grey.
    y = torch.where(_hole(u["hole"].to(y), *y.shape[2:]), middle, y)
    last = x.is_contiguous(memory_format=torch.channels_last)  # the result lies in memory as what came in
    return y.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _hole(u: Tensor, height: int, width: int) -> Tensor:
    """bool `[N, 1, H, W]`: the rectangle of sides up to HOLE of the picture's, its centre anywhere, by u `[N, 3]`."""
    half = HOLE * u[:, 0] / 2

    def within(centre: Tensor, size: int) -> Tensor:
        at = (torch.arange(size, device=u.device, dtype=u.dtype) + 0.5) / size
        return (at - centre[:, None]).abs() < half[:, None]

    return (within(u[:, 1], height)[:, :, None] & within(u[:, 2], width)[:, None, :])[:, None]
