"""The verdict on a model for its target, without one target label: how many of its answers are right, how sure that is,
and one word. `evidence` takes the signs that it is made of. Imports no torch, so that reports can read it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypedDict

from genshift.metrics.binomial import NORMAL_95, standard_error

ESTIMATE: Final = "estimate/verdict"  # its name in results.json
Word = Literal["good", "doubtful", "do not use"]

# Fixed on two tasks, MNIST-M→USPS and PACS photo→art painting (benchmarks/verdict.py); the others judge.
SLOPE, SHIFT = 1.35, -0.32  # of log-odds, from the signs' mean to the estimate
LEAST, PART = 0.42, 0.17  # the estimate's deviation in log-odds: at least, and for how far the signs are apart
EDGE = 0.01  # no sign tells shares closer to 0 and 1 apart
HALF = 0.5  # of answers that are right, below which a model is no use
WELL, SAFE = 0.85, 0.7  # a good one's estimate, and its interval's lower end
APART = 0.25  # of the signs, from which on they disagree


class Evidence(TypedDict):
    """Shares in [0, 1], but for counts and `temperature`; of the target's images, unless a line says otherwise."""

    classes: int
    source: float  # accuracy on held-out source images
    held_out: int  # how many these are
    images: int  # of the target
    temperature: float  # by which held-out source predictions are calibrated; above 1: they were too sure
    confidence: float  # mean largest probability, calibrated
    thresholded: float  # ATC, calibrated
    difference: float  # DoC, calibrated
    transport: float  # COT, calibrated
    bound_logits: float  # 1 − ε − Δ of DIS² on logits, without its concentration term
    bound_features: float  # the same on features
    neighbours: float  # where the nearest source features' labels agree with the prediction
    neighbours_source: float  # the same of held-out source images
    steady: float  # where small shifts, scales and contrasts leave the prediction as it is, a mean over them
    steady_source: float  # the same of held-out source images
    near: float  # images no farther from the source's features than 95% of held-out source images
    mixed: float  # twice the error of a linear probe that tells the domains: 0 told apart, 1 mixed
    shares: float  # overlap of predicted class shares with the source's: 1 the same


# What the estimate is the mean of.
SIGNS: dict[str, Callable[[Evidence], float]] = {
    "thresholded confidence": lambda evidence: evidence["thresholded"],
    "optimal transport": lambda evidence: evidence["transport"],
    "the disagreement bound": lambda evidence: evidence["bound_logits"],
}


class Verdict(TypedDict):
    """The share of a target's pictures that a model names rightly: `value`, and `low` to `high`, a 95% interval; of
    `n` target pictures without a label. `reasons` say why the word is no better."""

    word: Word
    value: float
    low: float
    high: float
    n: int
    source: float
    reasons: list[str]
    temperature: float  # at which predictions on the target are as sure, in the mean, as `value`


def estimate_of(evidence: Evidence) -> tuple[float, float, float]:
    """The share of target pictures that are named rightly, and its 95% interval.

    The mean of SIGNS, counted from what chance gives and moved away from the middle: thresholded confidence and optimal
    transport are too hopeful where a model is sure of what it gets wrong, the disagreement bound is too careful where
    the domains stay apart, and a mean of signs that each miss something stays too near to a half (log-odds are
    stretched as Satopää et al. 2014, "Combining multiple probability predictions using a simple logit model", do with
    forecasts). How far the signs are apart says how far the estimate may be off; drawing few images adds to it.
    """
    signs = [sign(evidence) for sign in SIGNS.values()]
    chance, apart = 1 / evidence["classes"], max(signs) - min(signs)
    above = min(1 - EDGE, max(EDGE, (statistics.fmean(signs) - chance) / (1 - chance)))
    value = chance + (1 - chance) * _share(SLOPE * _odds(above) + SHIFT)
    drawn = standard_error(value, min(evidence["held_out"], evidence["images"])) / (value * (1 - value))
    half = NORMAL_95 * math.hypot(LEAST + PART * apart, drawn)
    return value, _share(_odds(value) - half), _share(_odds(value) + half)


def _odds(share: float) -> float:
    """The log-odds of a share in (0, 1)."""
    return math.log(share / (1 - share))


def _share(odds: float) -> float:
    """The share of log-odds."""
    return 1 / (1 + math.exp(-odds))


def verdict_of(evidence: Evidence, warnings: Sequence[str] = ()) -> Verdict:
    """The verdict that evidence gives; `warnings` are those of the choice of the checkpoint. Its `temperature` is the
    source's, until the target's is known."""
    value, low, high = estimate_of(evidence)
    signs = {name: sign(evidence) for name, sign in SIGNS.items()}
    reasons = []
    if value < HALF:
        reasons.append("fewer than half of its answers are likely to be right")
    if max(signs.values()) - min(signs.values()) > APART:
        told = ", ".join(f"{name} says {share:.0%}" for name, share in signs.items())
        reasons.append(f"the signs disagree: {told}")
    if low < SAFE or value < WELL:
        reasons.append(f"no more than {low:.0%} is certain")
    if warnings:
        reasons.append("a warning speaks against it")
    word: Word = "do not use" if value < HALF else "doubtful" if reasons else "good"
    return {
        "word": word, "value": value, "low": low, "high": high, "n": evidence["images"], "source": evidence["source"],
        "reasons": reasons, "temperature": evidence["temperature"],
    }  # fmt: skip


def sentence(verdict: Verdict) -> str:
    """What a user is told: the word, the number with its interval, and the reasons."""
    share = f"About {verdict['value']:.1%} of the target's pictures are named rightly"
    interval = f"(95% interval {verdict['low']:.1%} to {verdict['high']:.1%})"
    of = f"estimated from {verdict['n']:,} without a label; of held-out source pictures {verdict['source']:.1%} are"
    why = f" Why no better: {'; '.join(verdict['reasons'])}." if verdict["reasons"] else ""
    return f"Verdict: {verdict['word']}. {share} {interval}, {of}.{why}"
