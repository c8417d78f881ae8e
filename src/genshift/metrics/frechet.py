"""The Fréchet distance of two sets of features, each taken for a Gaussian (Heusel et al. 2017, equation 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.metrics.inputs import as_points

Gaussian = tuple[Tensor, Tensor]  # mean [D], covariance [D, D]


def statistics(features: Tensor) -> Gaussian:
    """The mean [D] and the unbiased covariance [D, D] of `features` [N, D], float64 on the CPU.

    Raises ValueError for a shape other than [N, D], Refusal for fewer than two rows or values that are not finite.
    """
    points = as_points(features, fewest=2)
    mean = points.mean(dim=0)
    centred = points - mean
    return mean, centred.T @ centred / (len(points) - 1)


def frechet(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance ‖μa − μb‖² + tr(Σa + Σb − 2(ΣaΣb)^½) of two Gaussians, in float64, never negative.

    `a` and `b` are what `statistics` gives. The eigenvalues of ΣaΣb are the squared singular values of Σa^½ Σb^½,
    so the last trace is the sum of those singular values: only symmetric roots are taken, and covariances of fewer
    images than features are as good as any. The value is biased upwards by about 1/N: compare equal N only, and
    put the distance between real halves of that N beside it. Raises ValueError for unlike numbers of features.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    if mean_a.shape != mean_b.shape:
        raise ValueError(f"one set has {len(mean_a)} features and the other {len(mean_b)}: expected the same")
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    spread = cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, ((mean_a - mean_b).square().sum() + spread).item())


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root. Eigenvalues within rounding of 0, negative ones too, count as 0: a root magnifies them."""
    values, vectors = torch.linalg.eigh(covariance)
    rounding = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    return (vectors * values.where(values > rounding, 0).sqrt()) @ vectors.T
