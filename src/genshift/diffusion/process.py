"""Forward processes: how pictures become noise, what is predicted there, and what each prediction's error weighs.

Every process is x_t = α(t) x_0 + σ(t) ε with ε ~ N(0, I) and a time t in [0, 1] of its own: 0 is the picture, 1 the
most noise. All that differs between DDPM, flow matching and EDM stands in this file; samplers see α and σ alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

STEPS = 1000  # T of the discrete processes
SIGMA_MIN, SIGMA_MAX, RHO, SIGMA_DATA = 0.002, 80.0, 7.0, 0.5  # EDM, arXiv 2206.00364, table 1
LOW, HIGH = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)  # the ends of σ^(1/ρ)
LOG_MEAN, LOG_STD = -1.2, 1.2  # of σ in training, the same table
EVEN = 0.2  # of flow matching's training times
NEAR_ONE = 1 - 1e-3  # flow matching's ladder starts here: at t = 1 itself α is 0, and x_0 has left no trace
TRACE = 1e-6  # the least α with which a picture is still looked for behind its ε; cosine's α_T is 5e-5


class Process(Protocol):
    """A forward process; times and what they give are float64 tensors of one shape."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ at the times t in [0, 1]."""
        ...

    def times(self, u: Tensor) -> Tensor:
        """Training's times from numbers u in [0, 1), uniform; both ends of the range are reached."""
        ...

    def time_input(self, t: Tensor) -> Tensor:
        """The number that the network's time embedding is given, on a scale of about 1000."""
        ...

    def ladder(self, steps: int, spacing: str) -> Tensor:
        """Times `[steps + 1]`, falling, from the most noise to 0; `spacing` is "time" or "snr"."""
        ...


@dataclass(frozen=True)
class Discrete:
    """T steps of variance-preserving noise: α_t² = ᾱ_t, σ_t² = 1 - ᾱ_t (DDPM, arXiv 2006.11239, equation 4); t = k/T.

    `abar` holds ᾱ_0 = 1 to ᾱ_T, `[T + 1]`.
    """

    abar: Tensor

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ at t, which is rounded to a step."""
        abar = self.abar[self.step(t)]
        return abar.sqrt(), (1 - abar).sqrt()

    def step(self, t: Tensor) -> Tensor:
        """The step k = 0 … T, int64."""
        return (t * (len(self.abar) - 1)).round().long()

    def times(self, u: Tensor) -> Tensor:
        """Uniform over the steps 1 to T (Algorithm 1)."""
        total = len(self.abar) - 1
        return ((u * total).floor() + 1) / total

    def time_input(self, t: Tensor) -> Tensor:
        """The step k."""
        return self.step(t).double()

    def ladder(self, steps: int, spacing: str) -> Tensor:
        """Steps from T to 0, evenly in k or in log(α/σ), each at most once."""
        total = len(self.abar) - 1
        if spacing == "time":
            k = torch.linspace(total, 0, steps + 1, dtype=torch.float64).round()
        else:
            half_snr = (self.abar[1:] / (1 - self.abar[1:])).log() / 2
            even = torch.linspace(half_snr[-1].item(), half_snr[0].item(), steps, dtype=torch.float64)
            nearest = (half_snr[None] - even[:, None]).abs().argmin(1) + 1
            # Each is moved down no further than makes it differ from the one before, and none below 1.
            apart = torch.maximum(nearest, torch.arange(steps, 0, -1))
            for i in range(1, steps):
                apart[i] = min(apart[i], apart[i - 1] - 1)
            k = torch.cat([apart, torch.zeros(1, dtype=torch.int64)]).double()
        return k / total


def linear_betas(beta_1: float = 1e-4, beta_T: float = 0.02, total: int = STEPS) -> Discrete:
    """β rises linearly from β_1 to β_T (arXiv 2006.11239, section 4)."""
    beta = torch.linspace(beta_1, beta_T, total, dtype=torch.float64)
    return Discrete(torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)]))


def cosine(s: float = 0.008, most: float = 0.999, total: int = STEPS) -> Discrete:
    """ᾱ follows a squared cosine, no β above `most` (arXiv 2102.09672, equation 17)."""
    t = torch.arange(total + 1, dtype=torch.float64) / total
    f = ((t + s) / (1 + s) * math.pi / 2).cos() ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=most)
    return Discrete(torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)]))


@dataclass(frozen=True)
class Flow:
    """Straight lines from picture to noise: α = 1 - t, σ = t (flow matching, arXiv 2210.02747; 2209.03003)."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ."""
        return 1 - t, t

    def times(self, u: Tensor) -> Tensor:
        """Logit-normal(0, 1), which looks most at the middle (arXiv 2403.03206, section 3.1), but for a share EVEN that
        is uniform: the logit-normal alone never comes near the ends, where sampling starts."""
        middle = torch.special.ndtri(_inside((u - EVEN) / (1 - EVEN))).sigmoid()
        return torch.where(u < EVEN, 1 - u / EVEN, middle)

    def time_input(self, t: Tensor) -> Tensor:
        """1000 t."""
        return STEPS * t

    def ladder(self, steps: int, spacing: str) -> Tensor:
        """Evenly in t or in log(α/σ)."""
        if spacing == "time":
            most = max(NEAR_ONE, 1 - 0.5 / steps)  # above the second level, however many there are
            return torch.linspace(1, 0, steps + 1, dtype=torch.float64).clamp(max=most)
        ends = [math.log((1 - t) / t) for t in (NEAR_ONE, 1 - NEAR_ONE)]
        inner = (-torch.linspace(ends[0], ends[1], steps, dtype=torch.float64)).sigmoid()
        return torch.cat([inner, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class EDM:
    """α = 1, σ from σ_min to σ_max, evenly in σ^(1/ρ) over t (EDM, arXiv 2206.00364, equation 5 and table 1)."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ; the picture itself at t = 0."""
        sigma = torch.where(t > 0, (LOW + t * (HIGH - LOW)) ** RHO, 0.0)
        return torch.ones_like(t), sigma

    def times(self, u: Tensor) -> Tensor:
        """ln σ ~ N(P_mean, P_std²), kept within the range (table 1)."""
        sigma = (LOG_MEAN + LOG_STD * torch.special.ndtri(_inside(u))).exp().clamp(SIGMA_MIN, SIGMA_MAX)
        return ((sigma ** (1 / RHO) - LOW) / (HIGH - LOW)).clamp(min=1e-9)

    def time_input(self, t: Tensor) -> Tensor:
        """1000 c_noise = 250 ln σ (table 1)."""
        return 250 * self.rates(t)[1].log()

    def ladder(self, steps: int, spacing: str) -> Tensor:
        """Evenly in t (Karras's spacing), or in ln σ; σ_min is the last level above 0."""
        if spacing == "time":
            inner = torch.linspace(1, 0, steps, dtype=torch.float64).clamp(min=1e-9)
        else:
            sigma = torch.linspace(math.log(SIGMA_MAX), math.log(SIGMA_MIN), steps, dtype=torch.float64).exp()
            inner = ((sigma ** (1 / RHO) - LOW) / (HIGH - LOW)).clamp(1e-9, 1.0)
        return torch.cat([inner, torch.zeros(1, dtype=torch.float64)])


def _inside(u: Tensor) -> Tensor:
    """u moved off 0, where the normal quantile is infinite."""
    return u.clamp(1e-7, 1 - 1e-7)


PROCESSES: dict[str, Callable[[], Process]] = {"linear": linear_betas, "cosine": cosine, "flow": Flow, "edm": EDM}


# --- what is predicted, and what its error weighs -------------------------------------------------------------------


@dataclass(frozen=True)
class Parametrisation:
    """How the network's output F and its input x make a picture: x_0 = a x + b F, with a(α, σ), b(α, σ); the network
    sees c x. The target that makes this exact is F = (x_0 - a x)/b."""

    name: str

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, b and c.

        epsilon: F = ε. x0: F = x_0. v: F = α ε - σ x_0, where α² + σ² = 1 (arXiv 2202.00512, appendix D). velocity:
        F = ε - x_0, where α + σ = 1 (arXiv 2210.02747, equation 23). edm: arXiv 2206.00364, table 1.
        """
        one = torch.ones_like(alpha)
        match self.name:
            case "epsilon":
                alpha = alpha.clamp(min=TRACE)
                return 1 / alpha, -sigma / alpha, one
            case "x0":
                return 0 * one, one, one
            case "v":
                return alpha, -sigma, one
            case "velocity":
                return one, -sigma, one
        total = (sigma**2 + SIGMA_DATA**2).sqrt()
        return SIGMA_DATA**2 / total**2, sigma * SIGMA_DATA / total, 1 / total

    def target(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(p, q) with the target F = p x_0 + q ε."""
        a, b, _ = self.coefficients(alpha, sigma)
        return (1 - a * alpha) / b, -a * sigma / b


def weight(kind: str, gamma: float, b: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What |F - target|² weighs: 1, or min-SNR-γ, which is min(SNR, γ) for |x_0 - prediction|² (arXiv 2303.09556,
    section 3.4), hence b² min(SNR, γ) here whatever is predicted."""
    if kind == "uniform":
        return torch.ones_like(b)
    return b**2 * ((alpha / sigma) ** 2).clamp(max=gamma)


# --- the levels that a sampler climbs down --------------------------------------------------------------------------


@dataclass(frozen=True)
class Levels:
    """A sampler's ladder of noise levels x_i = α_i x_0 + σ_i ε: float64 on the CPU, `[steps + 1]` each.

    time: 1 is the most noise, 0 none; the last level is clean (α = 1, σ = 0).
    """

    time: Tensor
    alpha: Tensor
    sigma: Tensor

    def __len__(self) -> int:
        """Steps."""
        return len(self.time) - 1


def levels(process: Process, steps: int, spacing: str = "time") -> Levels:
    """The ladder of `steps` steps over the whole process."""
    time = process.ladder(steps, spacing)
    return Levels(time, *process.rates(time))
