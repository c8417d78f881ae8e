"""How well a straight line tells features apart: what a network has laid open, beside what it still holds."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.errors import Refusal
from genshift.metrics.binomial import standard_error
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.inputs import as_points

MOST_STEPS = 5_000  # of the logistic regression; far more than it takes


def linear_probe(features: Tensor, labels: Tensor) -> tuple[float, float]:
    """The held-out accuracy of a logistic regression of `labels`, integers [N], on `features` [N, D], and its binomial
    standard error; chance is the share of the commonest label.

    Two halves, as many of each label in both, take turns: learnt from one (standardised, scikit-learn's default ridge)
    and tested on the other, so that every row counts once. The same for the same input. Raises ValueError for unlike
    lengths, Refusal for features that are not finite, or where fewer than two labels have two rows.
    """
    from sklearn.linear_model import LogisticRegression  # here, for the import takes about a second
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = as_points(features, fewest=4).numpy(), labels.detach().cpu()
    if y.shape != x.shape[:1]:
        raise ValueError(f"there are {len(x)} features and labels {tuple(y.shape)}: expected one a row")
    in_first = torch.zeros(len(y), dtype=torch.bool)
    for label in y.unique():
        rows = (y == label).nonzero().flatten()
        in_first[rows[torch.from_numpy(fixed_sample(len(rows), len(rows) // 2, int(label)))]] = True
    halves = in_first, ~in_first
    if min(len(y[half].unique()) for half in halves) < 2:
        raise Refusal(f"Of {len(y)} images fewer than two classes have two: expected two or more of each; add some.")
    right = 0
    for learnt, held_out in (halves, halves[::-1]):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_STEPS))
        probe.fit(x[learnt.numpy()], y[learnt].numpy())
        right += int((probe.predict(x[held_out.numpy()]) == y[held_out].numpy()).sum())
    return right / len(y), standard_error(right / len(y), len(y))
