"""The error of a share that was counted. Imports no torch."""

from __future__ import annotations

import math

ROUNDING = 1e-6  # of a share that is a mean of float32: one picture of fewer than a million tells more


def is_extreme(share: float) -> bool:
    """Whether a share is 0 or 1, but for rounding."""
    return min(share, 1.0 - share) < ROUNDING


def standard_error(share: float, n: int) -> float:
    """The binomial standard error of a `share` p in [0, 1] seen over `n` images: sqrt(p(1−p)/n).

    Of 0 and 1 that would be none, however few the images: it is then that with two right and two wrong ones added
    (Agresti and Coull 1998), e.g. 0.14 of 5 that are all right.
    """
    if is_extreme(share):
        share, n = (share * n + 2) / (n + 4), n + 4
    return math.sqrt(share * (1.0 - share) / n)
