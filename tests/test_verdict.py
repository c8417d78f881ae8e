"""The verdict: one number with its interval, and one word, of signs that are held against each other."""

import pytest
from scipy.special import logit

from genshift.metrics.binomial import standard_error
from genshift.selection.verdict import (
    APART,
    HALF,
    LEAST,
    PART,
    SAFE,
    SHIFT,
    SLOPE,
    WELL,
    estimate_of,
    sentence,
    verdict_of,
)  # fmt: skip

SIGNS = ("thresholded", "transport", "bound_logits")
GOOD = {
    "classes": 10,
    "source": 0.97, "held_out": 1000, "images": 1000, "temperature": 1.2, "confidence": 0.95, "thresholded": 0.96,
    "difference": 0.95, "transport": 0.94, "bound_logits": 0.92, "bound_features": 0.5, "neighbours": 0.96,
    "neighbours_source": 0.98, "steady": 0.95, "steady_source": 0.97, "near": 0.9, "mixed": 0.8, "shares": 0.95,
}  # fmt: skip


def test_the_estimate_is_of_three_signs_and_its_interval_grows_as_they_part():
    value, low, high = estimate_of(GOOD)
    assert logit((value - 0.1) / 0.9) == pytest.approx(SLOPE * logit(((0.96 + 0.94 + 0.92) / 3 - 0.1) / 0.9) + SHIFT)
    drawn = standard_error(value, 1000) / (value * (1 - value))
    half = 1.959964 * ((LEAST + PART * (0.96 - 0.92)) ** 2 + drawn**2) ** 0.5
    assert [logit(value) - logit(low), logit(high) - logit(value)] == pytest.approx([half, half])
    none, everything = ({**GOOD, **dict.fromkeys(SIGNS, share)} for share in (0.0, 1.0))
    assert 0.1 < estimate_of(none)[0] < 0.11 and 0.99 < estimate_of(everything)[0] < 1
    apart = estimate_of({**GOOD, "thresholded": 0.98, "bound_logits": 0.6})
    assert apart[2] - apart[1] > high - low
    few = estimate_of({**GOOD, "held_out": 20})
    assert few[1] < low, "few held-out pictures tell less"


@pytest.mark.parametrize(
    ("changes", "warnings", "word", "reason"),
    [
        ({}, (), "good", None),
        ({}, ("Adaptation probably harms.",), "doubtful", "a warning speaks against it"),
        ({"thresholded": 0.99, "bound_logits": 0.7}, (), "doubtful", "the signs disagree: thresholded confidence says"),
        ({"thresholded": 0.8, "transport": 0.75, "bound_logits": 0.7}, (), "doubtful", "is certain"),
        ({"held_out": 10}, (), "doubtful", "is certain"),
        ({"thresholded": 0.8, "transport": 0.4, "bound_logits": 0.1}, (), "do not use", "fewer than half"),
    ],
)
def test_the_word_is_no_better_than_the_signs_allow(changes, warnings, word, reason):
    verdict = verdict_of({**GOOD, **changes}, warnings)
    assert verdict["word"] == word
    assert verdict["reasons"] == [] if reason is None else any(reason in each for each in verdict["reasons"])
    assert sentence(verdict).startswith(f"Verdict: {word}")


def test_the_limits_are_in_order():
    assert 0 < HALF < SAFE < WELL < 1 and 0 < APART < 1
