"""Are the samples like real images (precision), and like all of them (recall)?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genshift.errors import Refusal
from genshift.metrics.inputs import as_points

ROWS = 1024  # of a distance matrix at a time: 400 MB beside 50,000 images


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall in [0, 1] (Kynkäänniemi et al. 2019, arXiv 1904.06991, equations 1 and 2).

    `real` [N, D] and `fake` [M, D] are features. A set's manifold is the union of balls around its points, each
    reaching to the point's k-th nearest neighbour. Precision: the share of fake points on the real manifold; recall:
    the share of real points on the fake one. Both depend on N and M: compare equal counts only. Raises ValueError
    for unlike widths, Refusal for k points or fewer on either side.
    """
    if k < 1:
        raise Refusal(f"k is {k}: expected the number of nearest neighbours, 1 or more.")
    real, fake = as_points(real, fewest=k + 1), as_points(fake, fewest=k + 1)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} features and fake {fake.shape[1]}: expected the same")
    centre = real.mean(dim=0)  # distances by matrix product lose digits far from the origin
    real, fake = real - centre, fake - centre
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    precision = torch.cat([(d <= real_radii).any(dim=1) for d in _distances(fake, real)])
    recall = torch.cat([(d <= fake_radii).any(dim=1) for d in _distances(real, fake)])
    return precision.double().mean().item(), recall.double().mean().item()


def _radii(points: Tensor, k: int) -> Tensor:
    """The distance from each point [N, D] to its k-th nearest other point, [N]."""
    return torch.cat([d.kthvalue(k + 1, dim=1).values for d in _distances(points, points)])  # the nearest is itself


def _distances(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """The Euclidean distances of `rows` [M, D] to `columns` [N, D], some rows at a time."""
    for chunk in rows.split(ROWS):
        yield torch.cdist(chunk, columns, compute_mode="use_mm_for_euclid_dist")
