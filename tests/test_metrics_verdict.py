"""Evidence of target accuracy without labels: transport, disagreement, temperature; against closed forms and torch."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from genshift.errors import Refusal
from genshift.metrics.calibration import at_temperature, expected_calibration_error, temperature, temperature_of_mean
from genshift.metrics.discrepancy import Said, disagreement_bound, disagreement_loss
from genshift.metrics.label_free import optimal_transport


def predictions(n, classes, seed, sharp=2.0):
    return (sharp * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))).softmax(1).double()


# --- optimal transport ------------------------------------------------------------------------------------------------


def test_transport_is_the_linear_programmes():
    """arXiv 2305.15640, equation 4: rows give 1/n each, columns take their class shares."""
    p, shares = predictions(12, 3, 0), np.array([1 / 6, 1 / 3, 1 / 2])
    rows = np.kron(np.eye(12), np.ones(3))
    columns = np.kron(np.ones(12), np.eye(3))
    solved = linprog((1 - p.numpy()).ravel(), A_eq=np.vstack([rows, columns]), b_eq=[*[1 / 12] * 12, *shares])
    assert optimal_transport(shares, p) == pytest.approx(1 - solved.fun)


def test_transport_pays_for_classes_that_too_many_are_taken_for():
    """All sure of class 0, of which half should be: half of them must be wrong."""
    sure = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    assert optimal_transport([0.5, 0.5], sure) == pytest.approx(0.5)
    assert optimal_transport([1.0, 0.0], sure) == pytest.approx(1.0)
    assert optimal_transport([0.74, 0.26], sure) == pytest.approx(0.7)  # whole images: the largest remainder is 0's
    with pytest.raises(ValueError, match="shares of 3 classes and predictions of 2"):
        optimal_transport([0.5, 0.25, 0.25], sure)


# --- disagreement -----------------------------------------------------------------------------------------------------


def test_the_disagreement_loss_is_one_where_undecided_and_none_where_contradicting():
    """arXiv 2306.00312, definition 4.1."""
    said = torch.tensor([0, 1])
    assert disagreement_loss(torch.zeros(2, 3), said).item() == pytest.approx(1.0)
    against = torch.tensor([[-50.0, 50.0, 50.0], [50.0, -50.0, 50.0]])
    assert disagreement_loss(against, said).item() == pytest.approx(0.0, abs=1e-6)
    h = torch.randn(2, 3, dtype=torch.float64)
    by_hand = [math.log2(1 + math.exp(h[i, y] - (h[i].sum() - h[i, y]) / 2)) for i, y in enumerate(said)]
    assert disagreement_loss(h, said).item() == pytest.approx(np.mean(by_hand))


def blobs(n, shift, seed):
    """Two classes two units apart along the first of two axes; a model that says which side of 0; the domain moved
    along the second axis."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(n) % 2
    x = torch.randn(n, 2, generator=generator) * 0.3
    x[:, 0] += 2.0 * truth - 1.0
    x[:, 1] += shift
    return Said(x, (x[:, 0] > 0).long())


def test_a_domain_that_no_line_tells_apart_cannot_be_contradicted():
    """The bound is then source accuracy less its concentration term; of a separable one, which a critic can take for a
    third class, nothing is promised."""
    n, m = 1_000, 800
    slack = math.sqrt((n + 4 * m) * math.log(20) / (2 * n * m))
    same, gap = disagreement_bound(blobs(n, 0, 0), blobs(m, 0, 1), 0.98, 3)
    assert gap < 0.02 and same == pytest.approx(0.98 - gap - slack)
    apart, gap = disagreement_bound(blobs(n, 0, 0), blobs(m, 9, 1), 0.98, 3)
    assert gap > 0.9 and apart == 0.0
    assert disagreement_bound(blobs(n, 0, 0), blobs(m, 9, 1), 0.98, 3) == (apart, gap)  # the same each time


def test_the_bound_refuses_what_it_cannot_learn_from():
    with pytest.raises(Refusal, match="expected at least 4"):
        disagreement_bound(blobs(3, 0, 0), blobs(9, 0, 1), 1.0, 2)
    with pytest.raises(Refusal, match="one class cannot be contradicted"):
        disagreement_bound(blobs(9, 0, 0), blobs(9, 0, 1), 1.0, 1)
    with pytest.raises(ValueError, match="2 and 3 features"):
        disagreement_bound(blobs(9, 0, 0), Said(torch.zeros(9, 3), torch.zeros(9)), 1.0, 2)


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hot", [0.5, 2.0, 5.0])
def test_the_temperature_that_spoiled_calibrated_predictions_is_found(hot):
    generator = torch.Generator().manual_seed(0)
    calibrated = predictions(20_000, 5, 1)
    labels = torch.multinomial(calibrated, 1, generator=generator)[:, 0]
    spoiled = at_temperature(calibrated, 1 / hot)  # too sure where hot is above 1
    assert temperature(spoiled, labels) == pytest.approx(hot, rel=0.05)
    cooled = at_temperature(spoiled, temperature(spoiled, labels))
    errors = [expected_calibration_error(p.amax(1), p.argmax(1) == labels) for p in (calibrated, spoiled, cooled)]
    assert errors[2] < 0.02 < errors[1] and errors[0] < 0.02


def test_a_set_without_a_mistake_does_not_make_predictions_certain():
    labels = torch.arange(100) % 4
    right = at_temperature(torch.nn.functional.one_hot(labels, 4).double(), 8.0)
    assert 0.9 < at_temperature(right, temperature(right, labels)).amax(1).mean() < 1


def test_calibration_error_is_the_binned_mean():
    """Guo et al. 2017, equation 3, by hand: two bins of 15."""
    sure, right = [0.99, 0.97, 0.5, 0.52], [1, 0, 1, 1]
    by_hand = (abs(0.99 + 0.97 - 1) + abs(0.5 + 0.52 - 2)) / 4
    assert expected_calibration_error(sure, right) == pytest.approx(by_hand)
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        expected_calibration_error([1.5], [1])


def test_a_temperature_brings_the_mean_confidence_to_a_share():
    said = predictions(200, 5, 3, sharp=4.0)
    for share in (0.35, 0.6, 0.9):
        assert at_temperature(said, temperature_of_mean(said, share)).amax(1).mean().item() == pytest.approx(
            share, abs=1e-6
        )
    assert temperature_of_mean(said, 0.1) == 20.0, "five classes are never less sure than a fifth"
    assert temperature_of_mean(said, 1.0) == 0.05
