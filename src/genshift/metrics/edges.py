"""How much of a picture's detail lies beside its middle."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.metrics.inputs import as_pixels
from genshift.metrics.sharpness import IMAGES, luma

QUARTER = 4  # of the width, on either side


def side_edges(images: Tensor) -> Tensor:
    """The share of the squared gradient of luma that lies in the left and the right quarter, float64 [N] in [0, 1].

    `images` [N, 1 or 3, H, W] are uint8 or float in [0, 1]; the gradient is the differences of neighbouring pixels. A
    picture of even edges has a half there; one of a single colour counts as 0. Raises as `as_pixels`, ValueError for
    pictures under 4 pixels a side.
    """
    if min(images.shape[-2:]) < QUARTER:
        raise ValueError(f"images are {tuple(images.shape)}: expected at least {QUARTER} pixels a side")
    shares = []
    for chunk in images.split(IMAGES):
        grey = luma(as_pixels(chunk))
        across, down = grey.diff(dim=2)[:, :-1], grey.diff(dim=1)[:, :, :-1]
        energy = (across.square() + down.square()).sum(1)  # [N, W − 1], by column
        quarter = images.shape[-1] // QUARTER
        beside = energy[:, :quarter].sum(1) + energy[:, -quarter:].sum(1)
        shares.append(beside / energy.sum(1).clamp(min=torch.finfo(torch.float64).tiny))
    return torch.cat(shares)
