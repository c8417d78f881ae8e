"""Guidance: the predicted picture, moved away from what a worse model predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genshift.diffusion.process import Levels

# (x at level i, i, labels int64 [N] with -1 for none, or None) to the predicted x_0.
Predict = Callable[[Tensor, int, Tensor | None], Tensor]


@dataclass(frozen=True)
class Guidance:
    """D = D_bad + strength (D_good - D_bad), for noise levels t in (low, high] (arXiv 2404.07724), and there in all
    steps but a random share `skip` of them (hw2). Strength 1 is no guidance.

    D_bad is the same network without the label (classifier-free: arXiv 2207.12598, equation 6, with w = strength - 1),
    a `weak` network with it (autoguidance: arXiv 2406.02507, equation 3), or the mean of both.
    """

    strength: float = 1.0
    low: float = 0.0
    high: float = 1.0
    skip: float = 0.0

    def acts(self, t: float) -> bool:
        """Whether the noise level t is guided."""
        return self.strength != 1.0 and self.low < t <= self.high


class Guided:
    """A guided prediction, for a sampler; `evaluations` counts the pictures that were passed through a network, for
    each picture drawn.

    labels: int64 `[N]`, or None. coin: where the skipped steps' random numbers come from. Guidance leads away from the
    prediction without labels where it is `unconditional`, and from `weak` where there is one.
    """

    def __init__(
        self,
        predict: Predict,
        guidance: Guidance,
        levels: Levels,
        labels: Tensor | None,
        coin: torch.Generator,
        weak: Predict | None = None,
        unconditional: bool = True,
    ) -> None:
        self.predict, self.guidance, self.levels = predict, guidance, levels
        self.labels, self.coin, self.weak, self.unconditional = labels, coin, weak, unconditional
        self.evaluations = 0

    def __call__(self, x: Tensor, i: int) -> Tensor:
        """The predicted x_0 at level i."""
        guided = self.guidance.acts(self.levels.time[i].item())
        if guided and self.guidance.skip:  # at random, no guidance in this step
            guided = torch.rand((), generator=self.coin).item() >= self.guidance.skip
        if not guided:
            self.evaluations += 1
            return self.predict(x, i, self.labels)
        good, worse = self._all(x, i)
        self.evaluations += 1 + len(worse)
        bad = sum(worse[1:], worse[0]) / len(worse)
        return bad + self.guidance.strength * (good - bad)

    def _all(self, x: Tensor, i: int) -> tuple[Tensor, list[Tensor]]:
        """The good prediction, and the worse ones."""
        weak = [] if self.weak is None else [self.weak(x, i, self.labels)]
        if not self.unconditional:
            return self.predict(x, i, self.labels), weak
        assert self.labels is not None
        labels = torch.cat([self.labels, torch.full_like(self.labels, -1)])
        good, bad = self.predict(torch.cat([x, x]), i, labels).chunk(2)  # one pass through the network
        return good, [bad, *weak]
