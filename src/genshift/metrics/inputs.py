"""What the measures of generated images take, checked in one place."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.errors import Refusal

SLACK = 1e-4  # how far rounding may carry a pixel out of [0, 1]


def as_points(features: Tensor, fewest: int = 1) -> Tensor:
    """Float features [N, D] as float64 on the CPU, where every measure gives the same figure whatever the device.

    Raises ValueError for a shape other than [N, D], Refusal for fewer than `fewest` rows or a value that is not
    finite.
    """
    if features.ndim != 2:
        raise ValueError(f"features are {tuple(features.shape)}: expected [N, D]")
    if len(features) < fewest:
        raise Refusal(f"There are {len(features)} images to measure: expected at least {fewest}; ask for more.")
    points = features.detach().cpu().double()
    bad = int((~points.isfinite()).any(dim=1).sum())
    if bad:
        raise Refusal(
            f"{bad} of {len(points)} feature rows hold a value that is not finite: expected finite features; "
            "look for a diverged run and use an earlier checkpoint."
        )
    return points


def as_pixels(images: Tensor) -> Tensor:
    """Images [N, C, H, W], uint8 or float in [0, 1], as float64 in [0, 1] on their device (the CPU's for MPS).

    Raises ValueError for another shape or type, Refusal for no images or values outside [0, 1].
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are {tuple(images.shape)}: expected [N, 1 or 3, H, W]")
    if not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(f"images are {images.dtype}: expected uint8, or float in [0, 1]")
    if len(images) == 0:
        raise Refusal("There are no images to measure: expected at least one; ask for more.")
    images = images.detach().cpu() if images.device.type == "mps" else images.detach()  # MPS has no float64
    if images.dtype == torch.uint8:
        return images.double() / 255
    if not (images.min() >= -SLACK and images.max() <= 1 + SLACK):  # NaN fails too
        raise Refusal(
            f"The pixels run from {images.min().item():.3g} to {images.max().item():.3g}: expected 0 to 1; scale them "
            "first, and if they are not finite, use an earlier checkpoint."
        )
    return images.double()
