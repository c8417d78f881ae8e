"""A run remembers its data by content: wherever they lie, whatever they are called, whatever was added or changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from data_files import png
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genshift import api
from genshift.data import ImageSet, load, seed_of
from genshift.data.manifest import _matched, manifest_of
from genshift.errors import Refusal
from genshift.evaluation.options import EvaluationOptions
from genshift.runs import checkpoint
from genshift.runs.folder import MANIFEST, RunFolder
from genshift.runs.manifest import remembered
from genshift.training import train as training
from genshift.training.domains import hold_out, hold_out_by_name
from genshift.training.train import Settings

SMALL = {"size": 16, "width": 8, "batch": 8, "images": 96, "lr_warmup": 0, "ema_half_life": 0, "precision": "float32"}


def noise(folder: Path, count: int = 40, seed: int = 0, classes: tuple[str, ...] = ("a", "b")) -> Path:
    """Class folders of noise, `count` pictures each: nothing of a held-out picture can be known."""
    drawn = np.random.default_rng(seed)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number:03}.png").write_bytes(png(drawn.integers(0, 256, (16, 16, 3), np.uint8)))
    return folder


def one_more(folder: Path, seed: int = 99) -> None:
    """A further picture, the first by its name."""
    picture = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    (folder / "a" / "!.png").write_bytes(png(picture))


def classifier(folder: Path, **changes: object):
    options = {**SMALL, "data": str(folder), "validation": 0.3, "rotate": 0.0, "shift": 0.0, "scale": 0.0, **changes}
    return tiny.presets.get("digits-classifier").replaced(**options, recolour=0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, run) of a classifier that learnt its noise by heart."""
    root = tmp_path_factory.mktemp("noise")
    folder = noise(root / "noise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKS", 2)
        api.train(classifier(folder, images=1_600), root / "run", threads=1)
    return folder, root / "run"


@pytest.fixture(autouse=True)
def fast(quick):
    """Every training here checks twice, and no file waits for the disk."""


def before_manifests(run: Path) -> None:
    """Makes it a run of genshift 0.2."""
    (run / MANIFEST).unlink()
    config = json.loads((run / "config.json").read_text())
    for entry in config["data"].values():
        del entry["manifest"]
    (run / "config.json").write_text(json.dumps(config))


def measured(run: Path, **options: object) -> tuple[float, int, str]:
    entry = api.evaluate(run, threads=1, **options)["test_accuracy"]
    return entry["value"], entry["n"], entry["protocol"]


def moved(trained: tuple[Path, Path], to: Path) -> tuple[Path, Path]:
    """Copies of both, below `to`."""
    for path in trained:
        shutil.copytree(path, to / path.name)
    return to / trained[0].name, to / trained[1].name


# --- what was held out stays held out -------------------------------------------------------------------------------


def test_a_picture_added_or_a_folder_renamed_changes_nothing_that_is_held_out(trained, tmp_path):
    _, run = trained
    before = measured(run)
    assert before[0] < 0.75, "noise can be learnt by heart, and no more"
    copy, other = moved(trained, tmp_path)
    one_more(copy)
    assert measured(other, places={"data": str(copy)}) == before
    # The folder under another name, and a link where it was.
    copy.rename(tmp_path / "renamed")
    (tmp_path / "noise").symlink_to(tmp_path / "renamed")
    assert measured(other, places={"data": str(tmp_path / "noise")})[:2] == before[:2]
    # Every file under another name.
    for path in sorted((tmp_path / "renamed").glob("*/*.png")):
        path.rename(path.with_name(f"x{hash(path.name) % 1000}-{path.name}"))
    assert measured(other, places={"data": str(tmp_path / "renamed")})[:2] == before[:2]


def test_a_run_finds_its_pictures_from_every_folder(tmp_path, monkeypatch):
    """The same relative path holds other pictures elsewhere."""
    noise(tmp_path / "here" / "pictures", seed=1)
    noise(tmp_path / "there" / "pictures", seed=2)
    monkeypatch.chdir(tmp_path / "here")
    api.train(classifier(Path("pictures")), "run", threads=1, evaluate=False)
    before = measured(Path("run"))
    monkeypatch.chdir(tmp_path / "there")
    assert measured(tmp_path / "here" / "run") == before


def test_a_vae_is_measured_on_its_own_pictures_from_every_folder(tmp_path, monkeypatch):
    noise(tmp_path / "here" / "pictures", count=12, seed=1)
    noise(tmp_path / "there" / "pictures", count=12, seed=2)
    monkeypatch.chdir(tmp_path / "here")
    small = {"size": 16, "width": 8, "batch": 8, "images": 16, "latent": 4}
    preset = tiny.presets.get("faces-vae").replaced(**small, data="pictures", validation=0.3)
    api.train(preset, "run", threads=1, evaluate=False)
    before = api.evaluate("run", draw=False, threads=1)["reconstruction_mse"]
    monkeypatch.chdir(tmp_path / "there")
    assert api.evaluate(tmp_path / "here" / "run", draw=False, threads=1)["reconstruction_mse"] == before


def test_continuing_after_a_move_ends_in_the_same_bits(tmp_path):
    folder = noise(tmp_path / "noise")
    preset = classifier(folder)
    tiny.train(preset, tmp_path / "whole", images=96)
    settings = {"images": 96, "observers": [tiny.StopAt(8)]}
    assert not tiny.train(preset, tmp_path / "parted", **settings)
    one_more(folder)
    folder.rename(tmp_path / "elsewhere")
    assert tiny.train(classifier(tmp_path / "elsewhere"), tmp_path / "parted", images=96)
    assert tiny.different(tiny.last(tmp_path / "whole"), tiny.last(tmp_path / "parted")) == []
    known = remembered(RunFolder(tmp_path / "parted"))
    assert known is not None and known["data"].place == str(tmp_path / "elsewhere")


def test_continuing_without_a_picture_or_with_another_label_is_refused(tmp_path, capfd):
    folder = noise(tmp_path / "noise")
    preset = classifier(folder)
    run = tmp_path / "run"
    assert not tiny.train(preset, run, images=96, observers=[tiny.StopAt(8)])
    again = ("train", "digits-classifier", "--data", folder, "--out", run, "--validation", 0.3, "--threads", 1)
    again += tuple(word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", value))
    again += ("--rotate", 0, "--shift", 0, "--scale", 0, "--recolour", 0)
    # One picture in the other class, which is the same picture with another label.
    (folder / "a" / "000.png").rename(folder / "b" / "moved.png")
    assert "are not those that" in tiny.refused(capfd, *again, last_line=True)
    (folder / "b" / "moved.png").unlink()
    assert "holds 79 of the 80 pictures that the run was begun with" in tiny.refused(capfd, *again, last_line=True)


def test_pictures_that_are_gone_are_told_and_none_is_a_refusal(trained, tmp_path):
    folder, run = moved(trained, tmp_path)
    known = remembered(RunFolder(run))
    assert known is not None and known["data"].names is not None
    names = [known["data"].names[row] for row in known["data"].held_out.tolist()]
    assert all((folder / name).is_file() for name in names)
    (folder / names[0]).unlink()
    _, n, protocol = measured(run, places={"data": str(folder)})
    assert n == len(names) - 1 and f"of {len(names)} these are still there" in protocol
    other = noise(tmp_path / "other", seed=5)
    with pytest.raises(Refusal, match="holds none of"):
        api.evaluate(run, places={"data": str(other)}, threads=1)


def test_a_test_part_loses_what_was_trained_on(trained, tmp_path):
    """The pictures were parted anew after the training: some of its own lie in test/ now."""
    folder, run = moved(trained, tmp_path)
    parts = tmp_path / "parts"
    shutil.copytree(folder, parts / "train")
    for label in "ab":
        (parts / "test" / label).mkdir(parents=True)
        for path in sorted((parts / "train" / label).glob("*.png"))[:10]:
            path.rename(parts / "test" / label / path.name)
    known = remembered(RunFolder(run))
    assert known is not None
    _, n, protocol = measured(run, places={"data": str(parts)})
    held_out = {known["data"].names[row] for row in known["data"].held_out.tolist()}
    assert n == len(held_out & {f"{label}/{number:03}.png" for label in "ab" for number in range(10)})
    assert f"without {20 - n} that were trained on" in protocol


def test_a_run_without_a_manifest_goes_by_the_old_rule_and_says_so(trained, tmp_path, capfd):
    folder, run = moved(trained, tmp_path)
    before_manifests(run)
    capfd.readouterr()
    value = api.evaluate(run, places={"data": str(folder)}, threads=1)["test_accuracy"]
    assert value["n"] == int(0.3 * 80)
    assert "kept no manifest: what it held out of noise is worked out again" in capfd.readouterr().err
    images = load(folder)
    assert torch.equal(hold_out_by_name(images, 0.3), torch.randperm(80, generator=_seeded(images.name))[:24])


def _seeded(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of("held out", name))


# --- parting --------------------------------------------------------------------------------------------------------


def pictures(counts: tuple[int, ...], seed: int = 0, name: str = "set") -> ImageSet:
    """Pictures of so many of each class, known by random digests."""
    total = sum(counts)
    digests = torch.randint(0, 256, (total, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    classes = tuple(str(number) for number in range(len(counts)))
    return ImageSet(name, torch.zeros(total, 1, 2, 2, dtype=torch.uint8), labels, classes, digests=digests)


@pytest.mark.parametrize("seed", range(8))
def test_every_class_keeps_a_picture_to_train_on_and_gives_one(seed):
    images = pictures((20, 20, 1), seed)
    rows, held_out = hold_out(images, 0.2)
    assert rows is not None and held_out is not None and images.labels is not None
    assert sorted([*rows.tolist(), *held_out.tolist()]) == list(range(41))
    assert set(images.labels[rows].tolist()) == {0, 1, 2} and set(images.labels[held_out].tolist()) == {0, 1}


def test_parting_goes_by_content_alone():
    images = pictures((50, 50))
    _, held_out = hold_out(images, 0.2)
    assert held_out is not None and 8 <= len(held_out) <= 32
    chosen = set(map(bytes, images.digests[held_out].numpy()))
    # Another name, another order, a further picture: the same are held out.
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    for other in (pictures((50, 50), name="other"), images.take(order), pictures((50, 50)).take(torch.arange(99))):
        _, again = hold_out(other, 0.2)
        assert chosen >= set(map(bytes, other.digests[again].numpy())) >= chosen - {bytes(images.digests[99].numpy())}


def test_of_a_catalogued_set_rows_stay_what_they_were_unless_a_class_lacks_one():
    common = ImageSet("mnist", torch.zeros(1000, 1, 2, 2, dtype=torch.uint8), torch.arange(1000) % 10, tiny.DIGITS)
    common = _catalogued(common)
    assert torch.equal(hold_out(common, 0.05)[1], hold_out_by_name(common, 0.05))
    labels = torch.zeros(1000, dtype=torch.int64)
    labels[hold_out_by_name(common, 0.05)[:3]] = 1  # a class of three pictures, all held out
    rare = _catalogued(ImageSet("mnist", common.images, labels, ("often", "seldom")))
    rows, held_out = hold_out(rare, 0.05)
    assert set(labels[rows].tolist()) == {0, 1} and len(held_out) == 50


def _catalogued(images: ImageSet) -> ImageSet:
    return replace(images, catalogued=True)


def test_copies_of_one_picture_are_never_parted():
    images = pictures((10, 10))
    digests = torch.cat([images.digests, images.digests])
    twice = ImageSet("set", images.images.repeat(2, 1, 1, 1), images.labels.repeat(2), images.classes, digests=digests)
    _, held_out = hold_out(twice, 0.3)
    rows = set(held_out.tolist())
    assert rows and all((row + 20) % 40 in rows for row in rows)


# --- a target's labels move nothing ---------------------------------------------------------------------------------


def test_the_same_target_in_other_class_folders_changes_no_bit(tmp_path):
    """Weights, scores and the estimate: the order of a sealed target is one that no folder moves."""
    source = tiny.write_classes(tmp_path / "source", 0, 40)
    runs = []
    for name, shift in (("target", 0), ("moved", 3)):
        drawn = tiny.digits(40, 1)
        for number, (image, label) in enumerate(zip(drawn.images, drawn.labels.tolist(), strict=True)):
            folder = tmp_path / name / str((label + shift * (number % 2)) % 10)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:03}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
        preset = tiny.tiny("demo-dann", (source, tmp_path / name), validation=0.3, select="label-free", images=48)
        out = tmp_path / f"run-{name}"
        tiny.train_and_evaluate(preset, out, Settings(threads=1), EvaluationOptions(draw=False, threads=1))
        runs.append(out)
    one, other = runs
    assert tiny.different(tiny.last(one), tiny.last(other)) == []
    assert json.loads((one / "scores.json").read_text()) == json.loads((other / "scores.json").read_text())
    estimates = [
        {name: entry for name, entry in json.loads((run / "results.json").read_text()).items() if "estimate" in name}
        for run in runs
    ]
    assert estimates[0] == estimates[1] and estimates[0]
    # And what is kept of a target tells no folder of it.
    kept = load_file(one / MANIFEST)
    assert "source/names" in kept and "target/names" not in kept
    assert str(tmp_path / "target") in (one / MANIFEST).read_bytes().decode("latin-1")  # its place, and nothing below
    assert b"target/0" not in (one / MANIFEST).read_bytes()


# --- the file -------------------------------------------------------------------------------------------------------


def test_config_holds_the_digest_and_the_counts_of_the_manifest(trained):
    _, run = trained
    known = remembered(RunFolder(run))
    assert known is not None
    told = RunFolder(run).config["data"]["data"]
    assert told["manifest"] == known["data"].digest()
    assert (told["n"], told["held_out"]) == (len(known["data"].trained_on), len(known["data"].held_out))


def test_what_is_recorded_of_a_run_has_the_digest_and_no_name(trained, tmp_path, capfd):
    _, run = moved(trained, tmp_path)
    known = remembered(RunFolder(run))
    assert known is not None and known["data"].names is not None
    tiny.told(capfd, "report", run, "--record", tmp_path / "kept", "--out", tmp_path / "page.html")
    (config,) = (tmp_path / "kept").rglob("config.json")
    entry = json.loads(config.read_text())["data"]["data"]
    assert entry["manifest"] == known["data"].digest() and entry["n"] + entry["held_out"] == known["data"].count
    given = [path for path in (*(tmp_path / "kept").rglob("*"), tmp_path / "page.html") if path.is_file()]
    assert MANIFEST not in {path.name for path in given}
    names = {Path(name).name.encode() for name in known["data"].names}
    assert not [path for path in given for name in names if name in path.read_bytes()]


def test_a_packed_set_is_known_by_its_pixels(tmp_path):
    one, other = tiny.digits(40, 0), tiny.digits(40, 1)
    known = manifest_of("place", one, torch.tensor([3, 1]))
    assert known.rows_in(one).tolist() == list(range(40)) and (known.rows_in(other) == -1).all()
    assert known.rows_in(ImageSet("renamed", one.images)).tolist() == list(range(40)), "labels and names move nothing"
    assert known.trained_on.tolist() == [row for row in range(40) if row not in (1, 3)]


@pytest.mark.parametrize("seed", range(5))
def test_pictures_are_matched_as_a_dictionary_would(seed):
    drawn = np.random.default_rng(seed)
    kinds = drawn.integers(0, 256, (12, 16), dtype=np.uint8)
    wanted, given = kinds[drawn.integers(0, 12, 20)], kinds[drawn.integers(0, 9, 30)]
    lies: dict[bytes, list[int]] = {}
    for place, digest in enumerate(given):
        lies.setdefault(digest.tobytes(), []).append(place)
    expected, asked = [], dict.fromkeys(lies, 0)
    for digest in wanted:
        places = lies.get(digest.tobytes())
        if places is None:
            expected.append(-1)
            continue
        turn = asked[digest.tobytes()]
        expected.append(places[min(turn, len(places) - 1)])
        asked[digest.tobytes()] += 1
    assert _matched(wanted, given).tolist() == expected


LIES = {
    "no part": lambda t: {k: v for k, v in t.items() if "held_out" not in k},
    "rows beyond": lambda t: {**t, "data/held_out": torch.tensor([10**6])},
    "other rows": lambda t: {**t, "data/held_out": torch.tensor([0, 1])},
    "another kind": lambda t: {**t, "data/digests": t["data/digests"].float()},
    "fewer": lambda t: {**t, "data/digests": t["data/digests"][:3]},
    "no names": lambda t: {**t, "data/names": torch.zeros((), dtype=torch.uint8)},
    "names of another kind": lambda t: {**t, "data/names": t["data/names"].float()},
    "fewer names": lambda t: {**t, "data/names": t["data/names"][:3].clone()},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused_in_a_sentence(trained, tmp_path, capfd, lie):
    _, run = moved(trained, tmp_path)
    with safe_open(run / MANIFEST, framework="pt") as file:
        about = file.metadata()
    save_file(LIES[lie](load_file(run / MANIFEST)), run / MANIFEST, metadata=about)
    assert "does not say which images 'data' was" in tiny.refused(capfd, "evaluate", run)


@pytest.mark.parametrize("says", [{}, {"other": "data"}, None], ids=["of no set", "of another set", "gone"])
def test_a_manifest_that_is_not_the_runs_is_refused(says, trained, tmp_path, capfd):
    """Its parts are whole, and not those that config.json names."""
    folder, run = moved(trained, tmp_path)
    stored = checkpoint.load(run / MANIFEST)
    if says is None:
        (run / MANIFEST).unlink()
    else:
        tensors = {name.replace("data/", "other/"): tensor for name, tensor in stored.tensors.items()}
        about = {part: stored.about[known] for part, known in says.items()}
        checkpoint.save(run / MANIFEST, checkpoint.Checkpoint(tensors, about))
    for words in (("evaluate", run, "--data", folder), ("train", "digits-classifier", "--data", folder, "--out", run)):
        assert "without it nobody knows which images were held out" in tiny.refused(capfd, *words, last_line=True)


def test_a_manifest_that_a_killed_start_left_means_nothing(trained, tmp_path):
    """It was written, and config.json was not: the run is begun anew, on whatever pictures."""
    _, run = trained
    (tmp_path / "run").mkdir()
    shutil.copy(run / MANIFEST, tmp_path / "run")
    other = noise(tmp_path / "other", count=20, seed=5)
    assert tiny.train(classifier(other), tmp_path / "run", images=16)
    known = remembered(RunFolder(tmp_path / "run"))
    assert known is not None and known["data"].count == 40


def test_what_was_not_read_of_a_test_part_is_told_when_it_is_measured_on(trained, tmp_path, capfd):
    """Training reads no test part, and so could not say it."""
    folder, run = moved(trained, tmp_path)
    parts = tmp_path / "parts"
    shutil.copytree(folder, parts / "train")
    noise(parts / "test", count=10, seed=8)
    (parts / "test" / "a" / "drawing.psd").write_bytes(b"8BPS")
    capfd.readouterr()
    api.evaluate(run, places={"data": str(parts)}, threads=1)
    assert "not read: 1 of .psd" in capfd.readouterr().err


# --- what results say -----------------------------------------------------------------------------------------------


def test_a_value_says_of_which_data_and_checkpoint_it_is(trained, tmp_path, capfd):
    folder, run = moved(trained, tmp_path)
    entry = json.loads(tiny.told(capfd, "evaluate", run, "--data", folder, "--json"))["test_accuracy"]
    assert len(entry["data"]) == 16 and entry["checkpoint"] in {p.name for p in (run / "checkpoints").iterdir()}
    known = remembered(RunFolder(run))
    (folder / known["data"].names[int(known["data"].held_out[0])]).unlink()
    assert api.evaluate(run, places={"data": str(folder)}, threads=1)["test_accuracy"]["data"] != entry["data"]


def test_an_accuracy_that_cannot_be_measured_any_more_is_dropped(trained, tmp_path):
    """Classes were renamed: of one that the run did not learn nothing is measured, and where none is left, nothing."""
    folder, run = moved(trained, tmp_path)
    whole = api.evaluate(run, places={"data": str(folder)}, threads=1)["test_accuracy"]
    (folder / "a").rename(folder / "c")
    part = api.evaluate(run, places={"data": str(folder)}, threads=1)["test_accuracy"]
    assert part["n"] < whole["n"]
    (warning,) = json.loads((run / "evaluation.json").read_text())["warnings"]
    assert "has pictures of classes that were not learnt, c (" in warning
    (folder / "b").rename(folder / "d")
    with pytest.raises(Refusal, match="of other classes than the run learnt"):
        api.evaluate(run, places={"data": str(folder)}, threads=1)
    assert "test_accuracy" not in json.loads((run / "results.json").read_text())


def test_distances_of_earlier_pictures_are_not_repeated_as_of_these(trained, tmp_path):
    """A VAE was judged by a classifier; its held-out pictures changed since, and no judge is named now."""
    judge = trained[1]
    folder, out = noise(tmp_path / "pictures", count=30, seed=3), tmp_path / "vae"
    small = {"size": 16, "width": 8, "batch": 8, "images": 16, "latent": 4}
    preset = tiny.presets.get("faces-vae").replaced(**small, data=str(folder), validation=0.3)
    api.train(preset, out, threads=1, evaluate=False)
    assert "frechet" in api.evaluate(out, features=judge, draw=False, threads=1)
    assert "frechet" in api.evaluate(out, draw=False, threads=1), "the same pictures: it still holds"
    known = remembered(RunFolder(out))
    (folder / known["data"].names[int(known["data"].held_out[0])]).unlink()
    assert "frechet" not in api.evaluate(out, draw=False, threads=1)


# --- starting from a run --------------------------------------------------------------------------------------------


def test_a_run_starts_from_anothers_networks_and_what_that_held_out_stays_held_out(trained, tmp_path, capfd):
    folder, start = moved(trained, tmp_path)
    one_more(folder)
    before = remembered(RunFolder(start))["data"]
    preset = classifier(folder, validation=0.1, images=8, lr=1e-30)
    api.train(preset, tmp_path / "next", threads=1, start=start, evaluate=False)
    # Its networks: at a rate of nothing they are the other's still, but for what they counted of batches.
    one, other = tiny.last(start), tiny.last(tmp_path / "next")
    learnt = [name for name in one if name.startswith("network/") and name.endswith(("weight", "bias"))]
    assert learnt and all(torch.equal(one[name], other[name]) for name in learnt)
    # What it held out: all of it, though a tenth is asked for; and nothing that the other had learnt.
    after = remembered(RunFolder(tmp_path / "next"))["data"]
    held_out, seen = (set(map(bytes, before.digests[rows].numpy())) for rows in (before.held_out, before.trained_on))
    now = set(map(bytes, after.digests[after.held_out].numpy()))
    assert held_out <= now and not seen & now and after.count == before.count + 1
    assert RunFolder(tmp_path / "next").config["started_from"]["manifest"] == {"data": before.digest()}


def test_what_cannot_be_started_from_is_refused(trained, tmp_path, capfd):
    folder, start = moved(trained, tmp_path)
    words = ("train", "digits-classifier", "--data", folder, "--out", tmp_path / "next", "--images", 8, "--size", 16)
    assert "is no run that remembers" in tiny.refused(capfd, *words, "--from", tmp_path / "nowhere")
    other_width = ("--width", 16, "--batch", 8, "--from", start)
    assert "name a run of the same preset" in tiny.refused(capfd, *words, *other_width, last_line=True)
    before_manifests(start)
    assert "is no run that remembers" in tiny.refused(capfd, *words, "--from", start)


# --- what a user holds out ------------------------------------------------------------------------------------------


def held(folder: Path, to: Path, count: int = 6) -> Path:
    """Some pictures of each class, moved to a folder of their own."""
    for label in "ab":
        (to / label).mkdir(parents=True)
        for path in sorted((folder / label).glob("*.png"))[:count]:
            path.rename(to / label / path.name)
    return to


@pytest.mark.parametrize("kind", ["folder", "csv inside", "csv of absolute paths"])
def test_what_a_user_holds_out_is_held_out_for_ever(kind, tmp_path, capfd):
    folder = noise(tmp_path / "noise")
    given = tmp_path / "held"
    if kind == "csv inside":  # pictures of the set's own
        given = folder / "held.csv"
        given.write_text("".join(f"{label}/00{number}.png;{label}\n" for label in "ab" for number in range(6)))
    elif kind == "csv of absolute paths":
        held(folder, tmp_path / "there")
        given = tmp_path / "held.csv"
        given.write_text("".join(f"{path},{path.parent.name}\n" for path in sorted(tmp_path.glob("there/*/*.png"))))
    else:
        held(folder, given)
    preset = classifier(folder, validation=0.0, held_out=str(given))
    api.train(preset, tmp_path / "run", threads=1)
    known = remembered(RunFolder(tmp_path / "run"))
    assert known is not None and len(known["data"].held_out) == 12 and known["data"].count == 80
    assert known["data"].beside == str(given)
    before = measured(tmp_path / "run")
    assert before[1] == 12
    # Elsewhere, and with further pictures in the set: the same ones.
    if kind == "folder":
        one_more(folder)
        given.rename(tmp_path / "moved")
        assert measured(tmp_path / "run", places={"held_out": str(tmp_path / "moved")})[:2] == before[:2]
    # A run is not continued without them.
    other = ("train", "digits-classifier", "--data", folder, "--out", tmp_path / "run", "--threads", 1)
    other += tuple(word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", value))
    other += ("--rotate", 0, "--shift", 0, "--scale", 0, "--recolour", 0)
    assert "begun with --held-out" in tiny.refused(capfd, *other, "--validation", 0, last_line=True)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("all of a class", "leaves no picture of class 'a' to train on: hold fewer out"),
        ("stranger", "There is no class 'c'"),
        ("unlabelled", "has no labels: give class folders, or a CSV"),
        ("both", "takes the place of --validation 0.2: give one"),
        ("nothing", "There is no folder or file"),
    ],
)
def test_a_hold_out_that_cannot_be_meant_is_refused(kind, words, tmp_path, capfd):
    folder = noise(tmp_path / "noise", count=8)
    given = tmp_path / "held"
    if kind == "stranger":
        noise(given, count=2, classes=("a", "c"), seed=3)
    elif kind == "unlabelled":
        noise(given, count=2, classes=("a",), seed=3)
    elif kind == "all of a class":
        given = folder / "held.csv"
        given.write_text("".join(f"a/00{number}.png,a\n" for number in range(8)) + "b/000.png,b\n")
    elif kind == "both":
        held(folder, given, 2)
    share = ("--validation", 0.2) if kind == "both" else ()
    command = ("train", "digits-classifier", "--data", folder, "--held-out", given, "--size", 16, *share)
    assert words in tiny.refused(capfd, *command, "--out", tmp_path / "run", last_line=True)
    assert not (tmp_path / "run").exists()
