"""Drawing from diffusion runs and sweeping them, from the command line."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import faces_tiny
import pytest
import tiny
import torch
from faces_tiny import read, written
from tiny import refused, told

from genshift import api
from genshift.data.batches import seed_of
from genshift.errors import Refusal
from genshift.evaluation import sweep
from genshift.evaluation.diffusion import DiffusionEvaluation
from genshift.evaluation.feature_distance import classifier_space
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.per_class import even_parts
from genshift.methods.base import CHUNK, to_bytes
from genshift.metrics.frechet import frechet, statistics
from genshift.presets import Sampling
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.png import grid
from genshift.runs.trained_run import preset_of
from genshift.sampling import autoguidance
from genshift.sampling.trained_generator import open_generator
from genshift.training import train as training

pytestmark = pytest.mark.usefixtures("quick")
SMALL = {
    **tiny.SAMPLED_PLAINLY,
    "size": 16,
    "width": 16,
    "patch": 4,
    "steps": 2,
    "guidance": 3.0,
    "lr_warmup": 0,
    "ema_half_life": 4,
}
FILES = ["land_001.png", "land_002.png", "land_003.png", "sea-sky_001.png", "sea-sky_002.png"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return faces_tiny.write_portraits(tmp_path_factory.mktemp("portraits"))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A diffusion model of two classes that kept its early state, one of none, a GAN, and a judge; not evaluated."""
    root, tiny_gan = tmp_path_factory.mktemp("runs"), {"size": 16, "width": 8, "latent": 8, "condition": "classes"}
    made = {
        "classes": tiny.of_pictures("digits-diffusion", data, **SMALL),
        "plain": tiny.of_pictures("digits-diffusion", data, **SMALL, condition="none"),
        "gan": tiny.of_pictures("faces-gan", data, **tiny_gan),
        "judge": tiny.of_pictures("faces-attributes", data, size=16, width=8, answers="classes"),
    }
    for name, preset in made.items():
        observers = [autoguidance.keeper(RunFolder(root / name))] if name == "classes" else []
        assert tiny.train(preset, root / name, images=32, observers=observers)
    return {name: root / name for name in made}


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the conditional diffusion run, to change."""
    return shutil.copytree(runs["classes"], tmp_path / "run")


def drawn(folder):
    """The pictures of a folder, by name, without the grid."""
    return {name: data for name, data in written(folder).items() if name.endswith(".png") and name != "grid.png"}


def note(folder):
    return json.loads((folder / "sample.json").read_text())


def choose(run, **changes):
    """As a sweep would: leaves a sampling in the run."""
    images = changes.pop("images", RunFolder(run).seen)
    sampling = asdict(Sampling(steps=3, guidance=2.0)) | changes
    RunFolder(run).write("sampling.json", {"sampling": sampling, "images": images, "why": "it was tried"})


# --- sample -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--sampler", "ddpm", "--skip", 0.5], ["--label", "land"], ["--label", "none"]])
def test_the_same_seed_gives_the_same_pictures_whatever_the_count(flags, runs, tmp_path, capfd):
    """Noise in the steps (ddpm) and the coin of skipped guidance are a picture's own too."""
    words = ["sample", runs["classes"], *flags, "--out"]
    told(capfd, *words, tmp_path / "many", "--count", 57)
    told(capfd, *words, tmp_path / "few", "--count", 3)
    told(capfd, *words, tmp_path / "later", "--count", 5, "--first", 48)
    many, few, later = (list(drawn(tmp_path / name).values()) for name in ("many", "few", "later"))
    assert few == many[:3] and later == many[48:53] and len(set(many)) == 57


def test_files_named_by_class_hold_the_pictures_of_the_same_numbers(runs, tmp_path, capfd):
    words = ["sample", runs["classes"], "--out"]
    told(capfd, *words, tmp_path / "numbers", "--count", 5)
    told(capfd, *words, tmp_path / "classes", "--count", 5, "--names", "class")
    told(capfd, *words, tmp_path / "more", "--count", 8, "--names", "class")
    by_number, by_class, more = (drawn(tmp_path / name) for name in ("numbers", "classes", "more"))
    assert list(by_class) == FILES
    assert [by_class[FILES[place]] for place in (0, 3, 1, 4, 2)] == list(by_number.values())
    assert by_class.items() <= more.items() and len(more) == 8
    told(capfd, *words, tmp_path / "one", "--count", 2, "--names", "class", "--label", "sea & sky")
    assert list(drawn(tmp_path / "one")) == ["sea-sky_001.png", "sea-sky_002.png"]
    assert "pictures of the names class, not number" in refused(capfd, *words, tmp_path / "more", "--count", 8)


def test_pictures_without_a_label_are_those_of_label_minus_one(runs, tmp_path, capfd):
    told(capfd, "sample", runs["classes"], "--count", 2, "--label", "none", "--out", tmp_path / "out")
    method = open_generator(RunFolder(runs["classes"]), {"guidance": 1.0}).method
    generator = torch.Generator().manual_seed(seed_of("sample", 0, 0))
    wanted = to_bytes(method.draw(generator, torch.full((CHUNK,), -1)))[1].permute(1, 2, 0).numpy()
    assert (read(tmp_path / "out" / "00001.png") == wanted).all()
    assert note(tmp_path / "out")["label"] == "none" and note(tmp_path / "out")["sampling"]["guidance"] == 1.0


def test_a_flag_stands_before_the_sweep_and_the_sweep_before_the_preset(run, tmp_path, capfd):
    told(capfd, "sample", run, "--count", 1, "--out", tmp_path / "preset")
    choose(run)
    told(capfd, "sample", run, "--count", 1, "--out", tmp_path / "swept")
    told(capfd, "sample", run, "--count", 1, "--steps", 4, "--out", tmp_path / "flag")
    found = [note(tmp_path / name)["sampling"] for name in ("preset", "swept", "flag")]
    assert [(each["sampler"], each["steps"], each["guidance"]) for each in found] == [
        ("dpm++2m", 2, 3.0), ("ddpm", 3, 2.0), ("ddpm", 4, 2.0)
    ]  # fmt: skip
    again = ["sample", run, "--count", 1, "--steps", 4, "--out"]
    assert "holds pictures of the steps 3, not 4: name another --out." in refused(capfd, *again, tmp_path / "swept")
    paths = api.sample(run, 1, tmp_path / "python", steps=4)
    assert paths[0].read_bytes() == (tmp_path / "flag" / "00000_land.png").read_bytes()


def test_what_was_chosen_at_another_checkpoint_is_left_out(run, tmp_path, capfd):
    choose(run, images=8)
    capfd.readouterr()
    api.sample(run, 1, tmp_path / "out")
    said = capfd.readouterr().err
    assert "was chosen at 8 images, and the run stands at 32: it is left out; `genshift sweep" in said
    assert note(tmp_path / "out")["sampling"]["steps"] == 2


@pytest.mark.parametrize("stored", [[], {"images": 32}, {"images": 32, "sampling": {"steps": "two"}}])
def test_a_broken_sampling_is_refused(stored, run, tmp_path, capfd):
    RunFolder(run).write("sampling.json", stored)
    assert "sampling.json is no" in refused(capfd, "sample", run, "--count", 1, "--out", tmp_path / "out")


@tiny.POSIX
def test_what_sigterm_stopped_is_continued_without_drawing_twice(runs, tmp_path, capfd):
    words = ["sample", str(runs["classes"]), "--count", "200", "--names", "class", "--steps", "20", "--out"]
    out = tmp_path / "parted"
    argv = [sys.executable, "-m", "genshift", *words, str(out)]
    with subprocess.Popen(argv, env=tiny.environment(), stderr=subprocess.DEVNULL) as process:
        while len(list(out.glob("land_*.png"))) < 25 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
    before = {path: path.stat().st_mtime_ns for path in out.glob("*_*.png")}
    assert 25 <= len(before) < 200
    told(capfd, *words, out)
    assert len(drawn(out)) == 200 and all(path.stat().st_mtime_ns == written for path, written in before.items())
    told(capfd, *words[:3], "20", *words[4:], tmp_path / "whole")
    assert drawn(tmp_path / "whole").items() <= drawn(out).items()


# --- its own early state ----------------------------------------------------------------------------------------------


def test_the_first_check_after_an_eighth_is_kept_once(runs, data, tmp_path, monkeypatch):
    """Checks at 1/16, 2/16 … of the budget: the second is kept, whatever stops the run."""
    monkeypatch.setattr(training, "CHECKS", 16)
    preset, out = tiny.of_pictures("digits-diffusion", data, **SMALL), tmp_path / "run"
    seen = {}

    def look(images, method):
        seen[images] = {k: v.clone() for k, v in method.networks["unet"].state_dict().items()}

    def stop_at(stop):
        return lambda images, method: images == stop and signal.raise_signal(signal.SIGTERM)

    observers = [look, autoguidance.keeper(RunFolder(out))]
    for stop in (4, 12):  # each ends with the step after it
        assert not tiny.train(preset, out, images=64, keep=1, observers=[*observers, stop_at(stop)])
    assert tiny.train(preset, out, images=64, keep=1, observers=observers)
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "images-000000000064.safetensors", "weak.safetensors"
    ]  # fmt: skip
    kept = checkpoint.load(out / "checkpoints" / "weak.safetensors")
    assert kept.about == {"images": 8}
    assert all(torch.equal(kept.tensors[f"network/unet/{key}"], value) for key, value in seen[8].items())


def test_a_check_that_is_done_again_writes_it_again(run):
    folder, path = RunFolder(run), run / "checkpoints" / "weak.safetensors"
    method = open_generator(folder).method
    kept = checkpoint.load(path).about["images"]
    for images, expected in ((3, kept), (kept + 4, kept), (4, 4)):
        autoguidance.keeper(folder)(images, method)
        assert checkpoint.load(path).about["images"] == expected


def test_the_early_state_guides(run, tmp_path, capfd):
    words = ["sample", run, "--count", 2, "--guide", "weak", "--out"]
    guided = open_generator(RunFolder(run), {"guide": "weak"})
    method = guided.method
    assert [path.name for path in guided.weights] == ["images-000000000032.safetensors", "weak.safetensors"]
    assert guided.sampling == method.sampling and guided.sampling.guide == "weak"
    assert [path.name for path in open_generator(RunFolder(run)).weights] == ["images-000000000032.safetensors"]
    assert method.weak is not None and not method.weak.training and open_generator(RunFolder(run)).method.weak is None
    for strength in (1, 3):
        told(capfd, *words, tmp_path / str(strength), "--guidance", strength)
    told(capfd, "sample", run, "--count", 2, "--guidance", 1, "--out", tmp_path / "none")
    assert drawn(tmp_path / "1") == drawn(tmp_path / "none") and drawn(tmp_path / "3") != drawn(tmp_path / "none")
    told(capfd, *words, tmp_path / "unlabelled", "--label", "none", "--guidance", 3)
    assert note(tmp_path / "unlabelled")["sampling"]["guidance"] == 3.0
    (run / "checkpoints" / "weak.safetensors").unlink()
    assert "kept no early state to guide away from" in refused(capfd, *words, tmp_path / "no")


# --- sweep ------------------------------------------------------------------------------------------------------------

AXES = ["--guidance", "1,2", "--intervals", "0-0.5", "--steps", "1,2", "--samplers", "ddim", "--count", 12]


def test_a_sweep_measures_each_axis_from_the_best_and_leaves_the_best(run, runs, tmp_path, capfd):
    found = json.loads(told(capfd, "sweep", run, "--features", runs["judge"], *AXES, "--json"))
    assert found == json.loads((run / "sweep.json").read_text()) and found["images"] == 32 and found["seed"] == 1000
    rows = found["rows"]
    assert [(row["axis"], row["setting"]) for row in rows] == [
        ("start", ""), ("guidance", "1"), ("guidance", "2"), ("interval", "0-0.5"),
        ("steps", "1"), ("steps", "2"), ("sampler", "ddim"),
    ]  # fmt: skip
    for place, row in enumerate(rows):
        names = {"guidance": ["guidance"], "interval": ["guidance_from", "guidance_to"], "start": []}
        changed = names.get(row["axis"], [row["axis"]])
        first = next(k for k, other in enumerate(rows) if other["axis"] == row["axis"])
        base = sweep.best_of(rows[: max(1, first)])["sampling"]
        assert {k: v for k, v in row["sampling"].items() if k not in changed} == {
            k: v for k, v in base.items() if k not in changed
        }, place
    guided = [row["sampling"]["guidance"] != 1 for row in rows[:3]]
    assert [row["evaluations"] for row in rows[:3]] == [4 if each else 2 for each in guided] and guided[1:] == [0, 1]
    best = sweep.best_of(rows)
    assert (
        found["best"]["sampling"] == best["sampling"]
        and json.loads((run / "sampling.json").read_text()) == found["best"]
    )
    told(capfd, "sample", run, "--count", 1, "--out", tmp_path / "out")
    assert note(tmp_path / "out")["sampling"] == best["sampling"]


def test_every_strength_is_swept_away_from_every_guide(run, runs, capfd):
    words = ["--guides", "unconditional,both", "--guidance", "2,3", "--intervals", "0-1", "--steps", "1"]
    rows = json.loads(
        told(capfd, "sweep", run, "--features", runs["judge"], *words, "--samplers", "ddim", "--count", 12, "--json")
    )["rows"]
    assert [row["setting"] for row in rows[1:5]] == ["2 unconditional", "3 unconditional", "2 both", "3 both"]
    assert [row["evaluations"] / row["sampling"]["steps"] for row in rows[1:5]] == [2, 2, 3, 3]


def test_a_row_is_what_the_samples_of_the_sweeps_own_seed_measure(run, runs, data):
    found = api.sweep(run, runs["judge"], count=12, guidance=[1.0], intervals=[], steps=[], samplers=[])
    row = found["rows"][1]
    space = classifier_space(runs["judge"])
    method = open_generator(RunFolder(run), row["sampling"]).method
    pictures = method.sample(12, sweep.SEED)
    train = faces_tiny.portraits(40, 0)
    rows = even_parts(train.labels, 5000, 12)
    assert sorted(torch.cat(rows).tolist()) == list(range(40)) and train.labels[rows[1]].bincount().tolist() == [6, 6]
    real, other = (statistics(space.embed(train.images[part])) for part in rows)
    assert found["reference"] == "28 training pictures of portraits at 16 px, the classes as even as in the samples"
    assert row["frechet"] == pytest.approx(frechet(real, statistics(space.embed(pictures))), rel=1e-6)
    assert row["floor"] == pytest.approx(frechet(real, other), rel=1e-6) and row["n"] == 12
    right = sum(k % 2 == told for k, told in enumerate(space.classify(pictures).tolist())) / 12
    assert row["accuracy"] == right and row["accuracy_error"] == pytest.approx((right * (1 - right) / 12) ** 0.5)


def test_a_stopped_sweep_continues_where_it_stopped(run, runs, monkeypatch, capfd):
    words = ["sweep", run, "--features", runs["judge"], *AXES]
    measure, measured = sweep.SweepBenchmark.measure, []

    def counted(bench, sampling):
        if len(measured) == 3:
            measured.append(None)
            raise KeyboardInterrupt
        measured.append(sampling)
        return measure(bench, sampling)

    monkeypatch.setattr(sweep.SweepBenchmark, "measure", counted)
    assert tiny.main.main([str(word) for word in words]) == 130
    stored = json.loads((run / "sweep.json").read_text())["rows"]
    assert len(stored) == 3 and not (run / "sampling.json").exists()
    assert "accuracy" in told(capfd, *words)
    rows = json.loads((run / "sweep.json").read_text())["rows"]
    assert rows[:3] == stored and len(rows) == 7
    settings = [json.dumps(asdict(each)) for each in measured if each is not None]
    assert len(set(settings)) == len(settings) == len({json.dumps(row["sampling"]) for row in rows})
    told(capfd, *words)
    assert json.loads((run / "sweep.json").read_text())["rows"] == rows and len(measured) == len(settings) + 1
    told(capfd, *words[:-1], 14)
    assert {row["n"] for row in json.loads((run / "sweep.json").read_text())["rows"]} == {14}, "other rows, another n"


def test_clipping_is_an_axis_before_all_others_where_it_is_asked_for(run, runs, capfd):
    words = ["--clips", "on,off", "--guidance", "1", "--intervals", "0-1", "--steps", "1", "--samplers", "ddim"]
    flags = ["--features", runs["judge"], "--count", 12, "--json"]
    rows = json.loads(told(capfd, "sweep", run, *words, *flags))["rows"]
    clips = [(row["axis"], row["setting"], row["sampling"]["clip"]) for row in rows[:3]]
    assert clips == [("start", "", "off"), ("clip", "on", "on"), ("clip", "off", "off")]
    assert rows[1]["frechet"] != rows[2]["frechet"] == rows[0]["frechet"]


def test_skips_are_a_table_by_the_runs_own_sampler_that_chooses_nothing(run, runs, monkeypatch, capfd):
    """Right class, passes and seconds by the preset's own sampler; the distance by fewer ancestral steps."""
    monkeypatch.setattr(sweep, "DISTANCE_STEPS", 1)
    monkeypatch.setattr(sweep, "DISTANCE_COUNT", 14)
    words = ["sweep", run, "--features", runs["judge"], "--skips", "1,0", "--count", 6]
    said = told(capfd, *words)
    assert f"{run}: sweep.json, 2 shares of steps without guidance" in said and not (run / "sampling.json").exists()
    table = RunFolder(run).read("sweep.json")["skips"]
    assert [row["skip"] for row in table["rows"]] == [1.0, 0.0] and {row["n"] for row in table["rows"]} == {6}
    for row, passes in zip(table["rows"], (2, 4), strict=True):
        own, few = row["sampling"], {**row["sampling"], "sampler": "ddpm", "steps": 1}
        assert (own["sampler"], own["steps"], row["evaluations"]) == ("dpm++2m", 2, passes)
        assert (row["frechet_n"], row["frechet_steps"]) == (14, 1)
        space, opened = classifier_space(runs["judge"]), [open_generator(RunFolder(run), how) for how in (own, few)]
        pictures, others = (each.method.sample(n, sweep.SEED) for each, n in zip(opened, (6, 14), strict=True))
        right = sum(k % 2 == told for k, told in enumerate(space.classify(pictures).tolist())) / 6
        assert row["accuracy"] == right
        real = statistics(space.embed(faces_tiny.portraits(40, 0).images[even_parts(
            faces_tiny.portraits(40, 0).labels, 5000, 14)[0]]))  # fmt: skip
        assert row["frechet"] == pytest.approx(frechet(real, statistics(space.embed(others))), rel=1e-6)
    assert "6 pictures (seed 1000) of each share by the preset's own sampler, dpm++2m in 2 steps" in table["protocol"]
    assert "distance: 14 pictures by ddpm in 1 steps" in table["protocol"]
    # Again, nothing is drawn; a sweep of its own leaves the table, and the table the sweep's rows and choice.
    monkeypatch.setattr(sweep.SweepBenchmark, "draw", lambda *_: pytest.fail("drawn twice"))
    told(capfd, *words)
    monkeypatch.undo()
    found = api.sweep(run, runs["judge"], count=12, guidance=[1.0], intervals=[], steps=[], samplers=[])
    assert found["skips"] == table and found["best"]
    api.sweep(run, runs["judge"], count=5, skips=[0.5])
    again = RunFolder(run).read("sweep.json")
    assert again["rows"] == found["rows"] and again["best"] == found["best"]
    assert [(row["skip"], row["n"]) for row in again["skips"]["rows"]] == [(0.5, 5)], "another count, another table"


def test_without_labels_only_steps_and_samplers_are_swept(runs, tmp_path, capfd):
    run = shutil.copytree(runs["plain"], tmp_path / "run")
    words = ["sweep", run, "--features", runs["judge"], "--steps", "1", "--samplers", "ddim", "--count", 12]
    said = told(capfd, *words)
    found = json.loads((run / "sweep.json").read_text())
    assert [row["axis"] for row in found["rows"]] == ["start", "steps", "sampler"]
    assert all(row["accuracy"] is None and row["sampling"]["guidance"] == 1 for row in found["rows"])
    result, following = said.splitlines()
    assert result == f"{run}: sweep.json, and sampling.json: {found['best']['why']}"
    assert following == f"next: genshift sample {run} --count 100 --out samples"
    assert found["rule"] == "the lowest Fréchet distance" and found["reference"].endswith("at 16 px")


def test_the_best_is_the_nearest_of_those_that_are_as_right():
    def row(right, distance):
        return {"accuracy": right, "frechet": distance, "n": 500}

    right = [row(0.99, 9.0), row(0.980, 5.0), row(0.979, 1.0)]
    assert sweep.best_of(right) is right[1], "one standard error of 0.99, with two and two added, is 0.0052"
    perfect = [row(1.0, 3.0), row(0.995, 2.0), row(0.994, 1.0)]
    assert sweep.best_of(right, 0.5) is min(right, key=lambda each: each["frechet"]), "all reach what is asked for"
    assert sweep.best_of(right, 0.9999) is sweep.best_of(right), "none does"
    assert sweep.best_of(perfect) is perfect[1], "a perfect score's error is that of 502 in 504: 0.0028"
    assert sweep.best_of([row(None, 3.0), row(None, 2.0)])["frechet"] == 2.0


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("classes", ["--label", "lnad"], "There is no class 'lnad': did you mean 'land'?"),
        ("classes", ["--label", 2], "There is no class '2': expected one of land, sea & sky;"),
        ("plain", ["--label", "land"], "of no particular class: leave --label out"),
        ("plain", ["--label", "none"], "of no particular class: leave --label out"),
        ("gan", ["--label", "none"], "it learnt no picture without a label; leave --label none out"),
        ("classes", ["--steps", 0], "--steps must be 1 or more, not 0."),
        ("classes", ["--steps", "two"], "--steps takes a whole number, not 'two'."),
        ("classes", ["--sampler", "dmp++2m"], "--sampler does not take 'dmp++2m': did you mean 'dpm++2m'?"),
        ("classes", ["--guidance", -1], "--guidance must be 0 or more (1 is none)"),
        ("classes", ["--guidance-from", 0.8, "--guidance-to", 0.2], "--guidance-from 0.8 is not below --guidance-to"),
        ("plain", ["--guidance", 2], "has nothing to guide away from, as it learnt no labels: leave --guidance out."),
        ("plain", ["--guidance-to", 0.5], "as it learnt no labels: leave --guidance-to out."),
        (
            "classes",
            ["--label", "none", "--guidance", 2],
            "as pictures without a label are asked for: leave --guidance",
        ),
        ("plain", ["--guide", "weak"], "kept no early state to guide away from"),
        ("gan", ["--steps", 5], "is a generative adversarial network of portraits0: it has no --steps; leave it out."),
        ("judge", ["--steps", 5], "it draws no pictures; name a generator's run"),
        ("plain", ["--names", "class"], "of no particular class: leave --names class out"),
        ("plain", ["--names", "folder"], "of no particular class: leave --names folder out"),
        ("classes", ["--names", "clas"], "--names does not take 'clas': did you mean 'class'?"),
    ],
)
def test_wrong_orders_are_refused(name, flags, sentence, runs, tmp_path, capfd):
    assert sentence in refused(capfd, "sample", runs[name], "--count", 1, *flags, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("gan", [], "is a generative adversarial network of portraits0: there is nothing to sweep; name a diffusion"),
        ("judge", [], "there is nothing to sweep; name a diffusion model's run."),
        ("classes", ["--features", "gan"], "name a classifier's run"),
        ("classes", ["--steps", "0,1"], "--steps must be 1 or more, not 0."),
        ("classes", ["--steps", "1,b"], "--steps takes a whole number, not 'b'."),
        ("classes", ["--intervals", "0.8-0.1"], "--guidance-from 0.8 is not below --guidance-to 0.1"),
        ("classes", ["--intervals", "0.8"], "--intervals takes intervals such as 0.1-0.8, not '0.8'."),
        ("classes", ["--samplers", "ddimm"], "There is no sampler called 'ddimm': did you mean 'ddim'?"),
        ("classes", ["--guides", "week"], "There is no guide called 'week': did you mean 'weak'?"),
        ("plain", ["--guides", "both"], "as it learnt no labels: leave --guide out."),
        ("plain", ["--guides", "weak"], "kept no early state to guide away from"),
        ("plain", ["--guidance", "1,2"], "as it learnt no labels: leave --guidance out."),
        ("classes", ["--clips", "maybe"], "There is no clip called 'maybe': expected one of off, on."),
        ("classes", ["--skips", "2"], "--skip is a share from 0 to 1, not 2.0."),
        (
            "classes",
            ["--skips", "0", "--steps", "3"],
            "skips is a table of its own, which chooses nothing: leave steps",
        ),
        ("plain", ["--skips", "0"], "draws without guidance, which no step can leave out: leave --skips out."),
        ("gan", ["--skips", "0"], "there is nothing to sweep; name a diffusion"),
        ("classes", ["--accuracy", "much"], "--accuracy takes a number, not 'much'."),
        ("classes", ["--accuracy", "99"], "--accuracy is a share, from 0 to 1, not 99."),
        ("classes", ["--count", 21], "--count must be from 2 to 20, half the 40 training pictures, not 21."),
        ("classes", ["--count", 0], "--count must be above 0, not 0."),
    ],
)
def test_wrong_sweeps_are_refused(name, flags, sentence, runs, tmp_path, capfd):
    flags = [runs.get(word, word) if isinstance(word, str) else word for word in flags]
    features = [] if "--features" in flags else ["--features", runs["judge"]]
    assert sentence in refused(capfd, "sweep", runs[name], *features, *flags)
    assert not (runs[name] / "sweep.json").exists() and not (runs[name] / "sampling.json").exists()


def test_an_accuracy_needs_a_judge_that_tells_the_classes(runs):
    with pytest.raises(Refusal, match="does not tell what the run draws apart: leave --accuracy out"):
        api.sweep(runs["plain"], runs["judge"], count=12, accuracy=0.9)


def test_a_discrete_process_has_a_thousand_steps(data, tmp_path, capfd):
    out = tmp_path / "run"
    changes = {"process": "linear", "predict": "epsilon"}
    assert tiny.train(tiny.of_pictures("digits-diffusion", data, **(SMALL | changes)), out, images=4)
    sentence = refused(capfd, "sample", out, "--count", 1, "--steps", 1001, "--out", tmp_path / "out")
    assert "--steps is at most 1000 in a process of as many steps, not 1001." in sentence


@pytest.mark.parametrize("name", ["gan", "judge"])
@pytest.mark.parametrize("flag", ["--steps", "--shown-steps"])
def test_only_a_diffusion_models_evaluation_takes_a_sampling(flag, name, runs, capfd):
    assert f"it has no {flag}; leave it out." in refused(capfd, "evaluate", runs[name], flag, 5)
    assert not (runs[name] / "evaluation.json").exists()


def test_an_evaluation_draws_as_it_is_told(run, capfd):
    choose(run, sampler="heun")
    for flags, expected in (([], ("heun", 3)), (["--steps", 4, "--guidance", 1], ("heun", 4))):
        told(capfd, "evaluate", run, *flags)
        found = RunFolder(run).read("evaluation.json")["sampling"]
        assert (found["sampler"], found["steps"]) == expected


def test_what_is_shown_may_be_drawn_by_the_presets_own_sampler_and_measured_by_another(run, runs, capfd):
    """hw2's: ten a class and the states of the first picture in 1,000 ancestral steps, a solver for the rest."""
    choose(run, sampler="heun")
    told(capfd, "evaluate", run, "--features", runs["judge"], "--shown-steps", 3, "--clip", "on")
    record, results = (RunFolder(run).read(name) for name in ("evaluation.json", "results.json"))
    assert (record["sampling"]["sampler"], record["sampling"]["clip"]) == ("heun", "on")
    shown = record["shown_sampling"]
    assert (shown["sampler"], shown["steps"], shown["guidance"], shown["clip"]) == ("dpm++2m", 3, 3.0, "off")
    titles = {entry["file"]: entry for entry in record["pictures"]}
    assert "drawn with dpm++2m in 3 steps" in titles["samples/classes.png"]["caption"]
    assert "dpm++2m in 3 steps" in titles["samples/reverse.png"]["caption"]
    assert len(titles["samples/reverse.png"]["under"]) == 4
    assert "heun in 3 steps" in titles["samples/unclipped.png"]["caption"]
    own = open_generator(RunFolder(run), shown).method.sample(20, 0)
    by_class = grid(own.unflatten(0, (10, 2)).transpose(0, 1).flatten(0, 1), 10)
    assert (read(run / "samples" / "classes.png") == by_class.permute(1, 2, 0).numpy()).all()
    assert results["shown_class_accuracy"]["n"] == 20 and results["shown_evaluations_per_image"]["value"] == 6
    assert "drawn with dpm++2m in 3 steps" in results["shown_class_accuracy"]["protocol"]
    assert "heun in 3 steps" in results["evaluations_per_image"]["protocol"]
    # Asked for less, what is there will do; asked for other steps, it is drawn again.
    family, preset = DiffusionEvaluation(), preset_of(RunFolder(run).config)
    asked = EvaluationOptions(features=runs["judge"], sampling={"clip": "on"})
    assert family.is_current(RunFolder(run), preset, record, asked)
    assert family.is_current(RunFolder(run), preset, record, replace(asked, shown_steps=3))
    assert not family.is_current(RunFolder(run), preset, record, replace(asked, shown_steps=4))


def test_how_a_run_draws_may_change_while_it_is_continued(run, data, capfd):
    """hw2-diffusion of 0.2 was begun without clipping; the same command continues it, and it draws as it now says."""
    preset = tiny.of_pictures("digits-diffusion", data, **SMALL, clip="on")
    before = tiny.last(run)
    assert tiny.train(preset, run, images=32)
    assert "note: it draws with --clip on from now on, off until now." in capfd.readouterr().err
    assert preset_of(RunFolder(run).config).sampling().clip == "on" and not tiny.different(before, tiny.last(run))
    with pytest.raises(Refusal, match="was begun with --lr "):
        tiny.train(preset.replaced(lr=0.5), run, images=32)
