"""How sharp an image is."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.metrics.inputs import as_pixels

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as grey data sets are read
IMAGES = 256  # at a time: bounds the float64 copies


def sharpness(images: Tensor) -> Tensor:
    """The variance of the Laplacian of luma over the places of each image, pixels in [0, 1], float64 [N].

    `images` [N, 1 or 3, H, W] are uint8 or float in [0, 1]. The Laplacian is a pixel's four neighbours less four times
    itself (Pech-Pacheco et al. 2000); it needs three pixels a side. Noise raises the figure as detail does, and it
    falls with the image side: only real images of the same side say what is sharp. Raises ValueError for another
    shape, Refusal for no images or values outside [0, 1].
    """
    if min(images.shape[-2:]) < 3:
        raise ValueError(f"images are {tuple(images.shape)}: expected at least 3 pixels a side")
    variances = []
    for chunk in images.split(IMAGES):
        grey = luma(as_pixels(chunk))
        # The Laplacian, [N, H − 2, W − 2].
        across = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        down = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
        laplacian = across + down - 4 * grey[:, 1:-1, 1:-1]
        variances.append(laplacian.var(dim=(1, 2)))
    return torch.cat(variances)


def luma(pixels: Tensor) -> Tensor:
    """The brightness of pixels: [N, 1 or 3, H, W] → [N, H, W]."""
    if pixels.shape[1] == 1:
        return pixels[:, 0]
    red, green, blue = pixels.unbind(1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
