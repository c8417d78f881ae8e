"""Processes, predictions, weights and guidance: against diffusers, the papers' formulas and counted calls."""

import math

import pytest
import torch

from genshift.data.feed import StepRandom
from genshift.diffusion.guidance import Guidance, Guided
from genshift.diffusion.process import EVEN, PROCESSES, SIGMA_DATA, Levels, Parametrisation, levels, weight

ALL = sorted(PROCESSES)
PRESERVING = ("linear", "cosine")
PAIRS = [
    *((process, predict) for process in PRESERVING for predict in ("epsilon", "x0", "v")),
    *(("flow", predict) for predict in ("epsilon", "x0", "velocity")),
    ("edm", "edm"),
]


def process_of(name):
    return PROCESSES[name]()


def within(count=101):
    """Times over the range, without its ends."""
    return torch.linspace(0, 1, count + 2, dtype=torch.float64)[1:-1]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "schedule"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_a_schedule_is_the_one_of_diffusers(name, schedule):
    schedulers = pytest.importorskip("diffusers.schedulers")
    theirs = schedulers.DDPMScheduler(1000, beta_schedule=schedule).alphas_cumprod.double()
    abar = process_of(name).abar
    assert len(abar) == 1001 and abar[0] == 1
    # diffusers multiplies in float32: 1000 roundings
    torch.testing.assert_close(abar[1:], theirs, rtol=2e-4, atol=1e-9)


def test_the_linear_schedule_is_ddpms():
    """Section 4 of the paper: β from 1e-4 to 0.02; α and σ of three steps by hand."""
    kept = [1 - (1e-4 + (0.02 - 1e-4) * k / 999) for k in range(1000)]
    for step in (1, 500, 1000):
        alpha, sigma = process_of("linear").rates(torch.tensor([step / 1000], dtype=torch.float64))
        assert alpha.item() == pytest.approx(math.sqrt(math.prod(kept[:step])), rel=1e-10)
        assert sigma.item() == pytest.approx(math.sqrt(1 - math.prod(kept[:step])), rel=1e-10)


@pytest.mark.parametrize("name", PRESERVING)
def test_variance_is_preserved(name):
    alpha, sigma = process_of(name).rates(torch.linspace(0, 1, 1001, dtype=torch.float64))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1001, dtype=torch.float64), rtol=0, atol=1e-14)


def test_straight_lines_and_edm_are_their_formulas():
    t = within()
    assert all(torch.equal(*pair) for pair in zip(process_of("flow").rates(t), (1 - t, t), strict=True))
    alpha, sigma = process_of("edm").rates(t)
    by_hand = [(0.002 ** (1 / 7) + v * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7 for v in t.tolist()]
    assert (alpha == 1).all()
    torch.testing.assert_close(sigma, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_noise_grows_with_time_from_the_picture_itself(name):
    alpha, sigma = process_of(name).rates(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert alpha[0] == 1 and sigma[0] == 0
    assert ((sigma / alpha).diff() > 0).all()
    assert (sigma / alpha)[-1] > 79


TOLD = {
    "linear": ([0.001, 0.5, 1.0], [1, 500, 1000]),
    "cosine": ([0.001, 0.5, 1.0], [1, 500, 1000]),
    "flow": ([0.0, 0.25, 1.0], [0, 250, 1000]),
    "edm": ([1.0], [250 * math.log(80)]),
}


@pytest.mark.parametrize("name", ALL)
def test_what_the_network_is_told_of_the_time(name):
    times, told = (torch.tensor(each, dtype=torch.float64) for each in TOLD[name])
    torch.testing.assert_close(process_of(name).time_input(times), told)


# --- training's times ------------------------------------------------------------------------------------------------


def evenly(count):
    return torch.arange(count, dtype=torch.float64) / count


@pytest.mark.parametrize("name", PRESERVING)
def test_every_step_is_trained_alike_and_both_ends_are_reached(name):
    steps = process_of(name).step(process_of(name).times(evenly(5000)))
    assert torch.equal(steps.bincount(), torch.tensor([0, *[5] * 1000]))
    last = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).double()  # the largest number a draw can be
    assert process_of(name).step(process_of(name).times(last[None])).item() == 1000


def test_straight_lines_are_trained_from_end_to_end():
    """A share EVEN uniform, the rest logit-normal: the share of every tenth of the range, and the ends."""
    t = process_of("flow").times(evenly(100_000))
    edges = torch.linspace(0, 1, 11, dtype=torch.float64)
    below = torch.special.ndtr((edges / (1 - edges)).log())
    expected = EVEN * 0.1 + (1 - EVEN) * below.diff()
    found = torch.histc(t, 10, 0, 1) / len(t)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    assert t.max() == 1 and 0 < t.min() < 1e-3


def test_edm_is_trained_on_a_lognormal_within_its_range():
    process = process_of("edm")
    sigma = process.rates(process.times(evenly(100_000)))[1]
    assert sigma.log().mean().item() == pytest.approx(-1.2, abs=1e-2)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=1e-2)
    assert 0.002 <= sigma.min() < 0.01 and 20 < sigma.max() <= 80.001


@pytest.mark.parametrize("name", ALL)
def test_a_batchs_times_are_evenly_spread_and_no_two_batches_are_alike(name):
    """Sixteen numbers, one in each sixteenth of [0, 1), shifted together; a shifted 0 has a finite time as well."""
    process = process_of(name)
    spread = [StepRandom(0, start, 16).spread("t").double() for start in (0, 16)]
    for u in spread:
        assert (u * 16).floor().sort().values.tolist() == list(range(16))
        assert ((t := process.times(u)) > 0).all() and (t <= 1).all()
    assert not torch.equal(*spread)
    assert process.times(torch.zeros(1, dtype=torch.float64)).isfinite().all()


# --- ladders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["time", "snr"])
@pytest.mark.parametrize("name", ALL)
def test_a_ladder_falls_from_the_most_noise_to_none(name, spacing):
    process = process_of(name)
    for steps in (*range(1, 51), 1000):
        ladder = levels(process, steps, spacing)
        assert len(ladder) == steps and len(ladder.alpha) == len(ladder.sigma) == steps + 1
        assert (ladder.time.diff() < 0).all() and ((ladder.sigma / ladder.alpha).diff() < 0).all()
        assert (ladder.time[-1], ladder.alpha[-1], ladder.sigma[-1]) == (0, 1, 0)
        first = ladder.time[0].item()
        assert first == pytest.approx(1, abs=1.1e-3 if name == "flow" else 1e-9) and ladder.alpha[0] > 0
        assert all(each.dtype == torch.float64 and each.isfinite().all() for each in vars(ladder).values())


@pytest.mark.parametrize("name", PRESERVING)
def test_a_discrete_ladder_stands_on_steps(name):
    for spacing in ("time", "snr"):
        for steps in (7, 1000):
            times = levels(process_of(name), steps, spacing).time * 1000
            torch.testing.assert_close(times, times.round(), rtol=0, atol=1e-9)
    assert (levels(process_of(name), 1000, "snr").time * 1000).round().tolist() == list(range(1000, -1, -1))


def test_ladders_are_evenly_spaced_in_what_they_say():
    """In t; in log(α/σ), from end to end (discrete steps: to the nearest of them)."""
    torch.testing.assert_close(levels(process_of("flow"), 10, "time").time[1:], torch.linspace(0.9, 0, 10).double())
    for name, within in (("flow", 1e-6), ("edm", 1e-6), ("linear", 0.2)):
        ladder = levels(process_of(name), 9, "snr")
        gaps = (ladder.alpha / ladder.sigma)[:-1].log().diff()
        torch.testing.assert_close(gaps, gaps.mean().expand(8), rtol=within, atol=0)


def test_edms_ladder_is_karras():
    """Equation 5 of the paper for N = 8."""
    by_hand = [(80 ** (1 / 7) + i / 7 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(8)]
    found = levels(process_of("edm"), 8, "time").sigma
    torch.testing.assert_close(found, torch.tensor([*by_hand, 0], dtype=torch.float64), rtol=1e-6, atol=0)


# --- predictions ------------------------------------------------------------------------------------------------------


def noised(process, t):
    """α, σ, x_0, ε and x_t at every time."""
    alpha, sigma = process_of(process).rates(t)
    x_0, eps = random(len(t)), random(len(t), seed=1)
    return alpha, sigma, x_0, eps, alpha * x_0 + sigma * eps


@pytest.mark.parametrize(("process", "predict"), PAIRS)
def test_the_target_gives_the_picture_back(process, predict):
    alpha, sigma, x_0, eps, x_t = noised(process, within())
    kind = Parametrisation(predict)
    a, b, _ = kind.coefficients(alpha, sigma)
    p, q = kind.target(alpha, sigma)
    torch.testing.assert_close(a * x_t + b * (p * x_0 + q * eps), x_0, rtol=1e-8, atol=1e-9)


PAPERS = {
    "epsilon": lambda alpha, sigma, x_0, eps: eps,
    "x0": lambda alpha, sigma, x_0, eps: x_0,
    "v": lambda alpha, sigma, x_0, eps: alpha * eps - sigma * x_0,
    "velocity": lambda alpha, sigma, x_0, eps: eps - x_0,
    "edm": lambda alpha, sigma, x_0, eps: (
        (x_0 - SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2) * (x_0 + sigma * eps))
        * (sigma**2 + SIGMA_DATA**2).sqrt() / (sigma * SIGMA_DATA)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("process", "predict"), PAIRS)
def test_the_target_is_the_papers(process, predict):
    alpha, sigma, x_0, eps, _ = noised(process, within())
    p, q = Parametrisation(predict).target(alpha, sigma)
    torch.testing.assert_close(p * x_0 + q * eps, PAPERS[predict](alpha, sigma, x_0, eps), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("process", "predict"), PAIRS)
def test_the_noisiest_time_has_a_finite_target(process, predict):
    """Straight lines end at α = 0, where no picture stands behind an ε; the target and its weight are numbers still."""
    alpha, sigma = process_of(process).rates(torch.ones(1, dtype=torch.float64))
    kind = Parametrisation(predict)
    a, b, c = kind.coefficients(alpha, sigma)
    weights = [weight(name, 5.0, b, alpha, sigma) for name in ("uniform", "min-snr")]
    for value in (a, b, c, *kind.target(alpha, sigma), *weights):
        assert value.isfinite().all()
    if predict == "epsilon":
        assert torch.tensor(kind.target(alpha, sigma)).tolist() == pytest.approx([0, 1], abs=2e-6)


def test_edms_coefficients_are_its_table():
    """Table 1: D = c_skip x + c_out F(c_in x, ln(σ)/4), with σ_data = 0.5."""
    sigma = torch.tensor([0.002, 0.5, 80.0], dtype=torch.float64)
    a, b, c = Parametrisation("edm").coefficients(torch.ones_like(sigma), sigma)
    for i, s in enumerate(sigma.tolist()):
        assert a[i].item() == pytest.approx(0.25 / (s**2 + 0.25))
        assert b[i].item() == pytest.approx(0.5 * s / math.sqrt(s**2 + 0.25))
        assert c[i].item() == pytest.approx(1 / math.sqrt(s**2 + 0.25))
    x_t = random(100_000) * 0.5 + 3.0 * random(100_000, seed=1)  # pictures of spread σ_data, under σ = 3
    assert (x_t * Parametrisation("edm").coefficients(torch.ones(1), torch.tensor([3.0]))[2]).std().item() == (
        pytest.approx(1, abs=0.01)
    )


def test_edms_loss_weighs_the_pictures_error_by_one_over_c_out_squared():
    """Its λ(σ) = (σ² + σ_data²)/(σ σ_data)² (table 1) is what a uniform weight on F comes to."""
    alpha, sigma, x_0, eps, x_t = noised("edm", within())
    kind, guess = Parametrisation("edm"), random(len(alpha), seed=2)
    a, b, _ = kind.coefficients(alpha, sigma)
    p, q = kind.target(alpha, sigma)
    ours = weight("uniform", 5.0, b, alpha, sigma) * (guess - p * x_0 - q * eps) ** 2
    table = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    torch.testing.assert_close(ours, table * (a * x_t + b * guess - x_0) ** 2, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("process", "third"), [("linear", "v"), ("cosine", "v"), ("flow", "velocity")])
def test_the_three_forms_of_min_snr_are_one_loss(process, third):
    """One predicted picture, put as ε, x_0 and v: each form's loss is min(SNR, γ)|x_0 - picture|² (2303.09556, 3.4)."""
    alpha, sigma, x_0, eps, x_t = noised(process, within())
    picture, gamma = x_0 + random(len(alpha), seed=2) / 10, 5.0
    direct = torch.minimum((alpha / sigma) ** 2, torch.tensor(gamma)) * (x_0 - picture) ** 2
    assert 10 < ((alpha / sigma) ** 2 > gamma).sum() < len(alpha) - 10
    for predict in ("epsilon", "x0", third):
        kind = Parametrisation(predict)
        a, b, _ = kind.coefficients(alpha, sigma)
        p, q = kind.target(alpha, sigma)
        error = (picture - a * x_t) / b - p * x_0 - q * eps
        torch.testing.assert_close(weight("min-snr", gamma, b, alpha, sigma) * error**2, direct, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("predict", "by_snr"),
    [
        ("epsilon", lambda snr: torch.minimum(snr, torch.tensor(5.0)) / snr),
        ("x0", lambda snr: torch.minimum(snr, torch.tensor(5.0))),
        ("v", lambda snr: torch.minimum(snr, torch.tensor(5.0)) / (snr + 1)),
    ],
)
def test_the_weights_are_the_papers_forms(predict, by_snr):
    alpha, sigma = process_of("cosine").rates(within())
    _, b, _ = Parametrisation(predict).coefficients(alpha, sigma)
    torch.testing.assert_close(weight("min-snr", 5.0, b, alpha, sigma), by_snr((alpha / sigma) ** 2))
    assert (weight("uniform", 5.0, b, alpha, sigma) == 1).all()


# --- guidance ---------------------------------------------------------------------------------------------------------

TIMES = torch.linspace(1, 0, 11, dtype=torch.float64)
LADDER = Levels(TIMES, 1 - TIMES, TIMES)


class Counted:
    """Predicts x plus ten times the label (nothing for -1), and notes the rows of every pass."""

    def __init__(self, factor=10.0):
        self.factor, self.passes = factor, []

    def __call__(self, x, i, labels):
        self.passes.append((i, len(x), None if labels is None else labels.tolist()))
        return x if labels is None else x + self.factor * labels.clamp(min=0)[:, None]


def guided(guidance, labels=(1, 2), seed=0, predict=None, weak=None, unconditional=None):
    labels = None if labels is None else torch.tensor(labels)
    coin = torch.Generator().manual_seed(seed)
    away = weak is None if unconditional is None else unconditional
    return Guided(predict or Counted(), guidance, LADDER, labels, coin, weak, away)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.5, 3.0])
def test_guidance_moves_from_the_unconditional_through_the_conditional(strength):
    x = random(2, 4)
    bad, good = x, x + torch.tensor([[10.0], [20.0]])
    torch.testing.assert_close(guided(Guidance(strength))(x, 0), bad + strength * (good - bad))


def test_both_branches_are_one_pass_and_the_second_is_not_computed_where_it_is_off():
    """In (0.2, 0.7] two rows a picture and the labels without; elsewhere one row, and no guidance."""
    model = guided(Guidance(3.0, 0.2, 0.7))
    x = random(2, 4)
    for i in range(len(LADDER)):
        model(x, i)
    acts = [0.2 < t <= 0.7 for t in TIMES[:-1].tolist()]
    assert [rows for _, rows, _ in model.predict.passes] == [4 if now else 2 for now in acts]
    assert {tuple(labels) for _, rows, labels in model.predict.passes if rows == 4} == {(1, 2, -1, -1)}
    assert {tuple(labels) for _, rows, labels in model.predict.passes if rows == 2} == {(1, 2)}
    assert model.evaluations == len(acts) + sum(acts) and 0 < sum(acts) < len(acts)


def test_the_interval_is_open_below_and_closed_above():
    guidance = Guidance(2.0, 0.3, 0.6)
    assert [guidance.acts(t) for t in (0.3, 0.300001, 0.6, 0.600001)] == [False, True, True, False]
    assert Guidance(2.0).acts(1.0) and Guidance(2.0).acts(1e-9) and not Guidance(1.0).acts(0.5)


def test_strength_one_is_no_guidance():
    model = guided(Guidance(1.0))
    x = random(2, 4)
    assert torch.equal(model(x, 0), Counted()(x, 0, torch.tensor([1, 2]))) and model.evaluations == 1


def test_without_labels_and_guidance_none_are_told():
    model = guided(Guidance(), labels=None)
    assert torch.equal(model(x := random(2, 4), 0), x) and model.predict.passes == [(0, 2, None)]


def test_random_skipping_leaves_out_its_share_and_is_the_seeds():
    """hw2's way to save time: of 1,000 steps a quarter has one row a picture, the same ones for the same seed."""

    def rows(seed):
        model = guided(Guidance(3.0, skip=0.25), seed=seed)
        for _ in range(1000):
            model(torch.zeros(2, 1, dtype=torch.float64), 0)
        return [count for _, count, _ in model.predict.passes]

    one, same, other = rows(0), rows(0), rows(1)
    assert one == same != other and set(one) == {2, 4}
    assert one.count(2) / 1000 == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 1000))


@pytest.mark.parametrize(("skip", "rows"), [(0.0, 4), (1.0, 2)])
def test_the_ends_of_the_skip_probability_are_never_and_always(skip, rows):
    model = guided(Guidance(3.0, skip=skip))
    for _ in range(200):
        model(torch.zeros(2, 1, dtype=torch.float64), 0)
    assert {count for _, count, _ in model.predict.passes} == {rows}


def test_a_coin_is_thrown_where_guidance_would_act_alone():
    """So an interval's random numbers are not spent outside it."""
    model = guided(Guidance(3.0, 0.0, 0.5, skip=0.5))
    before = model.coin.get_state()
    model(torch.zeros(2, 1, dtype=torch.float64), 0)
    assert torch.equal(before, model.coin.get_state())


def test_autoguidance_leads_away_from_a_weak_model_that_is_told_the_label_too():
    weak, x = Counted(4.0), random(2, 4)
    model = guided(Guidance(2.0), weak=weak)
    labels = torch.tensor([[1.0], [2.0]])
    torch.testing.assert_close(model(x, 3), x + 4 * labels + 2.0 * (10 - 4) * labels)
    assert model.predict.passes == weak.passes == [(3, 2, [1, 2])] and model.evaluations == 2


def test_away_from_both_is_away_from_the_mean_of_the_two_and_costs_three_evaluations():
    weak, x = Counted(4.0), random(2, 4)
    model = guided(Guidance(2.0), weak=weak, unconditional=True)
    labels = torch.tensor([[1.0], [2.0]])
    good, bad = x + 10 * labels, (x + x + 4 * labels) / 2
    torch.testing.assert_close(model(x, 3), bad + 2.0 * (good - bad))
    assert model.predict.passes == [(3, 4, [1, 2, -1, -1])] and weak.passes == [(3, 2, [1, 2])]
    assert model.evaluations == 3


def test_autoguidance_needs_no_labels():
    model = guided(Guidance(2.0), labels=None, weak=lambda x, i, labels: x - 1)
    torch.testing.assert_close(model(x := random(2, 4), 0), x - 1 + 2.0)
