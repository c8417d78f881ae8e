"""The loop: when things happen, what is kept, how it stops and continues."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import tiny
import torch
from torch import nn

from genshift import api, device, signals
from genshift.errors import Refusal
from genshift.methods import DANN, Supervised
from genshift.methods.schedules import Progress, learning_rate
from genshift.presets import METHODS
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run, preset_of
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.ema import RAMP, MovingAverage
from genshift.training.loop import Meter, NonFinite
from genshift.training.probe import Probe, one_step, probe
from genshift.training.train import Settings
from genshift.training.training_data import open_training_data

pytestmark = pytest.mark.usefixtures("quick")


def trainer_of(preset, out, **settings):
    """A trainer at its start, and what it may see."""
    preset = preset.replaced(images=24)
    training_data = open_training_data(preset, None)
    arithmetic = device.choose_arithmetic(preset.precision, torch.device("cpu"))
    run = RunFolder(out)
    run.create()
    settings = Settings(**settings)
    return training.assemble(preset, run, training_data, settings, arithmetic, World(), Console(False))


def snapshot(trainer):
    return {name: tensor.clone() for name, tensor in trainer.state().tensors.items()}


# --- a larger budget ------------------------------------------------------------------------------------------------


def test_a_larger_budget_goes_on_to_the_same_weights(domains, tmp_path):
    preset = tiny.tiny("hw2-dann-mnistm-usps", domains)
    for out, budgets in (("two", (12, 24)), ("one", (24,))):
        for images in budgets:
            assert tiny.train(preset, tmp_path / out, images=images)
            (tmp_path / out / "results.json").write_text("{}")  # of this budget
    two, one = (RunFolder(tmp_path / out) for out in ("two", "one"))
    assert tiny.different(tiny.last(two.path), tiny.last(one.path)) == []
    assert two.config["images"] == one.config["images"] == 24 and preset_of(two.config) == preset_of(one.config)
    assert [row["images"] for row in two.rows() if "train/loss_label" in row][-1] == 24
    tiny.train(preset, two.path, images=32)
    assert not (two.path / "results.json").exists() and two.seen == 32


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("demo-source", {"lr_schedule": "cosine"}, "its learning rate falls over the budget"),
        ("demo-source", {"select": "best"}, "its checkpoint is chosen among those of the whole budget"),
        ("demo-dann", {"lam_schedule": "dann"}, "its λ rises over the budget"),
        ("hw3-adda-usps-mnistm", {}, "ADDA goes by the share of the budget that is spent"),
    ],
)
def test_where_a_schedule_goes_by_the_budget_a_larger_one_is_refused(name, changes, why, domains, tmp_path):
    preset = tiny.tiny(name, domains, **changes)
    tiny.train(preset, tmp_path / "run", images=12)
    with pytest.raises(Refusal, match=f"was begun with --images 12, not 24, and {why}: name another --out"):
        tiny.train(preset, tmp_path / "run", images=24)
    with pytest.raises(Refusal, match="was begun with --images 12, not 8: name another --out"):
        tiny.train(preset, tmp_path / "run", images=8)


class Blind(Progress):
    """Progress that does not tell the budget."""

    @property
    def fraction(self):
        raise LookupError("the budget")


def test_a_method_that_goes_by_the_budget_says_so(domains, tmp_path):
    constant = {"lr_schedule": "constant", "lam_schedule": "constant", "select": "last", "width": 4, "validation": 0.0}
    bound = set()
    for row in (row for row in METHODS.values() if not row.pretrained):  # that one is in test_self_training
        preset = tiny.tiny(f"{row.name}-usps-mnistm", domains, **constant)
        trainer = trainer_of(preset, tmp_path / row.name)
        trainer.prepare_step()
        try:
            trainer.method.step(trainer.feed.at(0), Blind(0, 24))
        except LookupError:
            bound.add(row.name)
        assert bool(preset.bound_to_budget) == (row.name in bound), row.name
    assert bound == {"adda", "shot", "adamatch", "adamatch-im"}


# --- the probe ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize(
    "changes", [{"ema_half_life": 0}, {"precision": "bfloat16", "ema_half_life": 8}], ids=["plain", "average"]
)
def test_the_probe_leaves_no_trace(changes, steps, domains, tmp_path, whole_probe):
    trainer = trainer_of(tiny.tiny("demo-dann", domains, **changes), tmp_path / "run")
    for _ in range(steps):
        one_step(trainer)
    before = snapshot(trainer)
    found = probe(trainer)
    assert tiny.different(before, snapshot(trainer)) == []
    assert (trainer.seen, len(trainer.meter.steps)) == (4 * steps, 0)
    assert found.images_per_second > 0 and found.memory_gib > 0


def test_the_probe_counts_arithmetic_as_by_hand(domains, tmp_path, whole_probe):
    """hw3's source-only networks: two FLOP a multiplication and addition, forward once, backward about twice."""
    found = probe(trainer_of(tiny.tiny("hw3-source-usps-mnistm", domains), tmp_path / "run"))
    sides, widths = [14, 7, 4, 2], [3, 64, 128, 256, 512]
    convolutions = [9 * widths[i] * widths[i + 1] * sides[i] ** 2 for i in range(4)]
    linear = 512 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 10
    # Nothing flows back into the pictures, so the first convolution has one product less.
    by_hand = 2 * (3 * (sum(convolutions) + linear) - convolutions[0])
    assert found.gflop == pytest.approx(by_hand / 1e9, rel=1e-6)


def test_the_probes_sentence(whole_probe):
    sentence = Probe(200.0, 0.5, 1.25).sentence(60_000)
    assert sentence == "4-step probe: 200 images/s, 0.500 GFLOP an image, 1.25 GiB; about 5 min to the end."
    assert "about 30 s to the end" in Probe(200.0, 0.5, 1.0).sentence(6_000)
    assert "about 2.0 h to the end" in Probe(1.0, 0.5, 1.0).sentence(7_200)


FULL = torch.OutOfMemoryError("CUDA out of memory.")


def limited(kind, limit, monkeypatch, error=FULL):
    """`kind` takes at most `limit` source images a step, as a small memory would have it."""
    step = kind.step

    def small(self, batch, progress):
        if len(batch["source"].x) > limit:
            raise error
        return step(self, batch, progress)

    monkeypatch.setattr(kind, "step", small)


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_says_which_batches_fit(error, domains, tmp_path, monkeypatch):
    limited(DANN, 2, monkeypatch, error)
    preset = tiny.tiny("demo-dann", domains, batch_source=8, batch_target=12)
    with pytest.raises(Refusal, match=r"batch of 8 does not fit.*: --batch-source 2 --batch-target 3"):
        tiny.train(preset, tmp_path / "run")
    monkeypatch.undo()
    fits = preset.replaced(batch_source=2, batch_target=3)
    assert tiny.train(fits, tmp_path / "run", images=2) is True, "the refused run's folder must be usable"


def test_out_of_memory_names_the_flag_of_the_role(domains, tmp_path, monkeypatch):
    limited(Supervised, 2, monkeypatch)
    with pytest.raises(Refusal, match="--batch-target 2"):
        tiny.train(tiny.tiny("demo-target", domains, batch_target=4), tmp_path / "run")


def test_out_of_memory_even_for_two_images(domains, tmp_path, monkeypatch):
    limited(Supervised, 0, monkeypatch)
    with pytest.raises(Refusal, match="Not even 2 images a step fit"):
        tiny.train(tiny.tiny("demo-source", domains), tmp_path / "run")


def test_another_error_in_the_probe_is_not_taken_for_memory(domains, tmp_path, monkeypatch):
    limited(Supervised, 2, monkeypatch, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        tiny.train(tiny.tiny("demo-source", domains), tmp_path / "run")


# --- losses that are no numbers -------------------------------------------------------------------------------------


def spoiled(monkeypatch, at, kind=Supervised, value=float("nan")):
    """From `at` images on, the loss is not finite."""
    step = kind.step

    def bad(self, batch, progress):
        scalars = step(self, batch, progress)
        return {**scalars, "loss_label": torch.tensor(value)} if progress.images >= at else scalars

    monkeypatch.setattr(kind, "step", bad)


@pytest.mark.parametrize("logs", [100, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(logs, value, domains, tmp_path, monkeypatch):
    """The sentence names the loss and the very step, however rarely the loop reads back; the good state stays."""
    monkeypatch.setattr(training, "LOGS", logs)
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"
    spoiled(monkeypatch, at=16, value=value)
    with pytest.raises(NonFinite) as caught:
        tiny.train(preset, run)
    sentence = str(caught.value)
    assert "'loss_label'" in sentence and "at step 5 (20 images)" in sentence
    assert "images-000000000012.safetensors" in sentence and "Try a lower --lr (now 0.0003)" in sentence
    assert [path.stem for path in RunFolder(run).saved()] == ["images-000000000012"]
    assert all(torch.isfinite(value).all() for value in tiny.last(run).values())
    assert all(row["images"] <= 16 for row in tiny.rows(run))
    monkeypatch.undo()
    assert tiny.train(preset, run) is True


def test_a_learning_rate_that_is_too_high_stops_the_run_by_itself(domains, tmp_path):
    preset = tiny.tiny("hw3-source-usps-mnistm", domains, optimizer="sgd", lr=1e20)
    with pytest.raises(NonFinite, match="no checkpoint was written yet"):
        tiny.train(preset, tmp_path / "run")


# --- stopping and continuing ----------------------------------------------------------------------------------------


@tiny.POSIX
def test_signals_save_and_leave_and_the_same_command_continues(domains, tmp_path):
    """SIGTERM, SIGINT, SIGHUP to the real command; its status is 130 and its words say where it stands."""
    out = tmp_path / "run"
    flags = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--images", 4000, "--out", out]
    words = [sys.executable, "-m", "genshift", "train", "hw3-source-usps-mnistm", *map(str, flags)]
    seen = 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=tiny.environment())
        wait_for_row(out, seen, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert "Stopped and saved at" in said and "the same command continues" in said and "Traceback" not in said
        stopped = int(RunFolder(out).saved()[-1].stem.removeprefix("images-"))
        assert seen < stopped < 4000 and tiny.rows(out)[-1]["images"] <= stopped
        seen = stopped
    assert not list(out.rglob("*.part"))


@tiny.POSIX
def test_a_terminal_that_closes_lets_the_run_save(domains, tmp_path):
    """Nothing can be printed there any more, which must not be an error before all is saved."""
    import pty  # Windows has none

    terminal, its = pty.openpty()
    flags = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--width", 8, "--images", 8000]
    words = [sys.executable, "-m", "genshift", "train", "source-mnistm-svhn", *map(str, flags), "--no-evaluate"]
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*words, "--out", out], stdin=its, stdout=its, stderr=its, env=tiny.environment(), preexec_fn=own_terminal
    )
    os.close(its)
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 120
    while not RunFolder(out).rows():
        assert process.poll() is None and time.monotonic() < deadline
        with contextlib.suppress(BlockingIOError):
            os.read(terminal, 100_000)
    os.close(terminal)
    assert process.wait(timeout=120) == 130
    assert RunFolder(out).seen >= tiny.rows(out)[-1]["images"] > 0


def own_terminal():
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@tiny.POSIX
def test_what_nohup_ignores_stays_ignored(monkeypatch):
    assert signal.SIGHUP in signals.stop_signals()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in signals.stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
    monkeypatch.delattr(signal, "SIGHUP")  # as under Windows
    assert signals.stop_signals() == [signal.SIGINT, signal.SIGTERM]


def wait_for_row(out, after, process):
    """Until metrics.jsonl has a row of more than `after` images."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if any(row["images"] > after for row in RunFolder(out).rows()):
            return
        time.sleep(0.02)
    raise AssertionError("training never began")


def test_a_torn_line_of_metrics_is_tolerated_and_the_rows_after_the_checkpoint_are_rewound(domains, tmp_path):
    preset, whole, parted = tiny.tiny("demo-source", domains), tmp_path / "whole", tmp_path / "parted"
    tiny.train(preset, whole)
    tiny.train(preset, parted, observers=[tiny.StopAt(12)])
    with (parted / "metrics.jsonl").open("a") as file:
        file.write('{"images": 20, "train/loss_label": 9.0}\n{"images": 24, "trai')
    assert RunFolder(parted).rows()[-1]["train/loss_label"] == 9.0
    tiny.train(preset, parted)
    assert tiny.weights(parted) == tiny.weights(whole)


def test_a_run_killed_before_its_config_begins_anew_and_is_swept(domains, tmp_path):
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    tiny.litter(run / "config.json").write_text("{")
    assert tiny.train(preset, run, observers=[tiny.StopAt(12)]) is False
    tiny.litter(run / "checkpoints" / "images-000000000016.safetensors").write_text("half")
    tiny.litter(run / "samples" / "grid.png").parent.mkdir()
    tiny.litter(run / "samples" / "grid.png").write_text("half")
    assert tiny.train(preset, run) is True
    assert not list(run.rglob("*.part"))


def test_a_finished_run_is_left_as_it_is(domains, tmp_path, capfd):
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"
    tiny.train(preset, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert tiny.train(preset, run) is True
    assert "is finished (24 images): nothing to train" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_truncated_last_checkpoint_is_refused_and_the_one_before_continues(domains, tmp_path):
    preset, whole, run = tiny.tiny("demo-source", domains), tmp_path / "whole", tmp_path / "run"
    for out in (whole, run):
        tiny.train(preset, out)
    newest = RunFolder(run).saved()[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.raises(Refusal, match="cut short, damaged or no safetensors file"):
        tiny.train(preset, run)
    newest.unlink()
    assert tiny.train(preset, run) is True
    assert tiny.different(tiny.last(whole), tiny.last(run)) == []


@pytest.mark.parametrize(
    ("settings", "changes", "says"),
    [
        ({"seed": 1}, {}, "--seed 0, not 1"),
        ({"images": 8}, {}, "--images 24, not 8"),
        ({"minutes": 1.0}, {}, "--minutes None, not 1.0"),
        ({}, {"lr": 0.5}, "--lr 0.0003, not 0.5"),
        ({}, {"batch_source": 8}, "--batch-source 4, not 8"),
    ],
    ids=str,
)
def test_a_run_is_not_continued_as_another(settings, changes, says, domains, tmp_path):
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"
    tiny.train(preset, run, observers=[tiny.StopAt(12)])
    with pytest.raises(Refusal, match=says):
        tiny.train(preset.replaced(**changes) if changes else preset, run, **{"images": 24, **settings})


def test_a_run_is_not_continued_on_other_pictures(tmp_path):
    places = tiny.write_domain(tmp_path / "one", 0), tiny.write_domain(tmp_path / "two", 1)
    preset, run = tiny.tiny("demo-dann", places), tmp_path / "run"
    tiny.train(preset, run, observers=[tiny.StopAt(12)])
    tiny.write_domain(tmp_path / "two", 7)
    with pytest.raises(Refusal, match=r"holds 0 of the 40 pictures that the run was begun with"):
        tiny.train(preset, run)


# --- the budget -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "trained"), [(1, 4), (4, 4), (10, 12), (12, 12)])
def test_the_budget_is_a_whole_number_of_steps(asked, trained, domains, tmp_path):
    run = tmp_path / "run"
    assert tiny.train(tiny.tiny("hw3-source-svhn-usps", domains), run, images=asked) is True
    assert RunFolder(run).config["images"] == trained
    assert RunFolder(run).saved()[-1].stem == f"images-{trained:012d}"


def test_minutes_become_images_once(domains, tmp_path, monkeypatch):
    """What the first probe says holds; a faster machine later changes nothing."""
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"
    monkeypatch.setattr(training, "probe", lambda trainer: Probe(40.0, 0.1, 0.1))
    assert tiny.train(preset, run, minutes=0.01, observers=[tiny.StopAt(12)]) is False
    monkeypatch.setattr(training, "probe", lambda trainer: Probe(1e6, 0.1, 0.1))
    assert tiny.train(preset, run, minutes=0.01) is True
    config = RunFolder(run).config
    assert (config["images"], config["minutes"]) == (24, 0.01)
    assert RunFolder(run).saved()[-1].stem == "images-000000000024"


def test_two_budgets_are_one_too_many(domains, tmp_path):
    with pytest.raises(Refusal, match="images and minutes both name the budget"):
        api.train(tiny.tiny("demo-source", domains), tmp_path / "run", images=8, minutes=1.0)


# --- what is written ------------------------------------------------------------------------------------------------


def test_rows_of_metrics(domains, tmp_path):
    run = tmp_path / "run"
    tiny.train(tiny.tiny("demo-dann", domains), run)
    rows = tiny.rows(run)
    training = [row for row in rows if "train/loss_label" in row]
    assert [row["images"] for row in training] == [4, 8, 12, 16, 20, 24]
    assert {key for row in training for key in row} == {
        *("images", "seconds", "cpu_seconds", "train/loss_label", "train/loss_domain"),
        *("train/accuracy", "train/domain_accuracy", "train/lam"),
    }
    assert all(0 <= row["train/domain_accuracy"] <= 1 for row in training)
    assert [row["images"] for row in rows if "valid/source_accuracy" in row] == [12, 24]
    assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(training))


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_checkpoints_are_kept_as_asked(keep, domains, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKS", 6)
    run = tmp_path / "run"
    tiny.train(tiny.tiny("hw3-source-svhn-usps", domains), run, keep=keep)
    kept = [int(path.stem.removeprefix("images-")) for path in RunFolder(run).saved()]
    assert kept == [4, 8, 12, 16, 20, 24][-keep:]
    assert (run / "checkpoints" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("scores", "error", "chosen"),
    [
        ((0.9, 0.1, 0.2), 0.0, 8),
        ((0.1, 0.5, 0.5), 0.0, 24),
        ((0.0, 0.0, 0.0), 0.0, 24),
        ((0.9, 0.86, 0.7), 0.05, 16),
        ((0.9, 0.86, 0.82), 0.05, 16),
    ],
)
def test_the_best_is_chosen_by_held_out_source_images(scores, error, chosen, domains, tmp_path, monkeypatch):
    """The latest within a standard error of the highest so far. What is held out is the source's and labelled."""
    monkeypatch.setattr(training, "CHECKS", 3)
    given, said = [], iter(scores)

    def validate(self, held_out):
        given.append(held_out)
        return {"accuracy": next(said), "error": error}

    monkeypatch.setattr(Supervised, "validate", validate)
    preset, run = tiny.tiny("hw3-source-svhn-usps", domains, ema_half_life=0), tmp_path / "run"
    tiny.train(preset, run, keep=3)
    by_count = {int(p.stem.removeprefix("images-")): p for p in RunFolder(run).saved()}
    assert sorted(by_count) == [8, 16, 24]
    assert all(part.name == "digits-0" and part.labels is not None for part in given)
    best, at = tiny.best(run), tiny.load_file(by_count[chosen])
    assert all(torch.equal(value, at[name]) for name, value in best.items())
    assert RunFolder(run).chosen("best").name == "best.safetensors"
    assert RunFolder(run).chosen("last") == by_count[24]


def test_the_moving_average_is_its_closed_form():
    """With a half-life the weights forget: θ_ema after each step from the weights before it."""
    net = nn.Linear(1, 1, bias=False).double()
    nets = {"net": nn.Sequential(net, nn.BatchNorm1d(1).double())}
    average = MovingAverage(nets, half_life=4)
    values, expected = [3.0, -1.0, 2.0, 7.0], net.weight.item()
    for step, value in enumerate(values):
        seen = 2 * step + 30
        nn.init.constant_(net.weight, value)
        nets["net"][1].num_batches_tracked.fill_(step)
        average.update(nets, batch=2, seen=seen)
        share = 0.5 ** (2 / min(4, RAMP * seen))
        expected = share * expected + (1 - share) * value
    assert average.of("net")["0.weight"].item() == pytest.approx(expected, rel=1e-12)
    assert average.of("net")["1.num_batches_tracked"].item() == len(values) - 1


def test_the_moving_average_forgets_where_it_began():
    net = nn.Linear(1, 1, bias=False)
    average = MovingAverage({"net": net}, half_life=1000)
    nn.init.constant_(net.weight, 5.0)
    average.update({"net": net}, batch=2, seen=0)
    assert average.of("net")["weight"].item() == 5.0


def test_the_average_is_what_is_validated_kept_as_best_and_used(domains, tmp_path):
    preset, run = tiny.tiny("demo-source", domains, ema_half_life=1000), tmp_path / "run"
    tiny.train(preset, run)
    state, best = tiny.last(run), tiny.best(run)
    key = "extractor/conv.0.weight"
    averaged = state["average/" + key.replace("/", ".", 1)]
    assert torch.equal(best["network/" + key], averaged)
    assert not torch.equal(state["network/" + key], averaged)
    used = open_run(RunFolder(run)).method.networks["extractor"].conv[0].weight
    assert torch.equal(used, averaged)


def test_the_learning_rate_is_the_schedules_at_every_step(domains, tmp_path, monkeypatch):
    rates = []
    step = DANN.step

    def noting(self, batch, progress):
        rates.append([group["lr"] for optimizer in self.optimizers.values() for group in optimizer.param_groups])
        return step(self, batch, progress)

    monkeypatch.setattr(DANN, "step", noting)
    preset = tiny.tiny("hw2-dann-mnistm-usps", domains, lr=0.01, lr_schedule="cosine", lr_warmup=8)
    trainer = trainer_of(preset, tmp_path / "run")
    trainer.train()
    wanted = [learning_rate(0.01, "cosine", 8, Progress(images, 24)) for images in range(0, 24, 4)]
    assert rates == [[rate, rate] for rate in wanted] and len(set(wanted)) > 3


def test_the_meter_reads_means_and_finds_the_first_bad_step():
    meter = Meter()
    assert meter.read(World(), torch.device("cpu")) == ({}, None)
    for value in (1.0, 3.0):
        meter.add({"a": torch.tensor(value), "b": torch.tensor(-value)})
    assert meter.read(World(), torch.device("cpu")) == ({"a": 2.0, "b": -2.0}, None)
    for value in (1.0, float("inf"), float("nan")):
        meter.add({"a": torch.tensor(1.0), "b": torch.tensor(value)})
    assert meter.read(World(), torch.device("cpu"))[1] == (1, "b")


def test_a_run_says_what_it_is(domains, tmp_path):
    """config.json: complete, and from it the preset can be made again."""
    preset, run = tiny.tiny("hw3-dann-usps-mnistm", domains), tmp_path / "run"
    tiny.train(preset, run, command="genshift train x", seed=3)
    config = RunFolder(run).config
    made = preset_of(config)
    assert made.options() == {**preset.options(), "images": 24} and made.name == preset.name
    assert config["preset"]["origins"]["lr"] == "published" and config["preset"]["origins"]["source"] == "yours"
    assert (config["seed"], config["images"], config["command"]) == (3, 24, "genshift train x")
    assert config["networks"].keys() == config["parameters"].keys() == {"Extractor", "Predictor", "Classifier"}
    counts = {role: (part["n"], part["held_out"]) for role, part in config["data"].items()}
    assert counts == {"source": (28, 12), "target": (28, 12)}


# --- it learns ------------------------------------------------------------------------------------------------------


def test_adaptation_learns_what_source_only_does_not(tmp_path):
    """hw2's DANN on the embedded digits, at equal budgets and seed 0. This assertion alone uses target labels."""
    reached = {}
    by_turns = {"adversary": "alternating", "lam": 0.1, "lam_schedule": "constant", "statistics": "mixed"}
    for role in ("source", "dann"):
        changes = {"batch_source": 64, "batch_target": 64, "lr": 3e-4} | (by_turns if role == "dann" else {})
        preset = tiny.presets.get(f"demo-{role}").replaced(**changes)
        assert api.train(preset, tmp_path / role, images=1600)
        results = RunFolder(tmp_path / role).read("results.json")
        reached[role] = results["oracle/target_test_accuracy"]["value"]
    assert reached["source"] > 0.2, "the source-only run learnt nothing"
    assert reached["dann"] > reached["source"] + 0.07, reached
