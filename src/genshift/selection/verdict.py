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

# Fixed on two tasks, MNIST-M→USPS and PACS photo→art painting (benchmarks/verdict.py); all others judged.
BELOW, ABOVE = (0.06, 0.5), (0.05, 0.3)  # the interval: a least width, and a share of how far the signs are apart
HALF = 0.5  # of answers that are right, below which a model is no use
WELL, SAFE = 0.85, 0.7  # a good one's estimate, and its interval's lower end
APART = 0.2  # of the signs, from which on they disagree


class Evidence(TypedDict):
    """Shares in [0, 1], but for `temperature`; each says of the target's images, unless it says otherwise."""

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

    The mean of SIGNS: thresholded confidence and optimal transport are too hopeful where a model is sure of what it
    gets wrong, the disagreement bound is too careful where the domains stay apart. How far they are apart says how far
    their mean may be off.
    """
    signs = [sign(evidence) for sign in SIGNS.values()]
    value, apart = statistics.fmean(signs), max(signs) - min(signs)
    drawn = NORMAL_95 * standard_error(value, min(evidence["held_out"], evidence["images"]))
    below, above = (math.hypot(least + slope * apart, drawn) for least, slope in (BELOW, ABOVE))
    return value, max(0.0, value - below), min(1.0, value + above)


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
    if HALF <= low < SAFE or value < WELL:
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
