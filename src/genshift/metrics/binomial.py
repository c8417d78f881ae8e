"""The error of a share that was counted. Imports no torch."""

from __future__ import annotations

import math

NORMAL_95 = 1.959963984540054  # standard errors either way that hold 95% of a normal distribution
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


def interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a `share` in [0, 1] that was counted over `n` images: within [0, 1], and of some width
    where all are right, or none."""
    z = NORMAL_95
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
