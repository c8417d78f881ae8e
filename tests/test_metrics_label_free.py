"""Label-free measures against closed forms and statements written the long way."""

import math

import numpy as np
import pytest
import torch

from genshift.errors import Refusal
from genshift.metrics import label_free


@pytest.fixture
def said():
    """Predictions [40, 4] of a model that is fairly sure."""
    logits = np.random.default_rng(0).normal(size=(40, 4)) * 2
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_certain_and_even_predictions_have_the_information_that_theory_says():
    certain = torch.eye(5).repeat(4, 1)
    assert label_free.entropy(certain) == 0
    assert label_free.diversity(certain) == pytest.approx(math.log(5))
    assert label_free.information(certain) == pytest.approx(math.log(5))
    even = np.full((7, 5), 0.2)
    assert (label_free.entropy(even), label_free.diversity(even)) == pytest.approx((math.log(5), math.log(5)))
    one_class = np.tile([1.0, 0, 0], (9, 1))
    assert label_free.information(one_class) == 0


def test_information_is_the_mutual_information_of_image_and_class(said):
    """Summed over the joint table p(n, k) = p_n(k)/N, as its definition has it."""
    joint = said / len(said)
    image, kind = joint.sum(1), joint.sum(0)
    expected = sum(
        joint[n, k] * math.log(joint[n, k] / (image[n] * kind[k])) for n in range(len(said)) for k in range(4)
    )
    assert label_free.information(said) == pytest.approx(expected)
    assert label_free.information(torch.tensor(said, dtype=torch.float32)) == pytest.approx(expected, rel=1e-5)


def test_soft_neighbourhood_density_is_what_the_paper_says(said, monkeypatch):
    def entropy_of(i):
        others = [j for j in range(len(said)) if j != i]
        cosines = [said[i] @ said[j] / math.sqrt((said[i] @ said[i]) * (said[j] @ said[j])) for j in others]
        shares = [math.exp(c / 0.05) for c in cosines]
        return -sum(s / sum(shares) * math.log(s / sum(shares)) for s in shares)

    expected = np.mean([entropy_of(i) for i in range(len(said))])
    assert label_free.soft_neighbourhood_density(said) == pytest.approx(expected)
    monkeypatch.setattr(label_free, "ROWS", 7)
    assert label_free.soft_neighbourhood_density(said) == pytest.approx(expected)


def test_density_of_images_that_all_look_alike_or_come_in_two_camps():
    assert label_free.soft_neighbourhood_density(np.tile([0.5, 0.5], (9, 1))) == pytest.approx(math.log(8))
    camps = torch.eye(2).repeat_interleave(5, 0)  # a stranger's share is e^-20 of a neighbour's
    assert label_free.soft_neighbourhood_density(camps) == pytest.approx(math.log(4), abs=1e-6)


def test_the_density_ratio_of_two_gaussians_is_the_exact_one():
    """N(m, I) over N(0, I) is exp(m·x − |m|²/2); unequal counts must not show in it."""
    rng, mean = np.random.default_rng(1), np.array([1.0, -0.5])
    source, target = rng.normal(size=(30_000, 2)), rng.normal(size=(10_000, 2)) + mean
    at = rng.normal(size=(50, 2))
    found = label_free.density_ratio(source * 30 + 7, target * 30 + 7, at * 30 + 7)  # whatever the scale
    assert found == pytest.approx(np.exp(at @ mean - mean @ mean / 2), rel=0.15)


def test_domains_that_nothing_has_in_common_have_a_finite_ratio():
    """Points far outside of both domains, a thousand times their spread."""
    rng = np.random.default_rng(6)
    source, target = rng.normal(size=(20, 64)), rng.normal(size=(20, 64)) + 3
    far = label_free.density_ratio(source, target, np.stack([np.full(64, 1e4), np.full(64, -1e4)]))
    assert np.isfinite(far).all() and far[0] > 1e20 and far[1] < 1e-20
    assert math.isfinite(label_free.dev_risk(far, [1.0, 2.0]))


def test_features_that_never_change_tell_nothing():
    rng = np.random.default_rng(2)
    moving = [rng.normal(size=(n, 1)) for n in (300, 200, 5)]
    still = [np.concatenate([points, np.full_like(points, 3.0)], axis=1) for points in moving]
    assert label_free.density_ratio(*still) == pytest.approx(label_free.density_ratio(*moving))


def test_dev_is_the_regression_of_weighted_loss_on_weight_read_at_one():
    """The control variate moves mean(wℓ) along the line fitted through (w, wℓ) to where the mean weight is 1."""
    rng = np.random.default_rng(3)
    weights, losses = rng.gamma(2.0, 0.6, size=300), rng.exponential(size=300)
    slope, intercept = np.polyfit(weights, weights * losses, 1)
    assert label_free.dev_risk(weights, losses) == pytest.approx(slope + intercept)


def test_dev_of_equal_weights_and_of_equal_losses():
    losses = torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert label_free.dev_risk(np.ones(4), losses) == pytest.approx(0.5)
    assert label_free.dev_risk([0.1, 3.0, 0.7, 0.2], np.full(4, 0.3)) == pytest.approx(0.3)


def test_dev_finds_the_target_risk_that_the_source_hides():
    """Loss (x > 1) under N(0, 1) is 0.159, under N(1, 1) it is 0.5."""
    rng = np.random.default_rng(4)
    source, target, held = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 1, rng.normal(size=(4000, 1))
    losses = (held[:, 0] > 1).astype(float)
    assert losses.mean() == pytest.approx(0.159, abs=0.02)
    assert label_free.dev_risk(label_free.density_ratio(source, target, held), losses) == pytest.approx(0.5, abs=0.05)


def test_agreement_counts_the_images_where_a_candidate_says_what_all_say():
    """Three images; the third candidate is outvoted on the last two, by confidence on one."""
    one = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]
    two = [[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    three = [[0.7, 0.3], [0.4, 0.6], [0.6, 0.4]]  # means: [0.8, 0.2], [0.433, 0.567], [0.3, 0.7]
    assert label_free.ensemble_agreement([one, two, three]) == pytest.approx([2 / 3, 1.0, 2 / 3])
    assert label_free.ensemble_agreement(torch.tensor([one])).tolist() == [1.0]


def test_estimates_of_accuracy_are_what_the_papers_say(said):
    """ATC by its definition, over every threshold that parts the source images; DoC in one line."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(60, 4))
    target, labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True), said.argmax(1)
    labels[:9] = (labels[:9] + 1) % 4  # nine of forty are wrong
    sure = {name: (p * np.log(p)).sum(1) for name, p in (("source", said), ("target", target))}
    thresholds = [t for t in sure["source"] if np.isclose((sure["source"] < t).mean(), 9 / 40)]
    assert len(thresholds) == 1
    expected = (sure["target"] >= thresholds[0]).mean()
    assert 0 < expected < 1
    assert label_free.thresholded_confidence(said, labels, target) == pytest.approx(expected)
    shift = said.max(1).mean() - target.max(1).mean()
    found = label_free.difference_of_confidences(torch.tensor(said), torch.tensor(labels), target)
    assert found == pytest.approx(31 / 40 - shift)


def test_estimates_at_their_ends(said):
    """Of the source itself they are its accuracy; a model that is always wrong is told so."""
    right = said.argmax(1)
    some = np.where(np.arange(40) < 6, (right + 1) % 4, right)
    for estimate in (label_free.thresholded_confidence, label_free.difference_of_confidences):
        assert estimate(said, right, said) == pytest.approx(1.0)
        assert estimate(said, some, said) == pytest.approx(34 / 40)
        assert estimate(said, (right + 1) % 4, said) == pytest.approx(0.0)
        with pytest.raises(ValueError, match="one an image"):
            estimate(said, right[:5], said)


@pytest.mark.parametrize(
    ("measure", "values", "error"),
    [
        (label_free.entropy, [[0.5, 0.6]], ValueError),
        (label_free.diversity, [[1.5, -0.5]], ValueError),
        (label_free.information, np.zeros((0, 3)), Refusal),
        (label_free.information, [[float("nan"), 1.0]], Refusal),
        (label_free.soft_neighbourhood_density, [[1.0, 0.0]], Refusal),
        (label_free.ensemble_agreement, [[1.0, 0.0]], ValueError),
    ],
)
def test_what_is_no_prediction_is_refused(measure, values, error):
    with pytest.raises(error):
        measure(values)


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="one width"):
        label_free.density_ratio(np.zeros((3, 2)), np.ones((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="3 weights and 2 losses"):
        label_free.dev_risk(np.ones(3), np.ones(2))
