"""Repeats, kept colours and latent moments against second implementations, closed forms and pictures that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.spatial.distance import pdist, squareform

from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.evaluation.difficulty import measure_difficulty
from genshift.evaluation.findings import Findings
from genshift.metrics.colours import border_colour, correlation, middle_colour
from genshift.metrics.edges import side_edges
from genshift.metrics.moments import divergence_from_normal, mixture_moments
from genshift.metrics.repeats import repeats
from genshift.metrics.stability import spread_of_loss


def points(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width)))


def test_repeats_are_counted_as_scipy_counts_them():
    real, drawn = points(60, 3, 0), points(60, 3, 1) * 0.7
    drawn[:6] = drawn[6:12] + 1e-3
    nearest = squareform(pdist(drawn.numpy())) + np.diag([np.inf] * 60)
    expected = (nearest.min(1) < pdist(real.numpy()).min()).mean()
    assert 12 / 60 <= expected < 1 and repeats(drawn.float(), real.float()) == expected
    assert repeats(real, real) == 0, "the nearest real pair is no nearer than itself"
    assert repeats(real[:1].expand(60, 3), real) == 1


def test_a_real_picture_that_is_there_twice_hides_no_repeat():
    real, drawn = points(20, 3, 0), 10 * points(20, 3, 1)
    real[0], drawn[0] = real[1], drawn[1] + 1e-6
    assert repeats(drawn, real) == 2 / 20
    assert repeats(drawn, torch.ones(20, 3)) == 0
    with pytest.raises(ValueError, match="one shape"):
        repeats(drawn, real[:19])


@pytest.mark.parametrize("side", [16, 64])
def test_the_border_is_an_eighth_and_the_middle_half_of_a_picture(side):
    images = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    eighth, quarter = side // 8, side // 4
    images[:, 0] = 255
    images[:, 0, eighth:-eighth, eighth:-eighth] = 0  # red is on the border alone
    images[:, 1, quarter:-quarter, quarter:-quarter] = 51  # and green in the middle
    assert border_colour(images).tolist() == [[1.0, 0.0, 0.0]] * 2
    assert middle_colour(images / 255).tolist() == [[0.0, pytest.approx(0.2), 0.0]] * 2


def test_correlation_is_scipys_and_its_error_fishers():
    one, other = points(50, 3, 0), points(50, 3, 1)
    other += 2 * one
    expected = np.mean([stats.pearsonr(one[:, k], other[:, k]).statistic for k in range(3)])
    value, error = correlation(one, other)
    assert value == pytest.approx(expected) and error == pytest.approx((1 - expected**2) / math.sqrt(47))
    assert correlation(one, 3 * one + 1)[0] == pytest.approx(1)
    assert correlation(one, torch.ones(50, 3))[0] == 0, "what is always the same keeps nothing"
    with pytest.raises(Refusal, match="no correlation"):
        correlation(torch.ones(50, 3), one)


def test_moments_are_those_of_what_is_drawn():
    means, log_variances = points(7, 4, 0), points(7, 4, 1)
    rng = np.random.default_rng(2)
    drawn = means.numpy() + np.exp(log_variances.numpy() / 2) * rng.normal(size=(100_000, 7, 4))
    mean, variance = mixture_moments(means, log_variances)
    np.testing.assert_allclose(mean, drawn.mean((0, 1)), atol=0.02)
    np.testing.assert_allclose(variance, drawn.reshape(-1, 4).var(0), rtol=0.02)


def test_divergence_is_the_integral_that_it_is_named_for():
    gaussian, normal = stats.norm(0.7, 1.4), stats.norm()
    expected, _ = integrate.quad(lambda z: gaussian.pdf(z) * (gaussian.logpdf(z) - normal.logpdf(z)), -12, 12)
    mean, variance = torch.tensor([0.7, 0.0]).double(), torch.tensor([1.96, 1.0]).double()
    assert divergence_from_normal(mean, variance) == pytest.approx(expected)


def test_vectors_from_the_prior_have_the_divergence_that_is_given_as_floor():
    """D / n, to the first order."""
    drawn = [points(100, 64, seed) for seed in range(20)]
    kls = [divergence_from_normal(z.mean(0), z.var(0, correction=0)) for z in drawn]
    assert np.mean(kls) == pytest.approx(64 / 100, rel=0.05)


def test_the_spread_of_a_loss_leaves_out_its_fall_and_has_the_error_of_a_deviation():
    rng = np.random.default_rng(0)
    losses = [100.0] * 10 + list(rng.normal(0.7, 0.2, 90))
    spread, error = spread_of_loss(losses)
    assert spread == pytest.approx(np.std(losses[10:], ddof=1)) and error == pytest.approx(spread / math.sqrt(178))
    spreads = [spread_of_loss(list(rng.normal(0, 0.2, 100)))[0] for _ in range(400)]
    assert np.std(spreads) == pytest.approx(0.2 / math.sqrt(178), rel=0.15)
    for bad in ([1.0, 2.0], [1.0, 2.0, math.nan, 3.0]):
        with pytest.raises(Refusal, match="expected 3 finite or more"):
            spread_of_loss(bad)


def test_edges_beside_the_middle_are_counted_as_numpy_counts_them():
    images = torch.from_numpy(np.random.default_rng(0).random((3, 1, 12, 16)))
    rows, columns = np.diff(images[:, 0].numpy(), axis=1)[:, :, :-1], np.diff(images[:, 0].numpy(), axis=2)[:, :-1]
    energy = (rows**2 + columns**2).sum(1)
    np.testing.assert_allclose(side_edges(images), (energy[:, :4].sum(1) + energy[:, -4:].sum(1)) / energy.sum(1))
    bars = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    bars[0, :, :, 7:9], bars[1, :, :, 1] = 200, 200  # in the middle, at the side, and nothing at all
    assert side_edges(bars).tolist() == [0.0, pytest.approx(1.0), 0.0]


def test_house_numbers_are_parted_by_blur_and_by_their_neighbours():
    """A classifier that fails on blurred pictures alone, and one that fails on those with a neighbour alone."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(100, 110, (90, 1, 16, 16), dtype=np.uint8))
    images[:30, :, :, 8:10] = 250  # a digit in the middle, sharp
    images[30:60, :, :, 1:3] = 250  # another beside, as sharp
    found, svhn = Findings(()), ImageSet("svhn", images, torch.zeros(90, dtype=torch.int64), ("0",))
    measure_difficulty(found, svhn, torch.arange(90) < 60)
    assert found.results["oracle/lost_to_blur"].value == 1 and found.results["oracle/lost_to_blur"].n == 60
    beside = Findings(())
    measure_difficulty(beside, svhn, (torch.arange(90) < 30) | (torch.arange(90) >= 60))
    assert [row["third"] for row in beside.record["difficulty"]][3:] == [
        "most beside the digit",
        "between",
        "least beside it",
    ]
    assert [row["accuracy"] for row in beside.record["difficulty"]][3:] == [0.0, 1.0, 1.0]
    other = Findings(())
    measure_difficulty(other, replace(svhn, name="usps"), torch.arange(90) < 60)
    assert other.results == {} and "difficulty" not in other.record
