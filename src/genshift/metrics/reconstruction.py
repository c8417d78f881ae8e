"""How near a reconstruction is to its image: mean squared error, PSNR, SSIM, and which way round; a figure an image."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.errors import Refusal
from genshift.metrics.inputs import as_pixels

WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # (K L)² of the paper, with L = 1
IMAGES = 256  # at a time: bounds the float64 copies


def mse(images: Tensor, others: Tensor) -> Tensor:
    """Mean squared error over channels and pixels in [0, 1], float64 [N].

    `images` and `others` [N, C, H, W] are uint8 or float in [0, 1], each. Raises ValueError for unlike shapes, Refusal
    for no images or values outside [0, 1].
    """
    return torch.cat([(x - y).square().mean(dim=(1, 2, 3)) for x, y in _pairs(images, others)])


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio −10 log₁₀ MSE in decibels, float64 [N]; infinite where two images are the same.

    Arguments and errors are those of `mse`.
    """
    return -10 * mse(images, others).log10()


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Structural similarity in [−1, 1] (Wang et al. 2004, equation 13), float64 [N]; 1 where two images are the same.

    Gaussian window of 11×11 with σ = 1.5 that stays inside the image, data range 1, a mean over places and channels.
    Arguments and errors are those of `mse`; images under 11 pixels a side are refused.
    """
    if min(images.shape[-2:]) < WINDOW:
        raise Refusal(
            f"Images of {tuple(images.shape[-2:])} pixels are smaller than the window of SSIM: expected at least "
            f"{WINDOW} a side; use the mean squared error."
        )
    return torch.cat([_similarity(x, y).mean(dim=(1, 2, 3)) for x, y in _pairs(images, others)])


def way_round(images: Tensor, others: Tensor) -> Tensor:
    """Whether each reconstruction in `others` is nearer to its image, by `mse`, than to the image's mirror image, bool
    [N]: of faces, that it keeps which way the head is turned, the hair parted and the light falls. By chance one half;
    an image that is its own mirror image counts as kept.

    Arguments and errors are those of `mse`.
    """
    return mse(images, others) <= mse(images.flip(-1), others)


def _pairs(images: Tensor, others: Tensor) -> list[tuple[Tensor, Tensor]]:
    if images.shape != others.shape:
        raise ValueError(f"images are {tuple(images.shape)} and others {tuple(others.shape)}: expected the same")
    chunks = zip(images.split(IMAGES), others.to(images.device).split(IMAGES), strict=True)
    return [(as_pixels(x), as_pixels(y)) for x, y in chunks]


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """The map of SSIM, [N, C, H − 10, W − 10]."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance * (2 * covariance + C2) / (var_x + var_y + C2)


def _blur(images: Tensor) -> Tensor:
    """The Gaussian mean in each window that lies inside the image, one axis after the other."""
    # As products with band matrices: convolutions in float64 take over three times as long.
    bands = []
    for side in images.shape[-2:]:
        # [side − 10, side]: row i weighs the pixels of the window that begins at i.
        place = torch.arange(side)[None] - torch.arange(side - WINDOW + 1)[:, None] - WINDOW // 2
        weights = (-0.5 * (place.double() / SIGMA) ** 2).exp().where(place.abs() <= WINDOW // 2, 0)
        bands.append((weights / weights.sum(dim=1, keepdim=True)).to(images))
    down, across = bands
    return down @ images @ across.T
