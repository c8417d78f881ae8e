"""Which colours of a picture a copy of it keeps: of its border, mostly background, and of its middle, a face's skin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genshift.errors import Refusal
from genshift.metrics.inputs import as_pixels

BORDER = 8  # the border is an eighth of the side wide, on all four sides
MIDDLE = 4  # the middle is what a quarter of the side on each side leaves


def border_colour(images: Tensor) -> Tensor:
    """The mean colour of the border of uint8 or float `[N, 1 or 3, H, W]`, float64 `[N, C]` in [0, 1]."""
    pixels, inner = as_pixels(images), torch.ones(images.shape[-2:], dtype=torch.bool)
    top, left = (max(1, side // BORDER) for side in images.shape[-2:])
    inner[top:-top, left:-left] = False
    return pixels[:, :, inner].mean(2)


def middle_colour(images: Tensor) -> Tensor:
    """The mean colour of the middle, half as wide and as high as the picture; the rest as in `border_colour`."""
    top, left = (side // MIDDLE for side in images.shape[-2:])
    return as_pixels(images)[:, :, top : images.shape[-2] - top, left : images.shape[-1] - left].mean((2, 3))


def correlation(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Pearson's correlation over the rows of `one` and its copy `other` [N, C], a mean over the columns, and its error
    by Fisher's transformation as if the columns told the same; 0 of a column that is always the same in the copy.

    Raises ValueError for unlike shapes, Refusal for fewer than 4 rows, or where a column of `one` does not vary.
    """
    if one.shape != other.shape:
        raise ValueError(f"one is {tuple(one.shape)} and the other {tuple(other.shape)}: expected one shape")
    n, centred = len(one), [values.double() - values.double().mean(0) for values in (one, other)]
    spreads = [values.norm(dim=0) for values in centred]
    if n < 4 or not bool((spreads[0] > 0).all()):
        raise Refusal(f"Of {n} pictures' colours there is no correlation: expected 4 or more that differ.")
    product = (spreads[0] * spreads[1]).clamp(min=torch.finfo(torch.float64).tiny)
    r = ((centred[0] * centred[1]).sum(0) / product).mean().item()
    return r, (1 - r * r) / math.sqrt(n - 3)
