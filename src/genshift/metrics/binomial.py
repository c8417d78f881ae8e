"""The error of a share that was counted. Imports no torch."""

from __future__ import annotations

import math

NORMAL_95 = 1.959963984540054  # standard errors either way that hold 95% of a normal distribution
FEW = 1_000  # images below which a share has an exact interval, and all of a labelled source are held out in turn
TAIL = 0.025  # on each side of a 95% interval
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


def exact_interval(right: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95% interval of a share of which `right` of n > 0 were counted: it holds the truth at least
    that often however few there are, where a normal one of 97% of 50 holds it in 78% (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv  # here, for whoever lists runs needs no scipy

    low = float(betaincinv(right, n - right + 1, TAIL)) if right else 0.0
    return low, float(betaincinv(right + 1, n - right, 1 - TAIL)) if right < n else 1.0


def interval_of_few(share: float, n: int) -> tuple[float, float] | None:
    """The exact 95% interval of a `share` counted over fewer than FEW images; None of more: its error says as much."""
    return exact_interval(round(share * n), n) if n < FEW else None


def interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a `share` in [0, 1] that was counted over `n` images: within [0, 1], and of some width
    where all are right, or none."""
    z = NORMAL_95
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
