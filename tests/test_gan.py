"""GANs: losses, steps, penalties, augmentation and alarms, against restatements in numpy and plain torch."""

import copy
import json
import math
import re

import numpy as np
import pytest
import tiny
import torch
from torch import nn
from torch.nn import functional as F

from genshift import presets
from genshift.data import ImageSet, pack
from genshift.data.feed import Batch, StepRandom
from genshift.errors import Refusal
from genshift.methods import GANMethod
from genshift.methods.diffaugment import _coloured, _hole, _moved, diffaugment
from genshift.methods.gan import discriminator_loss, generator_loss, spread, told_apart
from genshift.methods.schedules import Progress
from genshift.nets.layers import BatchNorm2d
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import build_method, open_run
from genshift.training import train as training
from genshift.training import training_data
from genshift.training.loop import PATIENCE, NonFinite

SMALL = {"size": 16, "width": 8, "batch": 4, "lr": 1e-3}
PLAIN = {  # whatever faces-gan comes to be
    **{"loss": "hinge", "first": "discriminator", "critic_steps": 1, "spectral_norm": "off", "diffaugment": "off"},
    **{"gradient_penalty": 0.0, "r1": 0.0, "r2": 0.0, "penalty_every": 1, "beta1": 0.5, "beta2": 0.9},
}
POLICY = "color,translation,cutout"
BFLOAT16 = tiny.Arithmetic(torch.device("cpu"), "bfloat16", "for a test")


def method_of(arithmetic=tiny.FLOAT64, classes=0, name="faces-gan", **changes):
    """faces-gan at its smallest, plain unless told otherwise."""
    preset = presets.get(name).replaced(**{**SMALL, **PLAIN, **changes})
    return build_method(preset, classes, arithmetic, seed=0)


def batch_of(method, seed=0, count=4, classes=0):
    """Random pictures in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, method.preset.size, method.preset.size)
    x = torch.rand(shape, generator=generator).to(method.arithmetic.dtype) * 2 - 1
    y = torch.arange(count) % classes if classes else None
    return Batch(x, y, StepRandom(seed, 0, count))


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


# --- losses -----------------------------------------------------------------------------------------------------------

REAL, FAKE = np.array([0.9, 0.2, 0.6]), np.array([0.3, 0.8, 0.1])


def log_logistic(x):
    """log(1 + exp(x))"""
    return np.log1p(np.exp(x))


BY_HAND = {
    "bce": (-np.log(REAL).mean() - np.log(1 - FAKE).mean(), -np.log(FAKE).mean()),
    "wgan": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "hinge": (np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean(), -FAKE.mean()),
    "relativistic": (log_logistic(FAKE - REAL).mean(), log_logistic(REAL - FAKE).mean()),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_losses_are_the_papers(kind):
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    assert discriminator_loss(kind, real, fake).item() == pytest.approx(BY_HAND[kind][0], rel=1e-12)
    assert generator_loss(kind, fake, real).item() == pytest.approx(BY_HAND[kind][1], rel=1e-12)


def test_the_generators_cross_entropy_does_not_saturate():
    """Where the discriminator is sure, log(1 - D) has slope 1 and -log D has slope 1/D."""
    fake = torch.tensor([1e-3], dtype=torch.float64, requires_grad=True)
    generator_loss("bce", fake).backward()
    assert fake.grad.item() == pytest.approx(-1000, rel=1e-6)


def test_a_sure_discriminator_loses_no_infinity():
    zero, one = torch.zeros(2), torch.ones(2)
    assert math.isfinite(discriminator_loss("bce", zero, one).item())
    assert math.isfinite(generator_loss("bce", zero).item())


@pytest.mark.parametrize(
    ("kind", "share"), [("bce", 4 / 6), ("hinge", 3 / 6), ("wgan", 2 / 3), ("relativistic", 2 / 3)]
)
def test_told_apart_is_a_share(kind, share):
    assert told_apart(kind, torch.from_numpy(REAL), torch.from_numpy(FAKE)).item() == pytest.approx(share)


def test_spread_is_the_deviation_over_the_batch():
    x = torch.zeros(4, 3, 16, 16)
    assert spread(x).item() == 0
    x[:2] = 1
    assert spread(x).item() == pytest.approx(0.5, rel=1e-6)


# --- penalties --------------------------------------------------------------------------------------------------------


class Known(nn.Module):
    """D(x) = a·|x|² + b·x, whose gradient is 2a·x + b."""

    def __init__(self, square, slope):
        super().__init__()
        self.square, self.slope = nn.Parameter(square), nn.Parameter(slope)

    def forward(self, x):
        return (self.square * x.square().flatten(1).sum(1) + (x * self.slope).flatten(1).sum(1))[:, None]


def with_known(method, square=0.0, slope=0.0):
    shape = (3, method.preset.size, method.preset.size)
    known = Known(torch.tensor(square, dtype=torch.float64), torch.full(shape, slope, dtype=torch.float64))
    method.networks["discriminator"] = method.nets["discriminator"] = known
    return method


@pytest.mark.parametrize(("name", "flag"), [("loss_r1", "r1"), ("loss_r2", "r2")])
def test_r1_and_r2_are_half_gamma_times_the_squared_gradient(name, flag):
    """R3GAN's equations 3 and 4 on D = a|x|²: γ/2 · E|2a x|²."""
    method = with_known(method_of(**{flag: 0.7}), square=0.3)
    real, fake = batch_of(method).x, batch_of(method, 1).x
    found = method._penalties(real, fake, batch_of(method))
    x = real if flag == "r1" else fake
    by_hand = 0.7 / 2 * np.mean([np.sum((2 * 0.3 * row) ** 2) for row in x.numpy()])
    assert set(found) == {name} and found[name].item() == pytest.approx(by_hand, rel=1e-12)
    found[name].backward()
    assert method.networks["discriminator"].square.grad.item() == pytest.approx(2 * by_hand / 0.3, rel=1e-10)


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    """|∇D| = |b| everywhere, so λ(|b| - 1)²; its derivative is 2λ(|b| - 1)·b/|b|."""
    method = with_known(method_of(gradient_penalty=10.0), slope=0.25)
    norm = 0.25 * math.sqrt(3 * 16 * 16)
    found = method._penalties(batch_of(method).x, batch_of(method, 1).x, batch_of(method))
    assert found["loss_penalty"].item() == pytest.approx(10 * (norm - 1) ** 2, rel=1e-12)
    found["loss_penalty"].backward()
    expected = 20 * (norm - 1) * 0.25 / norm
    slope = method.networks["discriminator"].slope
    torch.testing.assert_close(slope.grad, torch.full_like(slope, expected))


def test_the_gradient_penalty_looks_between_real_and_fake():
    """On D = |x|²/2 the slope is |x|: each picture's point lies on its own segment, at a place drawn for it alone."""
    method = with_known(method_of(gradient_penalty=1.0), square=0.5)
    batch = batch_of(method)
    real, fake = torch.zeros_like(batch.x), torch.ones_like(batch.x)
    t = batch.draws.uniform("between", 1, 1, 1).double().flatten()
    by_hand = (t * math.sqrt(3 * 16 * 16) - 1).square().mean()
    assert method._penalties(real, fake, batch)["loss_penalty"].item() == pytest.approx(by_hand.item(), rel=1e-12)
    assert len(t.unique()) == 4 and t.min() >= 0 and t.max() < 1


def test_a_lazy_penalty_weighs_as_often_more():
    """Every second step: the penalised step is that of twice the weight, the other that of none."""
    lazy = {"loss": "wgan", "gradient_penalty": 3.0, "penalty_every": 2, "optimizer": "sgd"}
    for images, weight in ((0, 6.0), (4, 0.0)):
        method, plain = method_of(**lazy), method_of(**{**lazy, "penalty_every": 1, "gradient_penalty": weight})
        for each in (method, plain):
            each.step({"data": batch_of(each)}, Progress(images, 100))
        for one, other in zip(
            method.networks["discriminator"].parameters(), plain.networks["discriminator"].parameters(), strict=True
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("penalty", [{"gradient_penalty": 10.0}, {"r1": 1.0, "r2": 1.0}], ids=str)
def test_a_penalty_is_in_float32_although_the_run_is_in_bfloat16(penalty, monkeypatch):
    method = method_of(BFLOAT16, loss="wgan", **penalty)
    seen, grad = [], torch.autograd.grad
    first = method.networks["discriminator"].first
    first.register_forward_hook(lambda layer, inputs, y: seen.append(y.dtype))

    def noting(outputs, inputs, **options):
        found = grad(outputs, inputs, **options)
        seen.append((outputs.dtype, inputs.dtype, found[0].dtype))
        return found

    monkeypatch.setattr(torch.autograd, "grad", noting)
    scalars = method.discriminator_step(batch_of(method))
    passes = len(penalty)
    assert seen == [torch.bfloat16, *[torch.float32, (torch.float32,) * 3] * passes]
    assert all(value.isfinite() for value in scalars.values())


# --- steps ------------------------------------------------------------------------------------------------------------


def noise(batch, name, latent=128):
    return batch.draws.normal(name, latent).double()


def adam_once(net, loss):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9))
    optimizer.zero_grad()
    loss.backward(inputs=list(net.parameters()))
    optimizer.step()


def test_a_step_is_its_restatement():
    """Hinge, discriminator first; the generator then plays against the discriminator as it has become."""
    method = method_of()
    nets, batch = copy.deepcopy(method.networks), batch_of(method)
    scalars = method.step({"data": batch}, Progress(0, 100))
    g, d = nets["generator"], nets["discriminator"]
    fake = g(noise(batch, "discriminator")).detach()
    loss_d = F.relu(1 - d(batch.x)).mean() + F.relu(1 + d(fake)).mean()
    adam_once(d, loss_d)
    loss_g = -d(g(noise(batch, "generator"))).mean()
    adam_once(g, loss_g)
    assert scalars["loss_d"].item() == pytest.approx(loss_d.item()) and scalars["loss_g"].item() == pytest.approx(
        loss_g.item()
    )
    for name, net in nets.items():
        for one, other in zip(method.networks[name].parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_the_relativistic_generator_sees_real_pictures_too():
    method = method_of(loss="relativistic")
    nets, batch = copy.deepcopy(method.networks), batch_of(method)
    scalars = method.generator_step(batch)
    apart = nets["discriminator"](batch.x) - nets["discriminator"](nets["generator"](noise(batch, "generator")))
    assert scalars["loss_g"].item() == pytest.approx(F.softplus(apart).mean().item())


@pytest.mark.parametrize(
    ("first", "critic_steps", "order"),
    [
        ("generator", 1, "GDGDGD"),
        ("discriminator", 1, "DGDGDG"),
        ("discriminator", 2, "DDGD"),
        ("generator", 2, "DGDD"),
        ("discriminator", 3, "DDDG"),
    ],
)
def test_who_steps_when(first, critic_steps, order, monkeypatch):
    """Three steps of the loop; the order of the optimizers' steps, recorded."""
    method, played = method_of(first=first, critic_steps=critic_steps), []
    for name, letter in (("generator", "G"), ("discriminator", "D")):
        step = method.optimizers[name].step
        monkeypatch.setattr(
            method.optimizers[name], "step", lambda step=step, letter=letter: played.append(letter) or step()
        )
    for images in (0, 4, 8):
        scalars = method.step({"data": batch_of(method)}, Progress(images, 100))
        assert ("loss_g" in scalars) is (images // 4 % critic_steps == critic_steps - 1)
    assert "".join(played) == order


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_the_generators_step_leaves_the_discriminator_as_it_is(loss):
    """No weight moves, no gradient is left, and afterwards it can learn again."""
    method = method_of(loss=loss)
    method.discriminator_step(batch_of(method))
    discriminator = method.networks["discriminator"]
    method.optimizers["discriminator"].zero_grad(set_to_none=True)
    before = state(discriminator)
    method.generator_step(batch_of(method))
    assert tiny.different(before, state(discriminator)) == []
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())


@pytest.mark.parametrize(("name", "buffers"), [("hw3-gan", "running_|num_batches"), ("faces-gan", "u$")])
def test_in_the_generators_step_only_the_discriminators_buffers_move(name, buffers):
    changes = {"spectral_norm": "on"} if name == "faces-gan" else {"size": 64, "width": 64}
    method = method_of(tiny.FLOAT32, name=name, **changes)
    before = state(method.networks["discriminator"])
    method.generator_step(batch_of(method, count=2))
    moved = tiny.different(before, state(method.networks["discriminator"]))
    assert moved and all(re.search(buffers, key) for key in moved)


def test_the_discriminators_step_leaves_the_generators_weights_as_they_are():
    method = method_of()
    generator = method.networks["generator"]
    method.generator_step(batch_of(method))
    before = {name: p.clone() for name, p in generator.named_parameters()}
    gradients = [p.grad.clone() for p in generator.parameters()]
    method.discriminator_step(batch_of(method))
    assert all(torch.equal(before[name], p) for name, p in generator.named_parameters())
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, generator.parameters(), strict=True))


def test_real_and_generated_pictures_share_no_batch_norm():
    """With BatchNorm they pass one by one, and what is said of the real ones does not depend on the others."""
    method = method_of()
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 4), BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 1)).double()
    method.networks["discriminator"] = method.nets["discriminator"] = net
    method.normalises_batches = True
    batch = batch_of(method)
    said = [method._judge_both(batch.x, fake, batch)[0] for fake in (batch.x * 0.1, batch.x * 5 + 1)]
    torch.testing.assert_close(*said)
    printed = build_method(presets.get("hw3-gan"), 0, tiny.FLOAT32, 0)
    assert printed.normalises_batches and not method_of().normalises_batches


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_every_size_and_colour_takes_a_step(size, colour):
    method = method_of(tiny.FLOAT32, size=size, colour=colour, spectral_norm="on", diffaugment=POLICY)
    images = tiny.faces(2, 0, size).images[:, : 1 if colour == "grey" else 3]
    batch = Batch(method.rule(images, method.arithmetic), None, StepRandom(0, 0, 2))
    assert all(value.isfinite() for value in method.step({"data": batch}, Progress(0, 8)).values())
    assert method.decode(torch.randn(2, 128)).shape == images.shape


def test_a_conditional_step_uses_the_labels():
    """The same pictures under other labels give another step, and every label's embedding learns."""
    ends = []
    for turn in (0, 1):
        method = method_of(classes=2, condition="classes")
        batch = batch_of(method, classes=2)
        batch = Batch(batch.x, (batch.y + turn) % 2, batch.draws)
        before = state(method.networks["generator"])
        method.step({"data": batch}, Progress(0, 100))
        assert "label.weight" in tiny.different(before, state(method.networks["generator"]))
        ends.append(state(method.networks["discriminator"]))
    assert "first.weight" in tiny.different(*ends)


# --- random numbers, and what the discriminator gets to see -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_the_rows_of_two_processes_are_the_rows_of_one(kind):
    def drawn(**where):
        return getattr(StepRandom(3, 40, 6, **where), kind)("name", 2, 3)

    alone = drawn()
    assert alone.shape == (6, 2, 3) and alone.dtype == torch.float32
    assert torch.equal(alone, torch.cat([drawn(rank=rank, processes=2) for rank in range(2)]))
    assert torch.equal(alone, torch.cat([drawn(rank=rank, processes=3) for rank in range(3)]))
    assert torch.equal(alone, drawn())


@pytest.mark.parametrize("other", [StepRandom(4, 40, 6), StepRandom(3, 46, 6)], ids=["seed", "images seen"])
def test_draws_depend_on_the_seed_the_images_seen_and_the_name(other):
    draws = StepRandom(3, 40, 6)
    assert not torch.equal(draws.normal("a", 2), other.normal("a", 2))
    assert not torch.equal(draws.normal("a", 2), draws.normal("b", 2))


def test_draws_are_standard():
    draws = StepRandom(0, 0, 20_000)
    assert draws.normal("a").mean().item() == pytest.approx(0, abs=0.03)
    assert draws.normal("a").std().item() == pytest.approx(1, abs=0.03)
    uniform = draws.uniform("a")
    assert uniform.min() >= 0 and uniform.max() < 1 and uniform.mean().item() == pytest.approx(0.5, abs=0.02)


def pictures(count=6, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def test_augmented_rows_of_two_processes_are_those_of_one():
    x = pictures()
    alone = diffaugment(x, StepRandom(1, 12, 6), "real", POLICY)
    pair = [diffaugment(part, StepRandom(1, 12, 6, rank, 2), "real", POLICY) for rank, part in enumerate(x.chunk(2))]
    assert torch.equal(alone, torch.cat(pair))
    assert not torch.equal(alone, diffaugment(x, StepRandom(1, 12, 6), "fake", POLICY))
    assert not torch.equal(alone, diffaugment(x, StepRandom(1, 18, 6), "real", POLICY))


def test_augmentation_passes_gradients():
    x = pictures(2, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: diffaugment(x, StepRandom(0, 0, 2), "a", POLICY), (x,))
    y = diffaugment(x, StepRandom(0, 0, 2), "a", POLICY)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()


PLACES = [(0.0, 0.0, 2, 2), (0.999, 0.999, -2, -2), (0.5, 0.5, 0, 0), (0.0, 0.5, 2, 0), (0.65, 0.3, -1, 1)]


@pytest.mark.parametrize(("u", "v", "by_y", "by_x"), PLACES)
def test_pictures_move_by_whole_pixels_and_black_comes_in(u, v, by_y, by_x):
    """By up to an eighth of the side: 2 of 16 pixels, five places of equal share."""
    x = pictures(1)
    moved = _moved(x, torch.tensor([[u, v]]))
    padded = np.pad(x[0].numpy(), ((0, 0), (2, 2), (2, 2)))
    top, left = 2 - by_y, 2 - by_x
    np.testing.assert_array_equal(moved[0].numpy(), padded[:, top : top + 16, left : left + 16])


@pytest.mark.parametrize(("u", "area"), [((0.5, 0.5), 64), ((0.0, 0.0), 16), ((0.999, 0.0), 16), ((0.5, 0.0), 32)])
def test_the_hole_is_half_the_side_and_may_lie_partly_outside(u, area):
    """At 16 pixels: 8 by 8, its middle anywhere from one border to the other."""
    holed = _hole(torch.ones(1, 3, 16, 16), torch.tensor([u]))
    assert (holed == 0).sum().item() == 3 * area and ((holed == 0) | (holed == 1)).all()
    rows, columns = (holed[0, 0] == 0).any(1).sum(), (holed[0, 0] == 0).any(0).sum()
    assert rows * columns == area


def test_colour_is_changed_in_the_papers_ranges():
    x = pictures(1)
    same = torch.full((1, 3), 0.5)
    torch.testing.assert_close(_coloured(x, same), x)
    for value in (0.0, 0.25, 1.0):
        brighter = _coloured(x, torch.tensor([[value, 0.5, 0.5]]))
        torch.testing.assert_close(brighter, x + value - 0.5)
        grey = x.numpy().mean(1, keepdims=True)
        saturated = _coloured(x, torch.tensor([[0.5, value, 0.5]]))
        np.testing.assert_allclose(saturated.numpy(), grey + (x.numpy() - grey) * 2 * value, rtol=1e-6, atol=1e-9)
        middle = x.numpy().mean()
        contrasted = _coloured(x, torch.tensor([[0.5, 0.5, value]]))
        np.testing.assert_allclose(contrasted.numpy(), middle + (x.numpy() - middle) * (value + 0.5), rtol=1e-6)


# --- alarms -----------------------------------------------------------------------------------------------------------


def test_what_is_alarming():
    method = method_of()
    assert method.alarms({"told_apart": 0.9, "spread": 0.5}) == {}
    assert set(method.alarms({"told_apart": 0.999, "spread": 0.5})) == {"discriminator won"}
    assert set(method.alarms({"told_apart": 0.6, "spread": 0.01})) == {"generator collapsed"}


def alarming(monkeypatch, said):
    """From image to scalars: what the discriminator's step reports, whatever it computed."""
    step = GANMethod.discriminator_step

    def reporting(self, data, *rest):
        value = {name: torch.tensor(number) for name, number in said(data.draws.start).items()}
        return step(self, data, *rest) | value

    monkeypatch.setattr(GANMethod, "discriminator_step", reporting)


def toy(faces, **changes):
    return tiny.of_pictures("faces-gan", faces[16], **{**SMALL, **PLAIN, "ema_half_life": 0, **changes})


WON = {"told_apart": 1.0, "spread": 0.5}
COLLAPSED = {"told_apart": 0.6, "spread": 0.0}
WELL = {"told_apart": 0.6, "spread": 0.5}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("said", "name"), [(WON, "discriminator won"), (COLLAPSED, "generator collapsed")])
def test_an_alarm_is_raised_after_five_readings_on_end(said, name, faces, tmp_path, monkeypatch, capfd):
    alarming(monkeypatch, lambda start: said if start >= 4 else WELL)
    tiny.train(toy(faces), tmp_path / "run", images=32)
    raised = {row["images"]: row.get("alarms", []) for row in tiny.rows(tmp_path / "run")}
    assert PATIENCE == 5
    assert raised == {images: [name] if images >= 24 else [] for images in range(4, 36, 4)}
    assert capfd.readouterr().err.count(f"warning: at 24 images, {PATIENCE} readings on end") == 1


@pytest.mark.usefixtures("quick")
def test_a_good_reading_begins_the_count_anew(faces, tmp_path, monkeypatch):
    alarming(monkeypatch, lambda start: WELL if start == 12 else WON)
    tiny.train(toy(faces), tmp_path / "run", images=32)
    assert not any("alarms" in row for row in tiny.rows(tmp_path / "run"))


@pytest.mark.usefixtures("quick")
def test_an_alarms_count_survives_a_stop(faces, tmp_path, monkeypatch):
    alarming(monkeypatch, lambda start: WON)
    preset = toy(faces)
    for out, observers in (("whole", [[]]), ("parted", [[tiny.StopAt(16)], []])):
        for each in observers:
            tiny.train(preset, tmp_path / out, images=32, observers=each)
    assert tiny.weights(tmp_path / "whole") == tiny.weights(tmp_path / "parted")
    assert [row["images"] for row in tiny.rows(tmp_path / "parted") if "alarms" in row] == [20, 24, 28, 32]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["loss_d", "loss_g", "loss_r1"])
def test_a_loss_that_is_no_number_is_named_and_refused(name, faces, tmp_path, monkeypatch):
    step = GANMethod.step

    def spoiled(self, batch, progress):
        scalars = step(self, batch, progress)
        return scalars | {name: scalars[name] * float("nan")} if progress.images >= 8 else scalars

    monkeypatch.setattr(GANMethod, "step", spoiled)
    with pytest.raises(NonFinite) as caught:
        tiny.train(toy(faces, r1=1.0), tmp_path / "run", images=16)
    sentence = str(caught.value)
    assert sentence.startswith(f"The loss '{name}' became NaN or infinite at step 3 (12 images); ")
    assert "Try a lower --lr (now 0.001)" in sentence and "\n" not in sentence


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["one picture a step", "pictures all alike"])
def test_a_spread_that_cannot_be_measured_stops_nothing(kind, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "check_pictures", lambda images: [])  # which refuses a set that is all alike
    plain = ImageSet("plain", torch.full((8, 3, 16, 16), 90, dtype=torch.uint8))
    pack(plain, tmp_path / "plain" / "train")
    alone = kind == "one picture a step"
    preset = toy(faces if alone else {16: tmp_path / "plain"}, batch=1 if alone else 4)
    assert tiny.train(preset, tmp_path / "run")


@pytest.mark.usefixtures("quick")
def test_scalars_of_a_resting_generator_are_means_of_the_steps_that_gave_them(faces, tmp_path, monkeypatch):
    """critic_steps 2: a reading of one step without the generator has no loss of it."""
    tiny.train(toy(faces, critic_steps=2), tmp_path / "run", images=16)
    assert ["train/loss_g" in row for row in tiny.rows(tmp_path / "run")] == [False, True, False, True]
    monkeypatch.setattr(training, "LOGS", 2)
    tiny.train(toy(faces, critic_steps=2), tmp_path / "two", images=16)
    fine = {row["images"]: row for row in tiny.rows(tmp_path / "run")}
    for row in tiny.rows(tmp_path / "two"):
        assert row["train/loss_g"] == pytest.approx(fine[row["images"]]["train/loss_g"], rel=1e-5)


# --- classes, and that it learns --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_class_folders_train_a_conditional_generator(tmp_path):
    for place, name in enumerate(("cats", "dogs")):
        tiny.write_flat(tmp_path / "pets" / name, place, count=6)
    preset = tiny.of_pictures("faces-gan", tmp_path / "pets", **SMALL, condition="classes")
    assert tiny.train(preset, tmp_path / "run", images=8)
    opened = open_run(tmp_path / "run")
    method, classes = opened.method, opened.classes
    assert classes == ("cats", "dogs") and method.classes == 2
    cats, dogs = (method.sample(3, seed=0, label=label) for label in range(2))
    assert cats.shape == (3, 3, 16, 16) and not torch.equal(cats, dogs)
    both = method.sample(4, seed=0)
    assert torch.equal(both[0], cats[0]) and torch.equal(both[1], dogs[1 % 3])
    with pytest.raises(Refusal, match="no class number 2: the run learnt 2, from 0"):
        method.sample(1, seed=0, label=2)


@pytest.mark.usefixtures("quick")
def test_pictures_without_classes_train_no_conditional_generator(tmp_path):
    folder = tiny.write_flat(tmp_path / "flat", 0, count=6)
    with pytest.raises(Refusal, match="no classes to learn: give class folders"):
        tiny.train(tiny.of_pictures("faces-gan", folder, **SMALL, condition="classes"), tmp_path / "run")


COLOURS = ((200, 40, 40), (40, 60, 210))


def one_colour_a_class(folder):
    """Red and blue pictures, a little uneven."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    images = torch.tensor(COLOURS)[labels][:, :, None, None] + torch.randint(
        -20, 21, (200, 3, 16, 16), generator=generator
    )
    pack(ImageSet("colours", images.to(torch.uint8), labels, ("red", "blue")), folder / "train")
    return folder


@pytest.mark.usefixtures("quick")
def test_a_gan_learns_the_colour_of_each_class(tmp_path):
    """Before training every channel is near the middle; after it, within 30 of 255 of the class's colour."""
    folder = one_colour_a_class(tmp_path / "colours")
    changes = {**SMALL, **PLAIN, "batch": 16, "latent": 8, "lr": 2e-3, "spectral_norm": "on", "ema_half_life": 300}
    preset = tiny.of_pictures("faces-gan", folder, **changes, condition="classes")
    assert tiny.train(preset, tmp_path / "run", images=16 * 150)
    method = open_run(RunFolder(tmp_path / "run")).method
    for label, colour in enumerate(COLOURS):
        drawn = method.sample(40, seed=0, label=label).double().mean((0, 2, 3))
        assert (drawn - torch.tensor(colour)).abs().max() < 30, (label, drawn)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["classes"] == ["red", "blue"]


@pytest.mark.usefixtures("quick")
def test_a_classifier_learns_attributes(tmp_path):
    """`tiny.faces`: an attribute is a colour channel that is brighter; on pictures it never saw."""
    pack(tiny.faces(300, 0, 16), tmp_path / "faces" / "train")
    changes = {"size": 16, "width": 8, "batch": 32, "lr": 3e-3, "lr_warmup": 100, "ema_half_life": 300, "shift": 0.0}
    preset = tiny.of_pictures("faces-attributes", tmp_path / "faces", **changes, validation=0.2)
    assert tiny.train(preset, tmp_path / "run", images=32 * 60)
    method = open_run(RunFolder(tmp_path / "run")).method
    unseen = tiny.faces(100, 77, 16)
    said = method.predict(unseen.images)
    assert said.shape == (100, 3) and said.min() >= 0 and said.max() <= 1
    right = ((said > 0.5) == (unseen.attributes > 0)).float().mean(0)
    assert (right > 0.95).all(), right
    assert method.embed(unseen.images).shape == (100, 64)
    checked = [row["valid/accuracy"] for row in tiny.rows(tmp_path / "run") if "valid/accuracy" in row]
    assert checked[-1] > 0.95


@pytest.mark.usefixtures("quick")
def test_pictures_can_be_held_out_from_a_gan(faces, tmp_path):
    preset = toy(faces, validation=0.25)
    assert tiny.train(preset, tmp_path / "run") is True
    data = RunFolder(tmp_path / "run").config["data"]["data"]
    assert data["held_out"] > 0


def test_no_checkpoint_of_a_gan_is_the_best():
    with pytest.raises(Refusal, match="no measure on held-out pictures"):
        presets.get("faces-gan").replaced(select="best", validation=0.2)
