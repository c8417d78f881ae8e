"""The diffusion method: its step by hand, labels left out, drawing, that it learns, and what presets refuse."""

import pytest
import tiny
import torch
from torch import nn

from genshift import presets
from genshift.data import ImageSet
from genshift.data.feed import Batch, Feed, StepRandom, TrainingSet
from genshift.diffusion.process import PROCESSES
from genshift.errors import Refusal
from genshift.methods import base, diffusion
from genshift.methods.schedules import Progress
from genshift.runs.trained_run import build_method
from genshift.training.training_data import open_training_data

SMALL = {
    **tiny.SAMPLED_PLAINLY,
    "size": 8,
    "width": 8,
    "patch": 1,
    "batch": 4,
    "steps": 3,
    "guidance": 1.0,
    "lr_warmup": 0,
}
EDM = {"process": "edm", "predict": "edm"}
PAIRS = [*((process, predict) for process in ("linear", "cosine", "flow") for predict in ("epsilon", "x0", "v"))]
PAIRS += [("edm", "edm")]
START = Progress(0, 100)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Chunks of six pictures."""
    for module in (base, diffusion):
        monkeypatch.setattr(module, "CHUNK", 6)


def method_of(arithmetic=tiny.FLOAT32, classes=3, awake=True, **changes):
    """digits-diffusion at its smallest; awake: past its start, where the network's answer is zero but for a bias."""
    method = build_method(presets.get("digits-diffusion").replaced(**{**SMALL, **changes}), classes, arithmetic, 0)
    if awake:
        generator = torch.Generator().manual_seed(5)
        for weight in method.networks["unet"].parameters():
            if not weight.any():
                weight.data = torch.randn(weight.shape, generator=generator).to(weight) / 10
    return method


def batch_of(method, count=4, classes=3, start=0):
    generator = torch.Generator().manual_seed(start)
    shape = (count, method.rule.channels, method.preset.size, method.preset.size)
    x = torch.rand(shape, generator=generator).to(method.arithmetic.dtype) * 2 - 1
    return Batch(x, torch.arange(count) % classes, StepRandom(0, start, count))


class Spied(nn.Module):
    """A network in another's place, which notes what it is given."""

    def __init__(self, answer, scale=1.0):
        super().__init__()
        self.answer, self.given = answer, []
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, x, t, y):
        self.given.append((x.detach(), t, y))
        return self.scale * self.answer(x, t, y)


def spied(method, answer=lambda x, t, y: 0 * x):
    net = Spied(answer)
    method.networks["unet"] = method.nets["unet"] = net
    method.optimizers["unet"] = torch.optim.SGD(net.parameters(), lr=0.0)
    return method


# --- learning ---------------------------------------------------------------------------------------------------------


def test_a_step_is_ddpms_algorithm_1():
    """Loss, what the network sees, and the step's gradient, from β alone."""
    method = method_of(tiny.FLOAT64, process="linear", predict="epsilon", optimizer="sgd", label_dropout=0.0)
    net, data = method.networks["unet"], batch_of(method)
    k = ((data.draws.spread("t").double() * 1000).floor() + 1).long()
    abar = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)[k - 1, None, None, None]
    eps = data.draws.normal("eps", 3, 8, 8).double()
    expected = (net(abar.sqrt() * data.x + (1 - abar).sqrt() * eps, k.double(), data.y) - eps).square().mean()
    wanted = torch.autograd.grad(expected, list(net.parameters()))
    scalars = method.step({"data": data}, START)
    assert scalars["loss"].item() == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close([p.grad for p in net.parameters()], list(wanted))


def test_a_step_is_flow_matchings():
    """|F((1 - t) x_0 + t ε, 1000 t) - (ε - x_0)|²."""
    method = method_of(tiny.FLOAT64, process="flow", predict="v", label_dropout=0.0)
    net, data = method.networks["unet"], batch_of(method)
    t = PROCESSES["flow"]().times(data.draws.spread("t").double())
    eps, each = data.draws.normal("eps", 3, 8, 8).double(), t[:, None, None, None]
    expected = (net((1 - each) * data.x + each * eps, 1000 * t, data.y) - eps + data.x).square().mean()
    assert method.step({"data": data}, START)["loss"].item() == pytest.approx(expected.item(), rel=1e-10)


def test_a_step_is_edms():
    """λ(σ) |D(x + σε) - x|² with D of equation 7, λ and c's of table 1."""
    method = method_of(tiny.FLOAT64, **EDM, label_dropout=0.0)
    net, data = method.networks["unet"], batch_of(method)
    process = PROCESSES["edm"]()
    sigma = process.rates(process.times(data.draws.spread("t").double()))[1]
    s, noisy = sigma[:, None, None, None], data.x + sigma[:, None, None, None] * data.draws.normal("eps", 3, 8, 8)
    answer = net(noisy / (s**2 + 0.25).sqrt(), 250 * sigma.log(), data.y)
    seen = 0.25 / (s**2 + 0.25) * noisy + s * 0.5 / (s**2 + 0.25).sqrt() * answer
    expected = ((s**2 + 0.25) / (s * 0.5) ** 2 * (seen - data.x) ** 2).mean()
    scalars = method.step({"data": data}, START)
    assert scalars["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert scalars["loss_image"].item() == pytest.approx((seen - data.x).square().mean().item(), rel=1e-6)


@pytest.mark.parametrize("process", ["linear", "cosine"])
def test_min_snr_is_the_same_step_whatever_is_predicted(process):
    """A network that sees the picture 0.3 x_t, and says so as ε, x_0 or v, loses min(SNR, γ)|x_0 - 0.3 x_t|²."""
    found = {}
    for predict in ("epsilon", "x0", "v"):
        method = method_of(tiny.FLOAT64, process=process, predict=predict, weighting="min-snr", gamma=5.0)
        coefficients, rates = method.parametrisation.coefficients, method.process.rates

        def told(x, t, y, coefficients=coefficients, rates=rates):
            a, b, _ = (each[:, None, None, None] for each in coefficients(*rates(t.double() / 1000)))
            return (0.3 - a) / b * x

        data = batch_of(spied(method, told), count=64)
        found[predict] = method.step({"data": data}, START)["loss"].item()
        noisy, k = method.networks["unet"].given[0][:2]
        alpha, sigma = rates(k / 1000)
        errors = (data.x - 0.3 * noisy).square().mean((1, 2, 3))
        direct = (torch.minimum((alpha / sigma) ** 2, torch.tensor(5.0)) * errors).mean().item()
        assert found[predict] == pytest.approx(direct, rel=1e-9)
    assert found["epsilon"] == pytest.approx(found["x0"], rel=1e-10) == pytest.approx(found["v"], rel=1e-10)


@pytest.mark.parametrize(("process", "predict"), PAIRS)
def test_every_process_and_prediction_learns_and_draws(process, predict):
    """Twelve steps on one batch: the loss falls by a tenth at least, and what is drawn is finite and no constant."""
    method = method_of(awake=False, process=process, predict=predict, lr=3e-3)
    draws = StepRandom(0, 0, 16)
    data = Batch(batch_of(method, 16).x, torch.arange(16) % 3, draws)
    losses = [method.step({"data": data}, START)["loss"].item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    last = list(method.reverse(torch.Generator().manual_seed(0), torch.arange(6) % 3))[-1]
    assert last.x.isfinite().all() and last.x.std(0).min() > 0


def test_the_noisiest_time_of_straight_lines_stops_no_training():
    """Where a batch's draws hold a 0, t = 1 and α = 0: a loss, and a picture's error, all the same."""
    for predict in ("epsilon", "x0", "v"):
        for weighting in ("uniform", "min-snr"):
            method = method_of(process="flow", predict=predict, weighting=weighting)
            data = batch_of(method)
            object.__setattr__(data.draws, "spread", lambda name: torch.tensor([0.0, 0.25, 0.5, 0.75]))
            scalars = method.step({"data": data}, START)
            assert all(value.isfinite() for value in scalars.values())
            assert all(weight.isfinite().all() for weight in method.networks["unet"].parameters())


# --- labels left out, dropout -----------------------------------------------------------------------------------------


def left_out(method, start, count=40):
    """Which of a batch's labels the network was not told."""
    method.step({"data": batch_of(method, count, start=start)}, START)
    told = method.networks["unet"].given[-1][2]
    assert ((told == torch.arange(count) % 3) | (told == -1)).all()
    return told == -1


def test_labels_are_left_out_image_by_image_and_by_the_seed():
    """Over 50 batches of 40: about a quarter, never all or none of a batch, and the same ones again."""
    runs = [[left_out(method, 40 * step) for step in range(50)] for method in (with_dropout(0.25), with_dropout(0.25))]
    shares = torch.stack(runs[0]).double().mean(1)
    assert shares.mean().item() == pytest.approx(0.25, abs=0.04)
    assert shares.min() > 0 and shares.max() < 1 and len(shares.unique()) > 5
    assert shares.std().item() == pytest.approx((0.25 * 0.75 / 40) ** 0.5, rel=0.4)
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))
    assert not torch.equal(runs[0][0], runs[0][1])


def with_dropout(share):
    return spied(method_of(tiny.FLOAT64, label_dropout=share))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 40)])
def test_the_ends_of_label_dropout_are_none_and_all(share, count):
    assert left_out(with_dropout(share), 0).sum() == count


def test_without_classes_no_label_is_told():
    method = spied(method_of(tiny.FLOAT64, classes=0, condition="none"))
    method.step({"data": batch_of(method)}, START)
    assert method.networks["unet"].given[0][2] is None


def test_dropout_is_a_function_of_the_images_seen():
    """Not of torch's own generator, and two processes' shares are the whole batch's."""
    method = method_of(tiny.FLOAT64, dropout=0.5)
    whole = batch_of(method)
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        losses.append(method_of(tiny.FLOAT64, dropout=0.5).step({"data": whole}, START)["loss"].item())
    assert losses[0] == losses[1]
    parts = []
    for rank in (0, 1):
        rows = slice(2 * rank, 2 * rank + 2)
        share = Batch(whole.x[rows], whole.y[rows], StepRandom(0, 0, 4, rank, 2))
        parts.append(method_of(tiny.FLOAT64, dropout=0.5).step({"data": share}, START)["loss"].item())
    assert sum(parts) / 2 == pytest.approx(losses[0], rel=1e-12)
    assert losses[0] != method_of(tiny.FLOAT64).step({"data": whole}, START)["loss"].item()


# --- drawing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "ddpm", "guidance": 3.0, "skip": 0.5, "process": "linear", "predict": "epsilon"},
        {"sampler": "ddim", "eta": 0.5, "guidance": 2.0, "guidance_from": 0.2, "guidance_to": 0.8},
        {"sampler": "heun", **EDM},
    ],
    ids=lambda changes: changes["sampler"],
)
def test_the_same_seed_gives_the_same_picture_however_many_are_asked_for(changes):
    method = method_of(**changes)
    whole = method.sample(20, seed=3)
    assert whole.shape == (20, 3, 8, 8) and whole.dtype == torch.uint8
    for first, count in ((0, 1), (0, 7), (5, 2), (11, 9), (19, 1)):
        assert torch.equal(method.sample(count, seed=3, first=first), whole[first : first + count])
    assert not torch.equal(method.sample(20, seed=4), whole)
    assert len(whole.flatten(1).unique(dim=0)) == 20


def test_threads_draw_beside_each_other_what_one_draws():
    method, before, drawn = method_of(sampler="dpm++2m", guidance=2.0), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            drawn.append(method.sample(160, seed=3, first=20))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*drawn)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++2m", "dpm++3m", "unipc", "heun"])
@pytest.mark.parametrize("process", ["linear", "flow", "edm"])
def test_every_sampler_finds_the_picture_that_the_network_is_sure_of(process, sampler):
    """A network that always sees 0.4: so is the picture, whatever the noise, for every process and spacing."""
    predict = {"linear": "epsilon", "flow": "v", "edm": "edm"}[process]
    for spacing in ("time", "snr"):
        method = method_of(
            tiny.FLOAT64, classes=0, condition="none",
            process=process, predict=predict, sampler=sampler, spacing=spacing, steps=5,
        )  # fmt: skip
        method._predict = lambda net, time, x, i, labels: torch.full_like(x, 0.4)
        states = list(method.reverse(torch.Generator().manual_seed(0)))
        assert [state.step for state in states] == [1, 2, 3, 4, 5]
        torch.testing.assert_close(states[-1].x, torch.full((6, 3, 8, 8), 0.4, dtype=torch.float64))
        assert (method.sample(1, 0) == round((0.4 * 0.5 + 0.5) * 255)).all()


def test_the_network_is_given_scaled_noise_falling_times_and_the_labels():
    method = spied(method_of(tiny.FLOAT64, process="linear", predict="epsilon", sampler="ddim", steps=4))
    method.sample(6, seed=0, label=2)
    given = method.networks["unet"].given
    assert [t.unique().tolist() for _, t, _ in given] == [[1000], [750], [500], [250]]
    assert all(y.tolist() == [2] * 6 for _, _, y in given)
    assert given[0][0].std().item() == pytest.approx(1, abs=0.1)


def test_edm_starts_from_noise_of_80_which_the_network_sees_scaled():
    method = spied(method_of(tiny.FLOAT64, **EDM, sampler="heun"))
    states = list(method.reverse(torch.Generator().manual_seed(0), torch.arange(6) % 3))
    assert method.networks["unet"].given[0][0].std().item() == pytest.approx(1, abs=0.1)
    assert method.evaluations == 2 * 3 - 1 and len(states) == 3


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [({"guidance": 1.0}, 10), ({"guidance": 3.0}, 20), ({"guidance": 3.0, "guidance_to": 0.5}, 15)],
    ids=str,
)
def test_the_second_branch_is_computed_where_guidance_acts_alone(changes, evaluations):
    """With ten steps; rows counted at the network."""
    method = spied(method_of(tiny.FLOAT64, sampler="ddim", steps=10, **changes))
    method.sample(1, seed=0)
    assert method.evaluations == evaluations
    assert sum(len(x) for x, _, _ in method.networks["unet"].given) == 6 * evaluations


def test_a_model_without_classes_is_not_guided_and_draws():
    method = method_of(classes=0, condition="none", guidance=3.0)
    assert method.sample(2, seed=0).shape == (2, 3, 8, 8) and method.evaluations == 3


def test_guided_pictures_are_those_of_the_formula():
    """One step from noise: unconditional + w (conditional - unconditional), and label -1 is the unconditional one."""
    method = method_of(tiny.FLOAT64, steps=1, sampler="ddim")
    labels, none = torch.arange(6) % 3, torch.full((6,), -1)

    def drawn(told, guidance):
        method.sampling = method.preset.replaced(guidance=guidance).sampling()
        return list(method.reverse(torch.Generator().manual_seed(0), told))[-1].x

    good, bad = drawn(labels, 1.0), drawn(none, 1.0)
    assert (good - bad).abs().max() > 1e-6
    torch.testing.assert_close(drawn(labels, 2.5), bad + 2.5 * (good - bad))


def test_autoguidance_needs_the_early_state_and_leads_away_from_it():
    method = method_of(tiny.FLOAT64, steps=1, sampler="ddim", guide="weak", guidance=2.0)
    with pytest.raises(Refusal, match="kept no early state"):
        method.sample(1, seed=0)
    method.weak = method.networks["unet"]
    same = method.sample(6, seed=0)
    method.sampling = method.preset.replaced(guidance=1.0, guide="unconditional").sampling()
    assert torch.equal(same, method.sample(6, seed=0))


def test_clipping_keeps_each_predicted_picture_within_the_pixels_range():
    for clip in ("on", "off"):
        method = spied(method_of(tiny.FLOAT64, clip=clip, predict="x0"), lambda x, t, y: 3 * torch.ones_like(x))
        seen = {state.x0.max().item() for state in method.reverse(torch.Generator(), torch.arange(6) % 3)}
        assert seen == {1.0 if clip == "on" else 3.0}


def test_a_label_never_trained_is_refused():
    method = method_of()
    with pytest.raises(Refusal, match="no class number 3: the run learnt 3"):
        method.sample(1, 0, label=3)
    with pytest.raises(Refusal, match="no particular class"):
        method_of(classes=0, condition="none").sample(1, 0, label=0)


def test_drawing_leaves_no_gradient_and_training_goes_on():
    method = method_of()
    method.sample(1, 0)
    assert all(weight.grad is None for weight in method.networks["unet"].parameters())
    method.step({"data": batch_of(method)}, START)


# --- it learns --------------------------------------------------------------------------------------------------------


def corners(count, seed=0):
    """Dark squares of 8 pixels with one bright quarter, whose place is the class and whose colour varies."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.full((count, 3, 8, 8), 40, dtype=torch.uint8)
    colours = torch.randint(120, 250, (count, 3, 1, 1), generator=generator, dtype=torch.uint8)
    for row, (y, x) in enumerate(divmod(label, 2) for label in labels.tolist()):
        images[row, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = colours[row]
    return ImageSet("corners", images, labels, ("0", "1", "2", "3"))


def test_a_small_diffusion_learns_places_and_colours(monkeypatch):
    """After 250 steps at least 95 % of its pictures are nearest to their own class's mean, and their pixels' means
    and the spread of their colours are near the data's."""
    monkeypatch.setattr(base, "CHUNK", 40)
    monkeypatch.setattr(diffusion, "CHUNK", 40)
    data = corners(256)
    method = method_of(classes=4, awake=False, width=16, patch=2, steps=10)
    feed = Feed({"data": TrainingSet(data, 32)}, method.rule, method.arithmetic, 0)
    for step in range(250):
        for group in method.optimizers["unet"].param_groups:
            group["lr"] = 4e-3 * (1 - step / 250)
        method.train_mode(True)
        method.step(feed.at(32 * step), Progress(32 * step, 8000))
    drawn = method.sample(80, seed=0).float()
    means = torch.stack([data.images[data.labels == label].float().mean(0) for label in range(4)])
    nearest = torch.cdist(drawn.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == torch.arange(80) % 4).double().mean() >= 0.95
    own = torch.stack([drawn[label::4].mean(0) for label in range(4)])
    assert (own - means).abs().mean() < 25
    quarters = torch.stack([drawn[0::4, :, :4, :4].mean((2, 3)), data.images[0:80:4, :, :4, :4].float().mean((2, 3))])
    ratio = quarters[0].std(0) / quarters[1].std(0)
    assert ratio.min() > 0.45 and ratio.max() < 1.6


# --- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"process": "edm"}, "--process edm and --predict edm go together, not edm with v"),
        ({"predict": "edm"}, "--process edm and --predict edm go together, not flow with edm"),
        ({"steps": 0}, "--steps must be 1 or more, not 0"),
        ({"process": "linear", "steps": 1001}, "--steps is at most 1000"),
        ({"process": "cosine", "steps": 1001}, "--steps is at most 1000"),
        ({"guidance_from": 0.8, "guidance_to": 0.2}, "--guidance-from 0.8 is not below --guidance-to 0.2"),
        ({"guidance_from": 0.5, "guidance_to": 0.5}, "is not below"),
        ({"guidance_to": 1.5}, "--guidance-to is a share from 0 to 1, not 1.5"),
        ({"guidance": -1.0}, "--guidance must be 0 or more"),
        ({"guidance": float("nan")}, "--guidance must be 0 or more"),
        ({"guidance": float("inf")}, "--guidance must be 0 or more"),
        ({"eta": 1.5}, "--eta is a share"),
        ({"skip": -0.1}, "--skip is a share"),
        ({"label_dropout": 1.5}, "--label-dropout is a share of at most 1"),
        ({"dropout": 0.95}, "--dropout is a share of at most 0.9"),
        ({"gamma": 0.0}, "--gamma must be above 0"),
        ({"patch": 0}, "--patch must be above 0"),
        ({"width": 15}, "--width must be even"),
        ({"condition": "attribute"}, "--attribute NAME go together"),
        ({"attribute": "Male"}, "--attribute NAME go together"),
        ({"predict": "epsilom"}, "'epsilon'"),
        ({"sampler": "dpm"}, "sampler called"),
        ({"select": "best", "validation": 0.2}, "no measure on held-out pictures"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(Refusal) as said:
        presets.get("digits-diffusion").replaced(**changes)
    assert sentence in str(said.value) and "\n" not in str(said.value)


def test_straight_lines_take_any_number_of_steps():
    assert presets.get("digits-diffusion").replaced(steps=2000).sampling().steps == 2000


def test_a_condition_by_attribute_has_two_classes_of_its_name(faces):
    preset = tiny.of_pictures("faces-diffusion", faces[16], size=16, attribute="Green")
    training_data = open_training_data(preset, None)
    assert len(training_data.classes) == 2 and all("Green" in name for name in training_data.classes)
    part = training_data.parts["data"].images
    bright = part.images.float().mean((2, 3))[:, 1]
    assert bright[part.labels == 1].min() > bright[part.labels == 0].min() and set(part.labels.tolist()) == {0, 1}
    with pytest.raises(Refusal, match="Green"):
        open_training_data(preset.replaced(attribute="Gren"), None)


def test_unlabelled_pictures_train_without_a_condition_alone(tmp_path):
    preset = tiny.of_pictures("digits-diffusion", tiny.write_flat(tmp_path / "flat", 0), **SMALL)
    with pytest.raises(Refusal, match="no classes to learn"):
        open_training_data(preset, None)
    assert open_training_data(preset.replaced(condition="none"), None).classes == ()


def test_hw2s_model_keeps_predicted_pictures_within_the_pixels_range():
    """Where the noise is predicted, x_0 at the first step is 157 times the network's error; ours predict v."""
    preset = presets.get("hw2-diffusion")
    assert (preset.predict, preset.clip) == ("epsilon", "on") and "DDPM's authors" in preset.origins["clip"]
    noisy = [p for p in presets.PRESETS.values() if isinstance(p, presets.Diffusion) and p.predict == "epsilon"]
    assert noisy == [preset]
