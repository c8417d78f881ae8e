"""Accuracy, confusion and recall against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from genshift.errors import Refusal
from genshift.metrics.binomial import exact_interval, interval, interval_of_few, standard_error
from genshift.metrics.classification import accuracy, confusion, error_of_mean, recall


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 7, (500,), generator=generator)
    noise = torch.randint(0, 7, (500,), generator=generator)
    return torch.where(torch.rand(500, generator=generator) < 0.6, labels, noise), labels


def test_accuracy_is_scikit_learns(pair):
    predicted, labels = pair
    value, error = accuracy(predicted, labels)
    assert value == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert error == pytest.approx(math.sqrt(value * (1 - value) / 500), abs=1e-12)


def test_standard_error_covers_other_draws():
    draws = [
        accuracy(torch.from_numpy(np.random.default_rng(s).random(400) < 0.7).long(), torch.ones(400).long())
        for s in range(200)
    ]
    assert np.std([value for value, _ in draws]) == pytest.approx(np.mean([e for _, e in draws]), rel=0.15)


def test_confusion_is_scikit_learns(pair):
    predicted, labels = pair
    ours = confusion(predicted, labels, 7)
    assert ours.dtype == torch.int64
    np.testing.assert_array_equal(ours.numpy(), confusion_matrix(labels, predicted, labels=range(7)))


def test_recall_is_scikit_learns(pair):
    predicted, labels = pair
    ours = recall(confusion(predicted, labels, 7))
    np.testing.assert_allclose(ours.numpy(), recall_score(labels, predicted, average=None))


def test_absent_class_has_no_recall():
    ours = recall(confusion(torch.tensor([0, 1]), torch.tensor([0, 0]), 3))
    assert ours[0] == 0.5 and torch.isnan(ours[1:]).all()


@pytest.mark.parametrize("labels, said", [([0, 3], "labels run from 0 to 3"), ([-1, 0], "labels run from -1 to 0")])
def test_labels_out_of_range_are_refused(labels, said):
    with pytest.raises(Refusal, match=said):
        confusion(torch.tensor([0, 1]), torch.tensor(labels), 3)


def test_empty_and_unlike_shapes():
    with pytest.raises(Refusal, match="no images"):
        accuracy(torch.zeros(0).long(), torch.zeros(0).long())
    with pytest.raises(ValueError, match=r"both must be \[N\]"):
        accuracy(torch.zeros(3, 1).long(), torch.zeros(3).long())


@pytest.mark.parametrize(("right", "error"), [(5, 0.1386), (0, 0.1386)])
def test_a_few_images_that_are_all_right_or_all_wrong_have_an_error(right, error):
    labels = torch.ones(5).long()
    value, measured = accuracy(torch.full((5,), int(right > 0)), labels)
    assert (value, measured) == (right / 5, pytest.approx(error, abs=1e-4))  # (7/9 · 2/9 / 9)^½: Agresti and Coull 1998
    assert error_of_mean(torch.full((5, 40), float(right > 0)).double().mean(1)) == pytest.approx(error, abs=1e-4)
    assert standard_error(0.999999999, 10_000) > 0 and standard_error(0.8, 5) == math.sqrt(0.8 * (1 - 0.8) / 5)


@pytest.mark.parametrize(("right", "n"), [(0, 100), (7, 100), (100, 100), (500, 1000)])
def test_the_interval_of_a_share_is_wilsons(right, n):
    known = binomtest(right, n).proportion_ci(method="wilson")
    assert interval(right / n, n) == pytest.approx((known.low, known.high), abs=1e-9)


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (97, 100), (33, 50)])
def test_exact_intervals_are_clopper_and_pearsons(right, n):
    wanted = binomtest(right, n).proportion_ci(0.95, "exact")
    assert exact_interval(right, n) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert interval_of_few(right / n, n) == exact_interval(right, n) and interval_of_few(0.5, 1_000) is None
