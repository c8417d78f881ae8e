"""ADDA: its printed networks, its two phases beside a restatement, what is frozen, and that it learns."""

import copy
from itertools import pairwise

import pytest
import tiny
import torch
from test_methods import adam_once, batch_of, gradients, same
from test_nets import HW3_BLOCKS, INPLACE, POOL, linear, linear_block, numbered, printed
from torch.nn import functional as F

from genshift import api, presets
from genshift.data import load
from genshift.data.feed import Batch, StepRandom
from genshift.methods.schedules import Progress
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import build_method, open_run
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.probe import one_step, probe
from genshift.training.train import Settings
from genshift.training.training_data import open_training_data

EARLY, LATE = Progress(0, 100), Progress(50, 100)  # pre-training, and adaptation
TASKS = ("usps-mnistm", "mnistm-svhn", "svhn-usps")


def method_of(task="usps-mnistm", **changes):
    """ADDA in float64, at the restatement's learning rate of 1e-3."""
    preset = presets.get(f"hw3-adda-{task}").replaced(**{"lr": 1e-3, "pretrain": 0.5, **changes})
    return build_method(preset, 10, tiny.FLOAT64, seed=0)


def trainer_of(preset, path):
    """A trainer at its start, as `train` makes one."""
    settings, console = Settings(), Console(False)
    training_data = open_training_data(preset, None)
    return training.assemble(preset, RunFolder(path), training_data, settings, tiny.FLOAT32, World(), console)


# --- networks and settings ------------------------------------------------------------------------------------------


def head(outputs):
    blocks = [linear_block(a, b) for a, b in pairwise([1024, 512, 256, 128, 64])]
    return [
        ("preprocess", *linear_block(512, 1024)),
        ("classify", "Sequential", numbered([*blocks, linear(64, outputs), "LogSoftmax(dim=1)"])),
    ]


def test_the_networks_print_as_in_the_report():
    """hw3's "Problem 4: Improved UDA model"."""
    shown = api.show("hw3-adda-svhn-usps")["networks"]
    extractor = [("extract", "Sequential", numbered([*HW3_BLOCKS, POOL]))]
    trees = {
        "Extractor_pretrain": extractor,
        "Classifier": head(10),
        "Extractor_train": extractor,
        "Discriminator": head(2),
    }
    assert list(shown) == list(trees)
    for name, tree in trees.items():
        assert shown[name]["printed"] == printed(name, tree)
    assert INPLACE in shown["Discriminator"]["printed"]


@pytest.mark.parametrize(
    ("task", "lr", "figure", "batches", "colour", "epoch_steps"),
    [
        ("usps-mnistm", 1e-4, 0.4594, (64, 256), "rgb", 79),
        ("mnistm-svhn", 1e-3, 0.5378, (256, 256), "grey", 164),
        ("svhn-usps", 1e-5, 0.6003, (256, 64), "grey", 79),
    ],
)
def test_the_settings_are_the_reports(task, lr, figure, batches, colour, epoch_steps):
    preset = presets.get(f"hw3-adda-{task}")
    assert (preset.lr, preset.pretrain_lr, preset.optimizer, preset.lr_schedule) == (lr, 1e-3, "adam", "constant")
    assert preset.published == {"target_accuracy": figure}
    assert (preset.batch_source, preset.batch_target) == batches
    assert (preset.colour, preset.mean, preset.std, preset.validation) == (colour, 0.0, 1.0, 0.3)
    assert (preset.flip, preset.rotate, preset.shift, preset.scale, preset.epochs) == (0, 0, 0, 0, 30)
    source = {"usps": 7_291, "mnistm": 60_000, "svhn": 73_257}[preset.source]
    adapted = 20 * epoch_steps * batches[0]
    assert preset.images - adapted == int(7 * source)  # ten epochs of 70 %
    # The phase changes at the step where the ten epochs end.
    steps = -(-preset.images // batches[0])
    turn = next(i for i in range(steps) if Progress(i * batches[0], steps * batches[0]).fraction >= preset.pretrain)
    assert abs(turn - 7 * source / batches[0]) <= 1
    assert all(preset.origins[name].startswith("published") for name in ("lr", "pretrain", "pretrain_lr", "images"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("hw3-adda-usps-mnistm", "--pretrain", "1"), "above 0 and below 1, not 1.0"),
        (("hw3-adda-usps-mnistm", "--pretrain", "0"), "above 0 and below 1, not 0.0"),
        (("hw3-adda-usps-mnistm", "--select", "best"), "take label-free"),
        (("hw3-adda-usps-mnistm", "--statistics", "mixed"), "an extractor for each domain keeps apart"),
        (("hw3-adda-usps-mnistm", "--adversary", "reversal"), "takes no --adversary reversal"),
        (("hw3-dann-usps-mnistm", "--adversary", "inverted"), "takes no --adversary inverted"),
        (("hw3-dann-usps-mnistm", "--pretrain", "0.5"), "0 but in ADDA's and SHOT's presets, not 0.5"),
        (("hw3-adda-usps-mnistm", "--pretrain-lr", "0"), "--pretrain-lr must be above 0"),
        (("hw3-adda-usps-mnistm", "--size", "64"), "takes images of 17 to 48 pixels, not 64"),
    ],
)
def test_what_does_not_go_together_is_refused(words, sentence, capfd):
    assert sentence in tiny.refused(capfd, "show", *words)


# --- the two steps, restated ----------------------------------------------------------------------------------------


def test_pretraining_is_supervised_learning_on_the_source():
    """Equation 1, with Adam's first step by hand; the target's extractor is then the source's."""
    method, batch = method_of(), batch_of(6, 8)
    nets = copy.deepcopy(method.networks)
    scalars = method.step(batch, EARLY)
    loss = F.nll_loss(nets["predictor"](nets["source_extractor"](batch["source"].x)), batch["source"].y)
    steps = {name: gradients(loss, nets[name]) for name in ("source_extractor", "predictor")}
    for name, grads in steps.items():
        adam_once(nets[name], grads)
        assert same(method.networks[name].state_dict(), nets[name].state_dict()), name
    assert scalars["loss_label"].item() == pytest.approx(loss.item())
    assert not tiny.different(method.networks["domain"].state_dict(), nets["domain"].state_dict())
    copied, origin = (method.networks[name].state_dict() for name in ("extractor", "source_extractor"))
    assert tiny.different(copied, origin) == []
    assert tiny.different(copied, nets["extractor"].state_dict()), "the source's extractor did not learn"


@pytest.mark.parametrize(
    ("name", "sizes", "norm"),
    [
        ("hw3-adda-usps-mnistm", (6, 6), "extract.0.block.1"),
        ("hw3-adda-usps-mnistm", (4, 8), "extract.0.block.1"),
        ("adda-usps-mnistm", (4, 8), "norm"),
    ],
)
def test_adaptation_is_its_restatement(name, sizes, norm):
    """Equations 2 and 7 written out in probabilities: D steps, then M_t against the D that has stepped."""
    options = {"width": 8} if name == "adda-usps-mnistm" else {}
    plain = {"lr": 1e-3, "pretrain": 0.5, "optimizer": "adam", "weight_decay": 0.0}
    method = build_method(presets.get(name).replaced(**plain, **options), 10, tiny.FLOAT64, seed=0)
    batch = batch_of(*sizes)
    for _ in range(3):  # running statistics other than at the start
        method.step(batch, EARLY)
    nets, before = copy.deepcopy(method.networks), copy.deepcopy(method.networks)
    scalars = method.step(batch, LATE)

    nets["source_extractor"].eval()
    d = nets["domain"]

    def of_source(features):
        told = d(features)
        return told[:, 0].sigmoid() if told.shape[1] == 1 else told.exp()[:, 0]

    fs, ft = nets["source_extractor"](batch["source"].x).detach(), nets["extractor"](batch["target"].x)
    adversary = -of_source(fs).log().mean() - (1 - of_source(ft.detach())).log().mean()
    right = (of_source(fs) > 0.5).double().mean() / 2 + (of_source(ft) < 0.5).double().mean() / 2
    adam_once(d, gradients(adversary, d))
    inverted = -of_source(ft).log().mean()
    adam_once(nets["extractor"], gradients(inverted, nets["extractor"]))

    for each, net in nets.items():
        assert same(method.networks[each].state_dict(), net.state_dict()), each
    assert scalars["loss_domain"].item() == pytest.approx(adversary.item())
    assert scalars["loss_adversary"].item() == pytest.approx(inverted.item())
    assert scalars["domain_accuracy"].item() == pytest.approx(right.item())
    # Frozen is frozen, BatchNorm's buffers too; the target's extractor and the discriminator are not.
    for each in ("source_extractor", "predictor"):
        assert tiny.different(method.networks[each].state_dict(), before[each].state_dict()) == []
    for each, key in (("extractor", f"{norm}.running_mean"), ("domain", [*before["domain"].state_dict()][-1])):
        assert key in tiny.different(method.networks[each].state_dict(), before[each].state_dict())


def test_labels_do_not_reach_adaptation():
    batch = batch_of(6, 6)
    unlabelled = {**batch, "source": Batch(batch["source"].x, None, StepRandom(0, 0, 0))}
    one, other = method_of(), method_of()
    one.step(batch, LATE), other.step(unlabelled, LATE)
    for name in one.networks:
        assert tiny.different(one.networks[name].state_dict(), other.networks[name].state_dict()) == []


def test_each_phase_has_its_learning_rate(domains, tmp_path):
    preset = tiny.tiny("hw3-adda-svhn-usps", domains, pretrain=0.5, lr_schedule="linear", images=24)
    trainer = trainer_of(preset, tmp_path / "run")

    def rates():
        return {name: o.param_groups[0]["lr"] for name, o in trainer.method.optimizers.items()}

    for fraction in (0.0, 4 / 24):
        one_step(trainer)
        shape = 1 - fraction
        expected = {"labels": 1e-3 * shape, "domain": 1e-5 * shape, "extractor": 1e-5 * shape}
        assert rates() == pytest.approx(expected)


# --- where the phases meet ------------------------------------------------------------------------------------------


def test_the_target_begins_as_the_source_is_at_the_turn(domains, tmp_path):
    """Step by step: bit-equal until adaptation begins, whatever the moving average is; then only the target's moves."""
    preset = tiny.tiny("hw3-adda-usps-mnistm", domains, pretrain=0.5, images=24)
    trainer = trainer_of(preset, tmp_path / "run")
    nets = trainer.method.networks
    for seen in range(0, 24, 4):
        frozen = copy.deepcopy(nets["source_extractor"].state_dict())
        one_step(trainer)
        moved = tiny.different(frozen, nets["source_extractor"].state_dict())
        apart = tiny.different(nets["extractor"].state_dict(), nets["source_extractor"].state_dict())
        averages = [trainer.average.of(name) for name in ("extractor", "source_extractor")]
        assert bool(moved) == (seen < 12) and bool(apart) == (seen >= 12)
        assert bool(tiny.different(*averages)) == (seen >= 12)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("pretrain", [0.5, 0.6, 0.8])
def test_stopped_after_at_and_before_the_turn_a_run_ends_as_an_undisturbed_one(pretrain, domains, tmp_path):
    """Stopped at 16 of 24 images, where the phase changed 4 before, changes now, or will change after 4 more."""
    preset = tiny.tiny("hw3-adda-usps-mnistm", domains, pretrain=pretrain)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert tiny.train(preset, whole) is True
    assert tiny.train(preset, parted, observers=[tiny.StopAt(12)]) is False
    stopped = tiny.last(parted)
    copied = tiny.different(part(stopped, "extractor"), part(stopped, "source_extractor")) == []
    assert copied is (pretrain >= 0.6)
    assert any(name.startswith("optimizer/extractor/") for name in stopped) is (pretrain < 0.6)
    assert tiny.train(preset, parted) is True
    assert tiny.different(tiny.last(whole), tiny.last(parted)) == []
    assert tiny.different(tiny.best(whole), tiny.best(parted)) == []


def part(tensors, name):
    prefix = f"network/{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def test_the_probe_weighs_the_phases_by_their_shares(domains, tmp_path, whole_probe):
    """Arithmetic of a step a source image: pre-training has one extractor, adaptation two and the discriminator."""
    found = {}
    for pretrain in (0.25, 0.5):
        preset = tiny.tiny("hw3-adda-usps-mnistm", domains, batch_target=8, pretrain=pretrain, images=64)
        trainer = trainer_of(preset, tmp_path / str(pretrain))
        before = {name: t.clone() for name, t in trainer.state().tensors.items()}
        found[pretrain] = probe(trainer).gflop
        assert tiny.different(before, trainer.state().tensors) == [] and trainer.seen == 0
    sides, widths = [14, 7, 4, 2], [3, 64, 128, 256, 512]
    convolutions = [9 * widths[i] * widths[i + 1] * sides[i] ** 2 for i in range(4)]
    hidden = 512 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 64
    learnt = 3 * sum(convolutions) - convolutions[0]  # forward, and two products back but for the pictures
    labels = learnt + 3 * (hidden + 640)
    # D on one source and two target features, without a way back into them; then M_t through D, whose weights rest.
    judged = 3 * (3 * (hidden + 128) - 512 * 1024) + 2 * 2 * (hidden + 128)
    adapted = sum(convolutions) + 2 * learnt + judged
    for pretrain, gflop in found.items():
        assert gflop == pytest.approx(2e-9 * (pretrain * labels + (1 - pretrain) * adapted), rel=1e-6)


# --- answers, choice, alarms ----------------------------------------------------------------------------------------


def test_each_domain_is_answered_through_its_extractor():
    method, images = method_of(), tiny.digits(12, 0).images
    method.step(batch_of(), LATE)
    nets = method.networks
    x = method.rule(images, method.arithmetic)
    method.train_mode(False)
    for domain, name in (("source", "source_extractor"), ("target", "extractor")):
        features = nets[name](x)
        torch.testing.assert_close(method.embed(images, domain), features.detach().float())
        torch.testing.assert_close(method.predict(images, domain), nets["predictor"](features).exp().detach().float())
    assert torch.equal(method.predict(images), method.predict(images, "target"))
    assert not torch.allclose(method.embed(images, "source"), method.embed(images, "target"))


def test_validation_is_of_the_source_through_its_own_extractor():
    """So adaptation leaves it as it is, and it cannot choose among adapted states."""
    method, held_out = method_of(), tiny.digits(20, 0)
    method.step(batch_of(), EARLY)
    before = method.validate(held_out)
    share = (method.predict(held_out.images, "source").argmax(1) == held_out.labels).double().mean().item()
    assert before["source_accuracy"] == pytest.approx(share)
    for _ in range(3):
        method.step(batch_of(), LATE)
    assert method.validate(held_out) == before


def test_a_discriminator_that_has_won_is_an_alarm():
    method = method_of()
    assert method.alarms({"loss_label": 0.1, "accuracy": 1.0}) == {}
    assert method.alarms({"domain_accuracy": 0.9}) == {}
    assert "99.5%" in method.alarms({"domain_accuracy": 0.995})["discriminator won"]


# --- it learns ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_adaptation_gains_on_the_embedded_pair(tmp_path):
    """Twenty steps of it are worth some points of target accuracy; many more wear classes away, in this small pair.

    One run answers for both: C(M_s(x)) is source-only, C(M_t(x)) adapted.
    """
    preset = presets.get("hw3-adda-usps-mnistm").replaced(
        source="uci",
        target="uci-m",
        batch_source=32,
        batch_target=32,
        pretrain=0.8,
        ema_half_life=0,
        precision="float32",
    )
    tiny.train(preset, tmp_path / "run", images=100 * 32)
    method = open_run(RunFolder(tmp_path / "run")).method
    target = load("uci-m", "test", size=28)
    before, after = (
        method.predict(target.images, domain).argmax(1) == target.labels for domain in ("source", "target")
    )
    assert before.double().mean() > 0.3, "pre-training learnt nothing that carries over"
    assert after.double().mean() > before.double().mean() + 0.01
