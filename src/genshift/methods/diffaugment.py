"""Differentiable augmentation of what a discriminator sees (DiffAugment, Zhao et al. 2020, arXiv 2006.10738)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.data.feed import StepRandom

SHIFT = 1 / 8  # largest translation, as a share of the side
HOLE = 1 / 2  # side of the hole, as a share of the side


def diffaugment(x: Tensor, draws: StepRandom, name: str, policy: str) -> Tensor:
    """Pictures `[N, C, H, W]` with what the paper's `policy` names drawn at random: "color", "translation", "cutout",
    with commas between; "off" is none. Gradients pass through to `x`."""
    u = draws.uniform(f"diffaugment {name}", 7).to(x.device)
    kinds = {"color": (_coloured, u[:, :3]), "translation": (_moved, u[:, 3:5]), "cutout": (_hole, u[:, 5:])}
    for kind, (change, numbers) in kinds.items():
        if kind in policy.split(","):
            x = change(x, numbers)
    return x


def _coloured(x: Tensor, u: Tensor) -> Tensor:
    """Brightness ± 0.5 (pixels in [-1, 1]), saturation 0 to 2, contrast 0.5 to 1.5."""
    brightness, saturation, contrast = (column.view(-1, 1, 1, 1).to(x.dtype) for column in u.unbind(1))
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (contrast + 0.5)


def _moved(x: Tensor, u: Tensor) -> Tensor:
    """Shifted by up to SHIFT of the side in whole pixels; black (0) comes in."""
    n, _, height, width = x.shape
    by = torch.tensor([round(height * SHIFT), round(width * SHIFT)], device=x.device)
    dy, dx = (u * (2 * by + 1)).floor().long().sub(by).unbind(1)
    rows = torch.arange(height, device=x.device) + dy[:, None] + by[0]
    columns = torch.arange(width, device=x.device) + dx[:, None] + by[1]
    padded = F.pad(x, (int(by[1]), int(by[1]), int(by[0]), int(by[0])))
    picture = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _hole(x: Tensor, u: Tensor) -> Tensor:
    """A square of half the side, anywhere, even partly outside, set to 0."""
    _, _, height, width = x.shape
    top, left = ((u[:, i] * (side + 1)).floor() - side * HOLE / 2 for i, side in ((0, height), (1, width)))
    rows = torch.arange(height, device=x.device) - top[:, None]
    columns = torch.arange(width, device=x.device) - left[:, None]
    inside = ((rows >= 0) & (rows < height * HOLE))[:, :, None] & ((columns >= 0) & (columns < width * HOLE))[:, None]
    return x * (~inside)[:, None].to(x.dtype)
