"""Samplers: step by step against diffusers, and where the score is known, against the flow and the data themselves."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from genshift.diffusion.process import Levels
from genshift.diffusion.samplers import SAMPLERS, Sampler, State, ddim

DETERMINISTIC = ("ddim", "dpm++2m", "dpm++3m", "unipc", "heun")
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[1.0, 0.5], [-0.8, 0.2], [0.1, -1.0]], dtype=torch.float64)
SPREADS = torch.tensor([0.2, 0.35, 0.25], dtype=torch.float64)


def ladder(process: str, rho: Tensor) -> Levels:
    """Levels with σ/α = `rho`, and a clean one below."""
    rho = torch.cat([rho, torch.zeros(1)]).double()
    alpha = {"vp": (1 + rho**2).rsqrt(), "flow": 1 / (1 + rho), "edm": torch.ones_like(rho)}[process]
    return Levels(torch.linspace(1, 0, len(rho), dtype=torch.float64), alpha, rho * alpha)


def even(process: str, steps: int, high: float = 10.0, low: float = 0.1) -> Levels:
    """Evenly in log(α/σ)."""
    return ladder(process, torch.logspace(math.log10(high), math.log10(low), steps, dtype=torch.float64))


def straight(steps: int) -> Levels:
    """Flow matching evenly in t, from pure noise: α = 0 at the first level."""
    time = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return Levels(time, 1 - time, time)


def fresh(shape: torch.Size, seed: int = 1, dtype: torch.dtype = torch.float64) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def start(count: int) -> Tensor:
    return fresh(torch.Size([count, 2]), seed=0)()


def mixture(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """E[x_0 | x] of the Gaussian mixture."""
    variance = (alpha * SPREADS) ** 2 + sigma**2
    apart = x[:, None] - alpha * MEANS
    share = (WEIGHTS.log() - variance.log() - apart.square().sum(-1) / (2 * variance)).softmax(1)
    each = MEANS + (alpha * SPREADS**2 / variance)[:, None] * apart
    return (share[..., None] * each).sum(1)


def walk(sampler: Sampler, levels: Levels, x: Tensor) -> list[State]:
    """Every state on the way down the mixture from `x`, at the first level."""
    denoise = lambda x, i: mixture(x, levels.alpha[i], levels.sigma[i])  # noqa: E731
    return list(sampler(denoise, x, levels, fresh(x.shape)))


# --- against diffusers ----------------------------------------------------------------------------------------------


def scheduler(name: str, module: str, steps: int, **options: Any) -> Any:
    """diffusers' scheduler over linear betas, its levels made float64 after it chose them."""
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    kind = getattr(importlib.import_module(f"diffusers.schedulers.scheduling_{module}"), name)
    with warnings.catch_warnings():  # it converts tensors to arrays in numpy's old way
        warnings.simplefilter("ignore", DeprecationWarning)
        made = kind(**options)
        made.set_timesteps(steps)
    for levels in ("alphas_cumprod", "sigmas"):
        if hasattr(made, levels):
            setattr(made, levels, getattr(made, levels).double())
    return made


def made_up(x: Tensor, i: int) -> Tensor:
    """A network that no data has: nonlinear, and another at every level."""
    return torch.tanh(1.3 * x + 0.7 * math.sin(i))


def follow(sampler: Sampler, theirs: Any, levels: Levels, within: float, **options: Any) -> None:
    """Each step from the same x with the same prediction and the same noise."""
    x = 1.5 * levels.sigma[0] * start(3).reshape(1, 2, 3)
    ours = sampler(made_up, x, levels, fresh(x.shape))
    if options:
        options["generator"] = torch.Generator().manual_seed(1)
    for i, (t, state) in enumerate(zip(theirs.timesteps, ours, strict=True)):
        assert state.step == i + 1
        assert torch.equal(state.x0, made_up(x, i))
        torch.testing.assert_close(state.x, theirs.step(state.x0, t, x, **options).prev_sample, rtol=0, atol=within)
        x = state.x


def by_abar(theirs: Any) -> Levels:
    """The levels of a scheduler that names them by timestep."""
    abar = torch.cat([theirs.alphas_cumprod[theirs.timesteps], torch.ones(1, dtype=torch.float64)])
    return Levels(torch.linspace(1, 0, len(abar), dtype=torch.float64), abar.sqrt(), (1 - abar).sqrt())


@pytest.mark.parametrize("steps", [10, 25, 1000])
def test_ddpm_steps_as_diffusers_does(steps: int) -> None:
    options = {"variance_type": "fixed_large", "clip_sample": False, "prediction_type": "sample"}
    theirs = scheduler("DDPMScheduler", "ddpm", steps, **options)
    follow(SAMPLERS["ddpm"], theirs, by_abar(theirs), 1e-10, generator=None)


@pytest.mark.parametrize("steps", [10, 25])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim_steps_as_diffusers_does(steps: int, eta: float) -> None:
    theirs = scheduler("DDIMScheduler", "ddim", steps, clip_sample=False, prediction_type="sample")
    follow(partial(ddim, eta=eta), theirs, by_abar(theirs), 1e-10, eta=eta)


@pytest.mark.parametrize("steps", [10, 25])
def test_dpm_2m_steps_as_diffusers_does(steps: int) -> None:
    options = {"algorithm_type": "dpmsolver++", "solver_type": "midpoint", "prediction_type": "sample"}
    theirs = scheduler("DPMSolverMultistepScheduler", "dpmsolver_multistep", steps, solver_order=2, **options)
    follow(SAMPLERS["dpm++2m"], theirs, ladder("vp", theirs.sigmas[:-1]), 2e-6)  # it rounds x to float32


@pytest.mark.parametrize("steps", [10, 25])
def test_dpm_3m_steps_as_the_predictor_of_third_order_in_diffusers(steps: int) -> None:
    alone = {"solver_order": 3, "disable_corrector": list(range(steps)), "prediction_type": "sample"}
    theirs = scheduler("UniPCMultistepScheduler", "unipc_multistep", steps, **alone)
    follow(SAMPLERS["dpm++3m"], theirs, ladder("vp", theirs.sigmas[:-1]), 1e-10)


@pytest.mark.parametrize("steps", [10, 25])
def test_unipc_steps_as_diffusers_does(steps: int) -> None:
    options = {"solver_order": 2, "solver_type": "bh2", "prediction_type": "sample"}
    theirs = scheduler("UniPCMultistepScheduler", "unipc_multistep", steps, **options)
    follow(SAMPLERS["unipc"], theirs, ladder("vp", theirs.sigmas[:-1]), 1e-10)


@pytest.mark.parametrize("steps", [10, 25])
def test_heun_steps_as_diffusers_does(steps: int) -> None:
    theirs = scheduler("HeunDiscreteScheduler", "heun_discrete", steps, beta_end=0.015, use_karras_sigmas=True)
    sigma = torch.cat([theirs.sigmas[:1], theirs.sigmas[1:-1:2]])  # it names each inner one twice
    times = iter(theirs.timesteps)

    def theirs_at(x: Tensor, i: int) -> Tensor:
        return theirs.step((x - made_up(x, i)) / sigma[i], next(times), x).prev_sample

    x = sigma[0] * start(3)
    for i, state in enumerate(SAMPLERS["heun"](made_up, x, ladder("edm", sigma), fresh(x.shape))):
        there = theirs_at(x, i)
        if i + 1 < steps:
            there = theirs_at(there, i + 1)
        torch.testing.assert_close(state.x, there, rtol=1e-12, atol=1e-10)
        x = state.x
    assert next(times, None) is None


# --- where the score is known ---------------------------------------------------------------------------------------


@cache
def flow_of_the_mixture(count: int, high: float = 10.0, low: float = 0.1) -> Tensor:
    """Where the exact flow of the mixture leads from `start`, the last step held to the prediction at `low`.

    In y = x/σ over u = α/σ it is dy/du = x_θ, for every process.
    """

    def slope(u: float, y: Any) -> Any:
        one = torch.ones((), dtype=torch.float64)
        return mixture(torch.from_numpy(y).reshape(-1, 2), u * one, one).numpy().ravel()

    path = solve_ivp(slope, (1 / high, 1 / low), start(count).numpy().ravel(), method="DOP853", rtol=1e-10, atol=1e-11)
    one = torch.ones((), dtype=torch.float64)
    return mixture(torch.from_numpy(path.y[:, -1]).reshape(-1, 2), one / low, one)


@pytest.mark.parametrize("process", ["vp", "flow", "edm"])
@pytest.mark.parametrize(
    ("name", "ratio"), [("ddim", 1.8), ("dpm++2m", 3.5), ("heun", 3.5), ("dpm++3m", 6.5), ("unipc", 6.5)]
)
def test_the_error_falls_with_the_order(name: str, ratio: float, process: str) -> None:
    """Orders 1, 2, 2, 3, and 3: UniPC-2's corrector adds one to its predictor's."""
    errors = []
    for steps in (40, 80):
        levels = even(process, steps)
        last = walk(SAMPLERS[name], levels, levels.sigma[0] * start(32))[-1]
        errors.append((last.x - flow_of_the_mixture(32)).square().mean().sqrt().item())
    assert ratio < errors[0] / errors[1] < 2 * ratio
    assert errors[1] < {"ddim": 0.03, "dpm++2m": 2e-3, "heun": 2e-3}.get(name, 2e-4)


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("levels", [straight(200), even("vp", 200, 100, 0.005), even("edm", 200, 80, 0.005)])
def test_one_gaussian_is_reached_in_closed_form(name: str, levels: Levels) -> None:
    mean, spread = torch.tensor([0.3, -0.6], dtype=torch.float64), 0.4

    def denoise(x: Tensor, i: int) -> Tensor:
        alpha, sigma = levels.alpha[i], levels.sigma[i]
        return mean + alpha * spread**2 / ((alpha * spread) ** 2 + sigma**2) * (x - alpha * mean)

    alpha, sigma = levels.alpha[0], levels.sigma[0]
    x = sigma * start(16)
    expected = mean + spread * (x - alpha * mean) / ((alpha * spread) ** 2 + sigma**2).sqrt()
    last = list(SAMPLERS[name](denoise, x, levels, fresh(x.shape)))[-1]
    torch.testing.assert_close(last.x, expected, rtol=0, atol=0.03 if name == "ddim" else 2e-3)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_first_step_from_afar_does_no_harm(name: str) -> None:
    """The cosine schedule evenly in time begins so: σ/α is 20,000, and then 16."""
    levels = ladder("vp", torch.tensor([2e4, 16, 8, 5, 3.5, 2.5, 1.8, 1.3, 0.9, 0.6, 0.3, 0.1], dtype=torch.float64))
    last = walk(SAMPLERS[name], levels, levels.sigma[0] * start(32))[-1]
    assert (last.x - flow_of_the_mixture(32, 2e4)).square().mean().sqrt() < 0.15


@pytest.mark.parametrize("process", ["vp", "flow", "edm"])
@pytest.mark.parametrize("sampler", [SAMPLERS["ddpm"], partial(ddim, eta=1.0), partial(ddim, eta=0.5)])
def test_noise_on_the_way_keeps_the_mixture(sampler: Sampler, process: str) -> None:
    levels = even(process, 100, 50, 0.02)
    count = 4000
    x = walk(sampler, levels, (levels.alpha[0] ** 2 * 0.5 + levels.sigma[0] ** 2).sqrt() * start(count))[-1].x
    mean = WEIGHTS @ MEANS
    covariance = (MEANS - mean).T @ ((MEANS - mean) * WEIGHTS[:, None]) + (WEIGHTS @ SPREADS**2) * torch.eye(2)
    four = 4 / math.sqrt(count)  # four standard errors of a mean of variables of spread 1
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=four)
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0, atol=four)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_process_is_only_another_scale_of_x(name: str) -> None:
    """With the same σ/α, x/α takes the same way in every process."""
    way = {}
    for process in ("vp", "flow", "edm"):
        levels = even(process, 12, 200, 0.01)
        states = walk(SAMPLERS[name], levels, levels.sigma[0] * start(8))
        way[process] = torch.stack([state.x / levels.alpha[state.step] for state in states])
    torch.testing.assert_close(way["flow"], way["vp"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(way["edm"], way["vp"], rtol=1e-9, atol=1e-9)


# --- what holds for each of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 17])
@pytest.mark.parametrize("process", ["straight", "vp"])
def test_evaluations_and_states_are_as_announced(name: str, steps: int, process: str) -> None:
    levels = straight(steps) if process == "straight" else even("vp", steps, 100, 0.01)
    asked = []

    def denoise(x: Tensor, i: int) -> Tensor:
        asked.append(i)
        return mixture(x.double(), levels.alpha[i], levels.sigma[i]).float()

    x = start(4).float()
    states = list(SAMPLERS[name](denoise, x, levels, fresh(x.shape, dtype=torch.float32)))
    assert len(asked) == (2 * steps - 1 if name == "heun" else steps)
    assert set(asked) == set(range(steps))
    assert [state.step for state in states] == list(range(1, steps + 1))
    assert all(torch.isfinite(state.x).all() and state.x.dtype == torch.float32 for state in states)
    torch.testing.assert_close(states[-1].x, states[-1].x0)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("levels", [straight(9), even("vp", 9), even("edm", 9, 80, 0.002)])
def test_a_constant_prediction_is_reached_exactly(name: str, levels: Levels) -> None:
    x = start(5)
    picture = fresh(x.shape, seed=2)()
    last = list(SAMPLERS[name](lambda x, i: picture, x, levels, fresh(x.shape)))[-1]
    assert torch.equal(last.x, picture)
    assert torch.equal(last.x0, picture)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_constant_prediction_leaves_the_noise_as_it_was(name: str) -> None:
    levels, picture = even("vp", 9), torch.tensor([0.4, -1.2], dtype=torch.float64)
    x = levels.alpha[0] * picture + levels.sigma[0] * start(5)
    for state in list(SAMPLERS[name](lambda x, i: picture.expand_as(x), x, levels, fresh(x.shape)))[:-1]:
        eps = (state.x - levels.alpha[state.step] * picture) / levels.sigma[state.step]
        torch.testing.assert_close(eps, start(5), rtol=0, atol=1e-12)
