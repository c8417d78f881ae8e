"""A share of a large set from the labels of a few, drawn at random within strata of confidence, with its error.

The estimate is the stratified form of prediction-powered inference (PPI, Angelopoulos et al., arXiv 2301.09633) with
the tuned weight of PPI++ (Angelopoulos, Duchi and Zrnic, arXiv 2311.01453): the labels say how far the predictions are
off, the predictions of the rest how the labelled ones lie in it. Its interval is no normal one, which fails where few
errors are seen, but inverts a binomial test of an effective size (as Korn and Graubard 1998 do), by the mid-p value
(Lancaster 1961): with strata that are all alike it is the binomial's mid-p interval, and is narrower as far as the
labels themselves show that confidence tells right from wrong. Of proportional strata that all alike is the widest case
(Hoeffding 1956), so what too few labels leave unsaid makes an interval wider, never narrower. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, expit, logit, ndtri

TAIL = 0.025  # on each side of a 95% interval
SLOPE = 1.5  # standard deviation that a slope of the log-odds, per standard deviation of confidence, has beforehand
FARTHEST = 30.0  # log-odds beyond which a share is 0 or 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """Strata of a set, the least confident first, and what was seen of each.

    size: int64 `[H]`, pictures. drawn: int64 `[H]`, those of them that are labelled, one or more. right: int64 `[H]`,
    those of which the label agrees.
    """

    size: Ints
    drawn: Ints
    right: Ints

    @property
    def share(self) -> Floats:
        """Of the whole set, `[H]`."""
        return self.size / self.size.sum()

    @property
    def scores(self) -> Floats:
        """The normal scores of the strata's middle ranks, `[H]`: no scale of a confidence moves them."""
        share = self.share
        return np.asarray(ndtri(share.cumsum() - share / 2))

    def variance(self, logits: Floats) -> float:
        """Of the stratified mean, where each stratum is right by these log-odds `[H]`; none where all are labelled."""
        unseen = 1 - self.drawn / self.size
        return float((self.share**2 * expit(logits) * expit(-logits) / self.drawn * unseen).sum())


@dataclass(frozen=True)
class LabelledShare:
    """value: the estimated share, with its 95% interval. plain: without the predictions. weight: what these counted
    for, 0 to 1. n, of: labelled pictures, of so many."""

    value: float
    low: float
    high: float
    plain: float
    weight: float
    strata: Strata

    @property
    def n(self) -> int:
        return int(self.strata.drawn.sum())

    @property
    def of(self) -> int:
        return int(self.strata.size.sum())

    def more_to_halve(self) -> int:
        """How many further labels would make the interval half as wide, if they say what those that are there say."""
        wanted, n, of = (self.high - self.low) / 2, self.n, self.of
        few, enough = n, of
        while enough - few > 1:
            middle = (few + enough) // 2
            low, high = interval(self.value, self.strata, times=middle / n)
            few, enough = (few, middle) if high - low <= wanted else (middle, enough)
        return enough - n


def labelled_share(
    right: ArrayLike, rows: ArrayLike, stratum: ArrayLike, confidence: ArrayLike, weight: float | None = None
) -> LabelledShare:
    """The share of N pictures that are right, by the labels of n of them.

    right: bool `[n]`, of the labelled pictures. rows: int64 `[n]`, which of the N they are, each once. stratum: int64
    `[N]`, the least confident first. confidence: `[N]`, how sure a model is of each, on any scale. weight: of the
    predictions, instead of the tuned one. Strata without a label are joined to their neighbours.
    """
    y, rows = np.asarray(right, dtype=np.float64), np.asarray(rows, dtype=np.int64)
    f = np.asarray(confidence, dtype=np.float64)
    stratum = _joined(np.asarray(stratum, dtype=np.int64), rows)
    at, count = stratum[rows], int(stratum.max()) + 1
    size, drawn = (np.bincount(of, minlength=count) for of in (stratum, at))
    strata = Strata(size, drawn, np.bincount(at, y, count).astype(np.int64))
    plain = float((strata.share * strata.right / drawn).sum())
    # What the predictions of the rest say, beside those of the labelled ones.
    f_mean = np.bincount(stratum, f, count) / size
    f_drawn = np.bincount(at, f[rows], count) / drawn
    rest = size - drawn
    f_rest = np.where(rest > 0, (f_mean * size - f_drawn * drawn) / np.maximum(rest, 1), f_drawn)
    tuned = _tuned_weight(y - (strata.right / drawn)[at], f[rows] - f_drawn[at], at, f - f_mean[stratum], stratum)
    weight = tuned if weight is None else weight
    value = float(np.clip(plain + weight * (strata.share * (f_rest - f_drawn)).sum(), 0, 1))
    low, high = interval(value, strata)
    return LabelledShare(value, low, high, plain, weight, strata)


def _joined(stratum: Ints, rows: Ints) -> Ints:
    """Strata numbered from 0, those without a label joined to the one below, or above where there is none."""
    labelled = np.unique(stratum[rows])
    return np.maximum(np.searchsorted(labelled, stratum, side="right") - 1, 0)


def _tuned_weight(y: Floats, f: Floats, at: Ints, f_all: Floats, stratum: Ints) -> float:
    """PPI++'s weight of the predictions (for a mean, its variance summed over strata), from 0 to 1.

    y, f: `[n]`, deviations of the labelled pictures from their strata's means. f_all: `[N]`, of all.
    """
    size, drawn = np.bincount(stratum), np.bincount(at)
    share = size / size.sum()
    covariance = np.bincount(at, y * f) / drawn
    variance = np.bincount(stratum, f_all**2) / size
    rest = np.maximum(size - drawn, 1)
    wide = float((share**2 * variance * (1 / drawn + 1 / rest)).sum())
    return float(np.clip((share**2 * covariance / drawn).sum() / wide, 0, 1)) if wide > 0 else 0.0


def interval(value: float, strata: Strata, times: float = 1.0) -> tuple[float, float]:
    """The 95% interval of a share that was estimated as `value`; with `times` as many labels, if they say the same.

    For a share A the strata are taken to be right as far as a curve σ(a + δ + b·score) says, of the slope b that the
    labels show and the δ that makes A of it all. The variance V of the stratified mean is then that of A(1 − A)/V
    labels that are drawn from all alike; A is within the interval where neither tail of that binomial, by the mid-p
    value, is below 2.5%.
    """
    slope = _slope(strata)
    if times != 1:
        strata = replace(strata, drawn=np.minimum(strata.drawn * times, strata.size))
    if strata.variance(strata.scores) == 0:
        return value, value

    def at(shift: float) -> tuple[float, float]:
        logits = shift + slope * strata.scores
        share, other = (float(strata.share @ expit(sign * logits)) for sign in (1, -1))
        return share, share * other / strata.variance(logits)

    return _inverted(value, at)


def _inverted(value: float, at: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """The shares between which `value` of a binomial's labels is right with mid-p values of 2.5% and more; `at` gives,
    rising with the log-odds that it takes, a share and of how many labels the binomial is."""

    def excess(shift: float, upper: bool) -> float:
        share, size = at(shift)
        # The mid-p value of seeing at least so many, or at most so many, right ones.
        at_least = (_reached(value * size, size, share) + _reached(value * size + 1, size, share)) / 2
        return (1 - at_least if upper else at_least) - TAIL

    low = 0.0 if value <= 0 else at(brentq(excess, -FARTHEST, FARTHEST, args=(False,), xtol=1e-6))[0]
    high = 1.0 if value >= 1 else at(brentq(excess, -FARTHEST, FARTHEST, args=(True,), xtol=1e-6))[0]
    return min(low, value), max(high, value)


def _reached(count: float, n: float, share: float) -> float:
    """The probability that a binomial is at least `count`; neither need be whole."""
    if count <= 0:
        return 1.0
    return float(betainc(count, n - count + 1, share)) if n - count + 1 > 1e-9 else 0.0


def _slope(strata: Strata) -> float:
    """How steeply the log-odds of being right rise with the strata's scores, 0 or more: logistic regression on counts
    by Newton's method, the slope drawn toward 0 by a normal prior, the middle by half a right and half a wrong one."""
    score, drawn, right = strata.scores, strata.drawn, strata.right
    a, b = float(logit((right.sum() + 0.5) / (drawn.sum() + 1))), 0.0
    for _ in range(50):
        p = expit(a + b * score)
        middle = expit(a)
        spread = drawn * p * (1 - p)
        gradient = np.array(
            [(right - drawn * p).sum() + 0.5 - middle, ((right - drawn * p) * score).sum() - b / SLOPE**2]
        )
        haa, hab = spread.sum() + middle * (1 - middle), (spread * score).sum()
        step = np.linalg.solve([[haa, hab], [hab, (spread * score**2).sum() + 1 / SLOPE**2]], gradient)
        step *= min(1.0, 2 / float(np.abs(step).max() + 1e-12))  # no leap to where all is flat
        a, b = a + float(step[0]), b + float(step[1])
        if np.abs(step).max() < 1e-9:
            break
    return max(b, 0.0)


def balanced_share(right: ArrayLike, labels: ArrayLike, of: float = np.inf) -> tuple[float, float, float]:
    """The mean over classes of the share that is right, and its 95% interval; right: bool `[n]`; labels: int64 `[n]`,
    drawn at random of so many.

    Of classes that no label names nothing is said. The interval is the binomial's mid-p interval of an effective size:
    that of classes which are all alike, or, where this is smaller, of classes as right as the labels say, each with two
    labels beside its own that say what the others do.
    """
    y, labels = np.asarray(right, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    counts = np.bincount(labels)
    seen = counts > 0
    drawn, hits = counts[seen], np.bincount(labels, y)[seen]
    value = float((hits / drawn).mean())
    if len(y) >= of:
        return value, value, value
    shrunk = (hits + 2 * value) / (drawn + 2)
    middle = shrunk.mean()
    alike, own = (1 / drawn).sum(), (shrunk * (1 - shrunk) / drawn).sum() / max(middle * (1 - middle), 1e-12)
    size = len(drawn) ** 2 / max(alike, own) / (1 - len(y) / of)
    return value, *_inverted(value, lambda shift: (float(expit(shift)), size))
