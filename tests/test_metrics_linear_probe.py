"""The linear probe against scikit-learn's own cross-validation, where the truth is known, and where it has none."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genshift.errors import Refusal
from genshift.metrics.linear_probe import linear_probe


def two_clouds(distance: float, n: int = 2_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit Gaussians of 5 dimensions whose means are so far apart."""
    points, labels = np.random.default_rng(0).normal(size=(n, 5)), np.arange(n) % 2
    points[:, 0] += distance * labels
    return torch.from_numpy(points), torch.from_numpy(labels)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_two_gaussians_are_told_apart_as_often_as_bayes_rule_can(distance):
    accuracy, error = linear_probe(*two_clouds(distance))
    assert error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 2_000))
    assert accuracy == pytest.approx(norm.cdf(distance / 2), abs=3 * error)


def test_it_agrees_with_cross_validation_and_is_the_same_every_time():
    data = load_digits()
    features, labels = torch.from_numpy(data.data[:600]), torch.from_numpy(data.target[:600])
    halves = StratifiedKFold(2, shuffle=True, random_state=0)
    accuracy, error = linear_probe(features, labels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    reference = cross_val_score(probe, data.data[:600], data.target[:600], cv=halves).mean()
    assert accuracy == pytest.approx(reference, abs=3 * error)
    assert (accuracy, error) == linear_probe(features.float(), labels.int()), "of any type"
    assert linear_probe(features, labels.flip(0))[0] < 0.2, "labels of other pictures are chance"


def test_what_has_no_two_labels_is_refused():
    features, labels = two_clouds(1.0, 8)
    with pytest.raises(Refusal, match="fewer than two classes"):
        linear_probe(features, torch.zeros(8))
    with pytest.raises(Refusal, match="fewer than two classes"):
        linear_probe(features, torch.arange(8))
    with pytest.raises(ValueError, match="expected one a row"):
        linear_probe(features, labels[:7])
    with pytest.raises(Refusal, match="finite"):
        linear_probe(features / 0, labels)
