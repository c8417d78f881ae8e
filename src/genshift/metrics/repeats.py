"""How many of a set of pictures are nearly one of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.metrics.inputs import as_points


def repeats(features: Tensor, real: Tensor) -> float:
    """The share of `features` [N, D] that lie nearer to another of them than any two of `real` [N, D] to each other.

    Real pictures that are there twice, at no distance, do not count; where all are the same, nothing lies nearer. The
    nearest pair of a set comes nearer as the set grows: both must be of one size. Raises ValueError for unlike shapes,
    Refusal for fewer than two rows.
    """
    points, others = as_points(features, fewest=2), as_points(real, fewest=2)
    if points.shape != others.shape:
        raise ValueError(f"features are {tuple(points.shape)} and real ones {tuple(others.shape)}: expected one shape")
    real_pairs = torch.nn.functional.pdist(others)
    apart = real_pairs[real_pairs > 0]
    nearest_real = apart.min().item() if len(apart) else 0.0
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    return (distances.amin(1) < nearest_real).double().mean().item()
