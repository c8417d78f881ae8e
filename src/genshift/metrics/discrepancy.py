"""How far another model that agrees on the source could contradict this one on the target: a bound on its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.errors import Refusal
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.inputs import as_points

STEPS = 200  # of L-BFGS; the loss is convex
RIDGE = 1e-4  # on the critic's weights: without it a separable set has no minimum
RISK = 0.05  # of the bound's concentration term


@dataclass(frozen=True)
class Said:
    """What a model says of images: `at` float [N, D], its logits or features, and its classes `said` int64 [N]."""

    at: Tensor
    said: Tensor


def disagreement_bound(source: Said, target: Said, accuracy: float, classes: int) -> tuple[float, float]:
    """A lower bound on the accuracy on a target, a share in [0, 1], and the discrepancy that it is made of.

    A critic, linear in `at`, learns to say what the model says on held-out source images and anything else on target
    images; by how much more often it contradicts the model there is the discrepancy Δ. With error ε = 1 − `accuracy` on
    n source images, and m target ones, accuracy on the target is at least 1 − ε − Δ − sqrt((n + 4m) ln(1/δ) / (2nm)),
    unless the truth contradicts the model more than any such critic can (DIS², Rosenfeld and Garg 2023, arXiv
    2306.00312, theorem 3.6 with δ = 0.05; the disagreement loss is its definition 4.1). The critic is learnt on one
    half and held against the other, in turn. Raises Refusal for fewer than 4 images of a domain or values that are not
    finite, ValueError for unlike widths.
    """
    parts = [as_points(part.at, fewest=4) for part in (source, target)]
    said = [part.said.detach().cpu().long() for part in (source, target)]
    if parts[0].shape[1] != parts[1].shape[1]:
        raise ValueError(f"the domains have {parts[0].shape[1]} and {parts[1].shape[1]} features: expected one width")
    for x, y in zip(parts, said, strict=True):
        if y.shape != x.shape[:1]:
            raise ValueError(f"there are {len(x)} images and {len(y)} answers: expected one each")
    # Standardised by the source: the critic sees both domains in one scale.
    mean, spread = parts[0].mean(0), parts[0].std(0)
    spread[spread == 0] = 1.0
    xs = [F.pad((x - mean) / spread, (0, 1), value=1.0) for x in parts]
    halves = [_halves(len(x)) for x in xs]
    gaps = []
    for learnt in (0, 1):
        train = [(x[h[learnt]], y[h[learnt]]) for x, y, h in zip(xs, said, halves, strict=True)]
        critic = _critic(train[0], train[1], classes)
        rates = [
            ((x[h[1 - learnt]] @ critic).argmax(1) != y[h[1 - learnt]]).double().mean().item()
            for x, y, h in zip(xs, said, halves, strict=True)
        ]
        gaps.append(rates[1] - rates[0])
    gap, (n, m) = max(0.0, sum(gaps) / 2), map(len, xs)
    slack = math.sqrt((n + 4 * m) * math.log(1 / RISK) / (2 * n * m))
    return max(0.0, accuracy - gap - slack), gap


def _halves(count: int) -> tuple[Tensor, Tensor]:
    """Two halves of so many rows, the same ones each time."""
    first = torch.zeros(count, dtype=torch.bool)
    first[torch.from_numpy(fixed_sample(count, count // 2, 0))] = True
    return first, ~first


def _critic(agree: tuple[Tensor, Tensor], contradict: tuple[Tensor, Tensor], classes: int) -> Tensor:
    """Weights [D, classes] of the linear critic."""
    if classes < 2:
        raise Refusal("A model of one class cannot be contradicted: expected two classes or more.")
    weights = torch.zeros(agree[0].shape[1], classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(agree[0] @ weights, agree[1]) / math.log(classes)
        value = value + disagreement_loss(contradict[0] @ weights, contradict[1]) + RIDGE * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def disagreement_loss(logits: Tensor, said: Tensor) -> Tensor:
    """The mean over images of log₂(1 + exp(h_y − mean of h over the other classes)), y = `said` [N], h = `logits`
    [N, K]: convex, 1 where the critic is undecided and 0 where it is sure of other classes (arXiv 2306.00312,
    definition 4.1)."""
    own = logits.gather(1, said[:, None])[:, 0]
    others = (logits.sum(1) - own) / (logits.shape[1] - 1)
    return F.softplus(own - others).mean() / math.log(2)
