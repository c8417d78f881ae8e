"""The kernel distance of two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs")."""

from __future__ import annotations

from torch import Tensor

from genshift.metrics.inputs import as_points

ROWS = 1024  # of a kernel matrix at a time: 400 MB beside 50,000 images


def kid(real: Tensor, fake: Tensor) -> float:
    """The squared maximum mean discrepancy under the kernel (x·y / D + 1)³, unbiased, so it may be below 0.

    `real` [N, D] and `fake` [M, D] are features, in float64. All images enter at once: the customary mean over random
    subsets has the same expectation and more noise. Raises ValueError for unlike widths, Refusal for fewer than two
    images on either side.
    """
    real, fake = as_points(real, fewest=2), as_points(fake, fewest=2)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} features and fake {fake.shape[1]}: expected the same")
    return _among(real) + _among(fake) - 2 * _sum(real, fake) / (len(real) * len(fake))


def _among(points: Tensor) -> float:
    """The mean kernel of two different points of a set."""
    n = len(points)
    own = _kernel(points.square().sum(dim=1), points.shape[1]).sum().item()
    return (_sum(points, points) - own) / (n * (n - 1))


def _sum(one: Tensor, other: Tensor) -> float:
    return sum(_kernel(chunk @ other.T, one.shape[1]).sum().item() for chunk in one.split(ROWS))


def _kernel(products: Tensor, width: int) -> Tensor:
    return (products / width + 1) ** 3
