"""How good an adapted classifier is on its target, estimated without one target label.

Every function is of arrays alone (numpy or torch, any device) and gives float64; whoever calls it says whose images
they are of. Nothing here knows a target label: `dev_risk` takes losses on labelled SOURCE images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genshift.metrics.inputs import as_points

Array = npt.ArrayLike | Tensor

TEMPERATURE = 0.05  # Saito et al. 2021: the same for every task
ROWS = 500  # of the similarity matrix at a time
SUMS_TO_ONE = 1e-3  # probabilities may have come in half precision
MOST_LOG_ODDS = 50.0  # wider features than there are images tell domains apart without a doubt, and overflow
MOST_STEPS = 5_000  # of the logistic regression; far more than it takes


def entropy(probabilities: Array) -> float:
    """The mean entropy of the predictions [N, K], in nats: 0 where all are certain, log K where all are even.

    Smaller is taken for better, but a model that is certain of one class for every image has none either. Raises
    ValueError for rows that are no probabilities, Refusal for no rows or values that are not finite.
    """
    return _entropies(as_probabilities(probabilities)).mean().item()


def diversity(probabilities: Array) -> float:
    """The entropy of the mean prediction over [N, K], in nats: 0 where one class takes all, log K where all take part.

    Larger is taken for better; the truth of an imbalanced target is below log K. Raises as `entropy` does.
    """
    return _entropies(as_probabilities(probabilities).mean(0, keepdim=True)).item()


def information(probabilities: Array) -> float:
    """Diversity less entropy of the predictions [N, K], in nats from 0 to log K; larger is better.

    The mutual information of image and predicted class (Bridle et al. 1991, "Unsupervised classifiers, mutual
    information and 'phantom targets'"; used to adapt in SHOT, arXiv 2002.08546). Raises as `entropy` does.
    """
    return diversity(probabilities) - entropy(probabilities)


def soft_neighbourhood_density(probabilities: Array) -> float:
    """SND of the predictions [N, K] on target images, in nats from 0 to log(N − 1); larger is better.

    Each image's similarities to all others, cosines of their predictions over a temperature, are made a distribution
    by softmax; SND is the mean of its entropies: images of one class should stand close together (Saito et al. 2021,
    arXiv 2108.10860; equation 2 has the temperature). It depends on N, and a model that takes all images for one class
    has the highest.
    Raises as `entropy` does, Refusal for fewer than 2 rows.
    """
    rows = torch.nn.functional.normalize(as_probabilities(probabilities, fewest=2), dim=1)
    entropies = []
    for start in range(0, len(rows), ROWS):
        similar = rows[start : start + ROWS] @ rows.T / TEMPERATURE
        similar.diagonal(offset=start).fill_(-torch.inf)  # no image is its own neighbour
        entropies.append(_entropies(similar.softmax(1)))
    return torch.cat(entropies).mean().item()


def density_ratio(source: Array, target: Array, at: Array) -> npt.NDArray[np.float64]:
    """How much denser target features are than source features at the points `at` [V, D]: weights float64 [V].

    A logistic regression tells `source` [N, D] from `target` [M, D] (standardised together; scikit-learn's default
    ridge); by Bayes' rule the ratio is N/M · P(target | x) / P(source | x) (You et al. 2019, where a small
    network takes the regression's place). Raises ValueError for unlike widths, Refusal for no rows or values that are
    not finite.
    """
    from sklearn.linear_model import LogisticRegression  # here, for the import takes about a second

    sets = [as_points(torch.as_tensor(points)) for points in (source, target, at)]
    if len({points.shape[1] for points in sets}) > 1:
        raise ValueError(f"features are {', '.join(str(tuple(p.shape)) for p in sets)}: expected one width")
    # Standardised; a feature that never varies stays as it is.
    both = torch.cat(sets[:2])
    mean, spread = both.mean(0), both.std(0, correction=0)
    spread[spread == 0] = 1.0
    # P(target | x) / P(source | x) at the points, and Bayes' rule.
    is_target = np.repeat([0, 1], [len(sets[0]), len(sets[1])])
    classifier = LogisticRegression(max_iter=MOST_STEPS).fit(((both - mean) / spread).numpy(), is_target)
    log_odds = classifier.decision_function(((sets[2] - mean) / spread).numpy())
    odds = np.exp(np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS))
    return np.asarray(odds * len(sets[0]) / len(sets[1]), dtype=np.float64)


def dev_risk(weights: Array, losses: Array) -> float:
    """DEV's estimate of the target risk from `losses` [V] on held-out source images and their `density_ratio` [V].

    Smaller is better; in the unit of the losses, and below 0 at times. R = mean(wℓ) + η mean(w) − η with the control
    variate's η = −Cov(wℓ, w)/Var(w), for the weights' mean is known to be 1 (You et al. 2019, "Towards Accurate Model
    Selection in Deep Unsupervised Domain Adaptation", PMLR 97). Raises ValueError for unlike shapes,
    Refusal for fewer than 2 images or values that are not finite.
    """
    w, loss = (as_points(torch.as_tensor(values)[:, None], fewest=2)[:, 0] for values in (weights, losses))
    if w.shape != loss.shape:
        raise ValueError(f"there are {len(w)} weights and {len(loss)} losses: expected one of each an image")
    weighted, centred = w * loss, w - w.mean()
    variance = centred.square().mean().item()
    eta = -(weighted * centred).mean().item() / variance if variance > 0 else 0.0  # equal weights vary with nothing
    return weighted.mean().item() + eta * (w.mean().item() - 1.0)


def ensemble_agreement(probabilities: Array) -> npt.NDArray[np.float64]:
    """For each of M candidates, with predictions [M, N, K] on the same target images, the share of images for which
    it names the class that the mean prediction of all candidates names: float64 [M] in [0, 1]; larger is better.

    EnsV (Hu et al. 2024, "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and
    A Certified Baseline", NeurIPS datasets and benchmarks): ŷ_n = argmax_k Σ_m p_m(k | x_n), and a candidate's score is
    its accuracy against ŷ. Raises ValueError for another shape, and as `entropy` does.
    """
    stacked = torch.as_tensor(probabilities)
    if stacked.ndim != 3:
        raise ValueError(f"probabilities are {tuple(stacked.shape)}: expected [candidates, N, K]")
    predictions = torch.stack([as_probabilities(candidate) for candidate in stacked])
    ensemble = predictions.mean(0).argmax(1)
    return (predictions.argmax(2) == ensemble).double().mean(1).numpy()


def thresholded_confidence(source: Array, labels: Array, target: Array) -> float:
    """ATC, an estimate of the accuracy on a target from predictions [V, K] on labelled source images, their `labels`
    [V], and predictions [N, K] on target images: a share in [0, 1].

    The threshold t of confidence is such that as many source images lie below it as are got wrong (fewer where several
    are as confident as t); the estimate is the share of target images that do not lie below it. Confidence is the
    negative entropy (Garg et al. 2022, arXiv 2201.04234, equations 1 and 2; without their calibration by a
    temperature). Raises as `entropy` does, ValueError for unlike counts.
    """
    on_source, on_target, right = _checked(source, labels, target)
    confidence, wrong = (-_entropies(on_source)).sort().values, int((~right).sum())
    if wrong == len(on_source):  # then no threshold is high enough
        return 0.0
    return (-_entropies(on_target) >= confidence[wrong]).double().mean().item()


def difference_of_confidences(source: Array, labels: Array, target: Array) -> float:
    """DoC, as `thresholded_confidence` but: source accuracy less what the mean confidence loses from source to target.

    Confidence is the largest probability; the estimate is cut to [0, 1] (Guillory et al. 2021, arXiv 2107.03315: the
    difference itself, without a regression over other shifts).
    """
    on_source, on_target, right = _checked(source, labels, target)
    lost = on_source.amax(1).mean() - on_target.amax(1).mean()
    return (right.double().mean() - lost).clamp(0, 1).item()


def optimal_transport(class_shares: Array, target: Array) -> float:
    """COT, an estimate of the accuracy on a target from predictions [N, K] on its images and the shares [K] that the
    classes have in the source: a share in [0, 1].

    Labels in the source's shares are given to the target's images so that the predictions contradict them least: a
    picture that gets class y costs 1 − p_y, and the mean cost is the estimated error (Lu et al. 2023, arXiv 2305.15640,
    equation 4, with ‖p − e_y‖∞ as its cost). Classes that the target has in other shares make it too low. Raises as
    `as_probabilities` does, ValueError for another number of classes.
    """
    from scipy.optimize import linear_sum_assignment

    rows, shares = as_probabilities(target).numpy(), as_probabilities(torch.as_tensor(class_shares)[None])[0].numpy()
    if shares.shape != rows.shape[1:]:
        raise ValueError(f"there are shares of {len(shares)} classes and predictions of {rows.shape[1]}")
    # Whole numbers of images for each class: the parts that rounding down leaves go to the largest remainders.
    counts = np.floor(shares * len(rows)).astype(int)
    order = np.argsort(counts - shares * len(rows), kind="stable")
    counts[order[: len(rows) - counts.sum()]] += 1
    labels = np.repeat(np.arange(len(shares)), counts)
    images, places = linear_sum_assignment(1.0 - rows[:, labels])
    return float(rows[images, labels[places]].mean())


def _checked(source: Array, labels: Array, target: Array) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of source and target images, and which of the source's are right, bool [V]."""
    on_source, on_target, true = as_probabilities(source), as_probabilities(target), torch.as_tensor(labels).cpu()
    if true.shape != on_source.shape[:1]:
        raise ValueError(
            f"there are {len(on_source)} predictions and labels {tuple(true.shape)}: expected one an image"
        )
    return on_source, on_target, on_source.argmax(1) == true


def are_probabilities(values: Tensor) -> bool:
    """Whether each row of `[…, K]` is a distribution."""
    return not bool((values < 0).any()) and bool(((values.double().sum(-1) - 1).abs() <= SUMS_TO_ONE).all())


def as_probabilities(values: Array, fewest: int = 1) -> Tensor:
    """`values` as float64 [N, K] on the CPU; ValueError for rows that are no distributions, Refusal for fewer than
    `fewest` rows or values that are not finite."""
    rows = as_points(torch.as_tensor(values), fewest)
    if not are_probabilities(rows):
        raise ValueError("rows must be probabilities: none below 0, and their sum 1")
    return rows


def _entropies(rows: Tensor) -> Tensor:
    """Of each row of probabilities, in nats; 0 log 0 is 0."""
    return -torch.xlogy(rows, rows).sum(1)
