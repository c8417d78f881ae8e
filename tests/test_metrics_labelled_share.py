"""The share from a few labels: beside ppi-python and scipy's binomial, in simulated draws, and at its ends."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from genshift.metrics.labelled_share import Strata, balanced_share, interval, labelled_share

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "labels.py"))
simulate, synthetic = BENCHMARK["simulate"], BENCHMARK["synthetic"]


def one_stratum(n, of, seed):
    """Labels of n of so many, confidences, and which are labelled."""
    random = np.random.default_rng(seed)
    confidence = random.random(of)
    right = random.random(of) < 0.2 + 0.7 * confidence
    rows = random.choice(of, n, replace=False)
    return right[rows], rows, confidence


@pytest.mark.parametrize("seed", range(4))
def test_of_one_stratum_it_is_ppi_pythons(seed):
    """The estimate and its tuned weight, of the mean of a binary outcome."""
    ppi = pytest.importorskip("ppi_py", reason="ppi-python is not installed")
    y, rows, f = one_stratum(50, 500, seed)
    rest = np.delete(f, rows)
    for weight in (0.0, 0.5, 1.0):
        ours = labelled_share(y, rows, np.zeros(500, int), f, weight)
        theirs = ppi.ppi_mean_pointestimate(y.astype(float), f[rows], rest, lam=weight)
        assert ours.value == pytest.approx(float(np.squeeze(theirs)), abs=1e-12)
    ours = labelled_share(y, rows, np.zeros(500, int), f)
    theirs = float(np.squeeze(ppi.ppi_mean_pointestimate(y.astype(float), f[rows], rest)))
    assert 0 < ours.weight < 1 and ours.value == pytest.approx(theirs, abs=2e-4)


def test_of_strata_it_is_the_weighted_sum_of_each():
    """By hand: in stratum h, mean(rest f)·w + mean(y − w·f), weighted by its share of the set."""
    random = np.random.default_rng(0)
    stratum = np.repeat([0, 1, 2], [60, 100, 40])
    f, right = random.random(200), random.random(200) < 0.6
    rows = np.concatenate(
        [random.choice(np.flatnonzero(stratum == h), n, replace=False) for h, n in enumerate((5, 9, 4))]
    )
    expected = 0.0
    for h in range(3):
        inside = np.flatnonzero(stratum == h)
        drawn = np.intersect1d(rows, inside)
        rest = np.setdiff1d(inside, rows)
        expected += len(inside) / 200 * (0.3 * f[rest].mean() + (right[drawn] - 0.3 * f[drawn]).mean())
    assert labelled_share(right[rows], rows, stratum, f, 0.3).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("right", [0, 1, 25, 49, 50])
def test_alike_strata_have_the_binomials_mid_p_interval(right):
    """At each end the probability of more extreme counts, and half of this one's, is 2.5%."""
    n, of = 50, 10**12  # of a set without end nothing is seen twice
    low, high = interval(right / n, Strata(np.array([of]), np.array([n]), np.array([right])))
    if right > 0:
        assert binom.sf(right, n, low) + binom.pmf(right, n, low) / 2 == pytest.approx(0.025, abs=1e-6)
    if right < n:
        assert binom.cdf(right - 1, n, high) + binom.pmf(right, n, high) / 2 == pytest.approx(0.025, abs=1e-6)
    assert (low == 0) == (right == 0) and (high == 1) == (right == n)


def test_confidence_that_tells_narrows_it_and_one_that_does_not_leaves_it():
    size, drawn = np.full(10, 1000), np.full(10, 5)

    def width(right):
        low, high = interval(sum(right) / 50, Strata(size, drawn, np.array(right)))
        return high - low

    flat, told, against = width([3] * 10), width([0, 0, 1, 2, 3, 4, 5, 5, 5, 5]), width([5, 5, 5, 5, 4, 3, 2, 1, 0, 0])
    assert told < 0.85 * flat and against == pytest.approx(flat, rel=0.01)


def test_labels_of_all_leave_no_doubt():
    y = np.arange(40) % 3 > 0
    found = labelled_share(y, np.arange(40), np.repeat([0, 1], 20), np.linspace(0, 1, 40))
    assert found.low == found.value == found.high == pytest.approx(y.mean()) and found.more_to_halve() == 0
    assert balanced_share(y, np.arange(40) % 2, 40) == pytest.approx((y.mean(),) * 3, abs=0.02)


def test_strata_without_a_label_are_joined_to_their_neighbours():
    found = labelled_share([True, False, True], [0, 15, 16], np.repeat(np.arange(5), 10), np.linspace(0, 1, 50))
    assert found.strata.size.tolist() == [10, 40] and found.strata.drawn.tolist() == [1, 2]
    assert 0 < found.low < found.value < found.high <= 1


def test_so_many_more_labels_halve_it():
    strata = Strata(np.full(10, 600), np.full(10, 5), np.array([2, 3, 4, 4, 5, 5, 5, 5, 5, 5]))
    found = labelled_share(
        np.concatenate([np.arange(5) < right for right in strata.right]),
        np.concatenate([600 * h + np.arange(5) for h in range(10)]), np.repeat(np.arange(10), 600), np.ones(6000),
    )  # fmt: skip
    assert found.value == 0.86 and found.weight == 0
    more = found.more_to_halve()
    low, high = interval(found.value, found.strata, times=(50 + more) / 50)
    assert high - low == pytest.approx((found.high - found.low) / 2, rel=0.01) and 100 < more < 200


def test_balanced_it_counts_classes_alike():
    labels = np.array([0] * 30 + [1] * 10)
    value, low, high = balanced_share(labels == 0, labels)
    assert value == 0.5 and low < 0.5 < high < 0.75
    value, low, high = balanced_share(np.ones(12, bool), np.arange(12) % 3 * 2)  # class 1 has no label
    assert (value, high) == (1.0, 1.0) and 0.7 < low < 0.9


@pytest.mark.parametrize(
    ("accuracy", "slope", "scale"), [(0.3, 1.5, 3.0), (0.87, 2.0, 1.0), (0.98, 1.5, 4.0), (0.7, 0.0, 2.0)]
)
def test_simulated_draws_hold_the_truth(accuracy, slope, scale):
    """150 draws of 50 labels each: standard error 1.8 points at 95%. Never wider than the exact interval; where
    confidence tells, 5% narrower than Wilson's. `benchmarks/labels.py` draws a thousand."""
    found = simulate(synthetic(accuracy, slope, scale), 150, 50)
    assert found["coverage"] >= 0.91 and found["balanced_coverage"] >= 0.9
    assert found["width"] < found["exact"]
    assert found["width"] < (0.95 if slope and accuracy < 0.95 else 1.03) * found["wilson"]
