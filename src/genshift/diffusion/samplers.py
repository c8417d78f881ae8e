"""Samplers: from noise down a ladder of levels x_i = α_i x_0 + σ_i ε to a picture.

One signature for all, for any α and σ: variance preserving, straight lines, EDM. With λ = log(α/σ) and the prediction
x_θ held constant, the flow between two levels is solved exactly (DPM-Solver++, arXiv 2211.01095, Proposition 4.1), here
without a division by α, so that it is finite where α = 0 and exact where σ' = 0:

    x' = (σ'/σ) x + (α' - α σ'/σ) x_θ

The samplers differ in what they put for x_θ. Lists of predictions start with the newest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from genshift.diffusion.process import Levels

Denoise = Callable[[Tensor, int], Tensor]  # (x at level i, i) -> predicted x_0; a call is one network evaluation
Noise = Callable[[], Tensor]  # fresh N(0, I) in the form of x
FAR = 100.0  # σ/α beyond EDM's 80: pictures with values of order 1 have left no trace there


@dataclass(frozen=True)
class State:
    """After `step` steps: x at level `step`, and the x_0 that was predicted at the level before."""

    step: int
    x: Tensor
    x0: Tensor


Sampler = Callable[[Denoise, Tensor, Levels, Noise], Iterator[State]]


def ddpm(denoise: Denoise, x: Tensor, levels: Levels, noise: Noise) -> Iterator[State]:
    """Ancestral sampling: DDPM, arXiv 2006.11239, Algorithm 2, for any levels.

    The mean is that of q(x_s | x_t, x_0) (equation 7). The variance is the larger of the paper's two, β_t, the right
    one for x_0 ~ N(0, I) (section 3.2). With σ_{t|s}² = σ_t² - (α_t/α_s)² σ_s² this is, for any process,
    σ_{t|s}² (α_s² + σ_s²)/(α_t² + σ_t²); in DDPM's own both sums are 1. The last step has no noise.
    """
    alpha, sigma = levels.alpha.tolist(), levels.sigma.tolist()
    for i in range(len(levels)):
        x0 = denoise(x, i)
        ratio = alpha[i] / alpha[i + 1]
        added = sigma[i] ** 2 - (ratio * sigma[i + 1]) ** 2
        x = ratio * (sigma[i + 1] / sigma[i]) ** 2 * x + alpha[i + 1] * added / sigma[i] ** 2 * x0
        if i + 1 < len(levels):
            norm = (alpha[i + 1] ** 2 + sigma[i + 1] ** 2) / (alpha[i] ** 2 + sigma[i] ** 2)
            x = x + math.sqrt(added * norm) * noise()
        yield State(i + 1, x, x0)


def ddim(denoise: Denoise, x: Tensor, levels: Levels, noise: Noise, eta: float = 0.0) -> Iterator[State]:
    """DDIM, arXiv 2010.02502, equation 12, with equation 16's variance for any levels.

    `eta` in [0, 1]: 0 is the deterministic flow, 1 is ancestral sampling with the smaller variance, that of
    q(x_s | x_t, x_0).
    """
    alpha, sigma = levels.alpha.tolist(), levels.sigma.tolist()
    for i in range(len(levels)):
        x0 = denoise(x, i)
        added = sigma[i] ** 2 - (alpha[i] / alpha[i + 1] * sigma[i + 1]) ** 2
        fresh = eta * sigma[i + 1] / sigma[i] * math.sqrt(added)
        kept = math.sqrt(max(0.0, sigma[i + 1] ** 2 - fresh**2)) / sigma[i]
        x = kept * x + (alpha[i + 1] - alpha[i] * kept) * x0
        if fresh > 0:
            x = x + fresh * noise()
        yield State(i + 1, x, x0)


def dpm_multistep(denoise: Denoise, x: Tensor, levels: Levels, noise: Noise, order: int) -> Iterator[State]:
    """DPM-Solver++ multistep, arXiv 2211.01095: order 2 is Algorithm 2, "2M"; order 3 looks one further back.

    `order` is 2 or 3. Every step has the highest order that `_order` allows. Order 3 is UniP-3 of arXiv 2302.04867: the
    paper's published code takes half of the second difference, which leaves it second order.
    """
    half_snr = _half_log_snr(levels)
    seen: list[Tensor] = []
    for i in range(len(levels)):
        seen = [denoise(x, i), *seen[: order - 1]]
        x = _flow(x, _ahead(seen, half_snr, i, _order(half_snr, i, order)), levels, i)
        yield State(i + 1, x, seen[0])


def unipc(denoise: Denoise, x: Tensor, levels: Levels, noise: Noise) -> Iterator[State]:
    """UniPC-2 with B_2(h), arXiv 2302.04867, Algorithms 1 (UniC) and 2 (UniP), in the data prediction of its appendix.

    Each evaluation serves twice: it corrects the step that led to it, and predicts the next. x in a `State` is the
    predictor's, as the network sees it.
    """
    half_snr = _half_log_snr(levels)
    seen: list[Tensor] = []
    start, order = x, 1
    for i in range(len(levels)):
        x0 = denoise(x, i)
        if i > 0:
            x = _flow(start, _corrected(x0, seen, half_snr, i - 1, order), levels, i - 1)
        start, seen, order = x, [x0, *seen[:1]], _order(half_snr, i, 2)
        x = _flow(x, _ahead(seen, half_snr, i, order), levels, i)
        yield State(i + 1, x, x0)


def heun(denoise: Denoise, x: Tensor, levels: Levels, noise: Noise) -> Iterator[State]:
    """EDM's second-order Heun, arXiv 2206.00364, Algorithm 1, in x/α over ρ = σ/α; the last step is Euler's.

    Its correction, the mean of the slopes (x - x_θ)/ρ at both ends, is the flow with x_θ + (ρ/2ρ')(x_θ' - x_θ) held
    constant. From beyond ρ = FAR that coefficient grows without bound; there the same rule is taken in x/σ over α/σ,
    whose slope is x_θ itself and whose coefficient is 1/2.
    """
    alpha, sigma = levels.alpha.tolist(), levels.sigma.tolist()
    for i in range(len(levels)):
        x0 = denoise(x, i)
        there = _flow(x, x0, levels, i)
        if i + 1 < len(levels):
            far = sigma[i] > FAR * alpha[i]
            weight = 0.5 if far else sigma[i] * alpha[i + 1] / (2 * alpha[i] * sigma[i + 1])
            there = _flow(x, x0 + weight * (denoise(there, i + 1) - x0), levels, i)
        x = there
        yield State(i + 1, x, x0)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm++2m": partial(dpm_multistep, order=2),
    "dpm++3m": partial(dpm_multistep, order=3),
    "unipc": unipc,
    "heun": heun,
}


# --- what they share ------------------------------------------------------------------------------------------------


def _flow(x: Tensor, x0: Tensor, levels: Levels, i: int) -> Tensor:
    """From level i to level i + 1 with x_0 held constant."""
    kept = levels.sigma[i + 1].item() / levels.sigma[i].item()
    return kept * x + (levels.alpha[i + 1].item() - levels.alpha[i].item() * kept) * x0


def _half_log_snr(levels: Levels) -> list[float]:
    """λ = log(α/σ) of every level: +inf where σ = 0, -inf where α = 0."""
    half_snr: list[float] = (levels.alpha.log() - levels.sigma.log()).tolist()
    return half_snr


def _order(half_snr: list[float], i: int, most: int) -> int:
    """The order of the step from level i: no more than `most`, the levels seen with a finite λ, and the steps left.

    Falling to 1 at the end is the papers' advice for few steps, and into σ = 0, where h is infinite, there is no other.
    """
    seen = sum(map(math.isfinite, half_snr[: i + 1]))
    return max(1, min(most, seen, len(half_snr) - 1 - i))


def _ahead(seen: list[Tensor], half_snr: list[float], i: int, order: int) -> Tensor:
    """What stands for x_θ between levels i and i + 1, from the predictions at i, i - 1, i - 2.

    Order 2 is DPM-Solver++'s D_i (Algorithm 2), and UniP-2 with B_2(h). Order 3 integrates the parabola through three
    predictions exactly.
    """
    if order == 1:
        return seen[0]
    h = half_snr[i + 1] - half_snr[i]
    r0 = (half_snr[i] - half_snr[i - 1]) / h
    first = (seen[0] - seen[1]) / r0
    if order == 2:
        return seen[0] + first / 2
    r1 = (half_snr[i - 1] - half_snr[i - 2]) / h
    second = (first - (seen[1] - seen[2]) / r1) / (r0 + r1)
    mean, square = _moments(h)
    return seen[0] + mean * (first + r0 * second) + square * second


def _corrected(x0: Tensor, seen: list[Tensor], half_snr: list[float], i: int, order: int) -> Tensor:
    """What stands for x_θ between levels i and i + 1 once x0 is predicted at i + 1: UniC-p with B_2(h).

    Order 2 solves R_p(h) a_p = φ_p(h)/B(h) (Theorem 3.1 there) for its two coefficients.
    """
    if order == 1:
        return seen[0] + (x0 - seen[0]) / 2
    h = half_snr[i + 1] - half_snr[i]
    r = (half_snr[i - 1] - half_snr[i]) / h
    mean, square = _moments(h)
    past = (mean - square) / (1 - r)
    return seen[0] + past / r * (seen[1] - seen[0]) + (mean - past) * (x0 - seen[0])


def _moments(h: float) -> tuple[float, float]:
    """Means of u and u², u = (λ - λ_i)/h in [0, 1], under the flow's weight e^λ: the papers' φ_2 and φ_3 over φ_1."""
    total = -math.expm1(-h)
    mean = (1 - total / h) / total
    return mean, (1 - 2 * mean * total / h) / total
