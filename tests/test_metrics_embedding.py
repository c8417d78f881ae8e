"""The fixed sample and t-SNE: deterministic, faithful to neighbours, safe on few points."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

from genshift.errors import Refusal
from genshift.metrics.embedding import fitting_perplexity, fixed_sample, tsne


def test_sample_is_sorted_unique_and_the_same_every_time():
    drawn = fixed_sample(1000, 100, seed=0)
    assert drawn.dtype == np.int64 and len(np.unique(drawn)) == 100 and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, fixed_sample(1000, 100, seed=0))
    assert not np.array_equal(drawn, fixed_sample(1000, 100, seed=1))
    assert set(drawn) <= set(fixed_sample(1000, 300, seed=0))


def test_sample_is_pinned():
    """These numbers may never change: figures made before and after must show the same images."""
    assert fixed_sample(50, 6, seed=0).tolist() == [4, 9, 11, 15, 25, 48]


def test_sample_is_even_and_never_larger_than_the_set():
    counts = np.bincount(np.concatenate([fixed_sample(20, 5, seed) for seed in range(2000)]), minlength=20)
    assert abs(counts - 500).max() < 100
    assert fixed_sample(4, 10, seed=2).tolist() == [0, 1, 2, 3]
    assert len(fixed_sample(0, 10, seed=2)) == 0


def test_tsne_keeps_neighbours_and_is_deterministic():
    features = load_digits().data[:250]
    plane = tsne(features)
    assert plane.shape == (250, 2) and plane.dtype == np.float32
    assert trustworthiness(features, plane, n_neighbors=10) > 0.93
    np.testing.assert_array_equal(plane, tsne(torch.from_numpy(features)))


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 9, 40])
@pytest.mark.parametrize("width", [1, 3])
def test_few_points_are_laid_out(n, width):
    plane = tsne(np.random.default_rng(n).normal(size=(n, width)).astype(np.float32))
    assert plane.shape == (n, 2) and np.isfinite(plane).all()


def test_identical_points_are_laid_out():
    assert np.isfinite(tsne(np.ones((30, 8)))).all()


def test_perplexity_shrinks_with_the_set():
    assert fitting_perplexity(10_000) == 30 and fitting_perplexity(31) == 10 and fitting_perplexity(2) == 1


def test_features_that_are_not_finite_are_refused():
    features = np.ones((10, 4))
    features[3, 1] = np.nan
    with pytest.raises(Refusal, match="1 of 10 feature rows"):
        tsne(features)
    with pytest.raises(ValueError, match=r"expected \[N, D\]"):
        tsne(np.ones(4))
