"""The preset for a user's own folders, through the command line: PNG files in, labels out."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from data_files import png
from tiny import refused, told

from genshift import api, presets
from genshift.cli import main
from genshift.data import load
from genshift.report.page import write_page
from genshift.runs import checkpoint, files
from genshift.runs.find import source_only_accuracy, unadapted
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import build_method
from genshift.selection.verdict import estimate_of
from genshift.training import augmentation_trial
from genshift.training import train as train_module

SMALL = (
    "--width",
    8,
    "--batch-source",
    16,
    "--batch-target",
    16,
    "--precision",
    "float32",
    "--threads",
    1,
    "--validation",
    0.35,
)
FAST = ("--lr", 0.004, "--lr-warmup", 0, "--ema-half-life", 0)
ABSENT = (8, 9)  # classes that the target lacks


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image))


def write_source(folder, count=300):
    """The first embedded digits in class folders, as they are: 28 pixels, colour."""
    images = load("uci", "train", size=28, limit=count)
    for number, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        write_png(folder / str(label) / f"{number:03}.png", image.permute(1, 2, 0).squeeze().numpy())
    return folder


def write_target(folder, count=150):
    """Other digits in one folder, at half the contrast and with a light ground, no ABSENT; their labels by name."""
    images = load("uci", "test", size=28, limit=count)
    truth = {}
    for number, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        if label not in ABSENT:
            truth[f"{number:03}.png"] = str(label)
            dim = (image.permute(1, 2, 0).squeeze().numpy() // 2 + 60).astype(np.uint8)
            write_png(folder / f"{number:03}.png", dim)
    return truth


def argv(folder, *more, preset="adapt"):
    return ("train", preset, "--source", folder / "labelled", "--target", folder / "unlabelled", *SMALL, *more)


def training(folder, run):
    """A training of seconds, in words."""
    return *argv(folder, *FAST), "--size", 28, "--images", 1600, "--out", run


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """(folder with labelled/, unlabelled/ and run/, true labels by file), trained by the command line."""
    folder = tmp_path_factory.mktemp("adapt")
    write_source(folder / "labelled")
    truth = write_target(folder / "unlabelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "CHECKS", 2)
        patch.setattr(augmentation_trial, "STEPS", 4)
        patch.setattr(files, "_sync", lambda path: None)
        assert main.main([str(word) for word in training(folder, folder / "run")]) == 0
    return folder, truth


@pytest.fixture
def run(adapted, tmp_path):
    return shutil.copytree(adapted[0] / "run", tmp_path / "run")


# --- from folders to labels -----------------------------------------------------------------------------------------


def test_labels_for_unlabelled_pictures_are_right_far_more_often_than_chance(adapted, capfd, tmp_path):
    folder, truth = adapted
    said = told(capfd, "predict", folder / "run", folder / "unlabelled", "--out", tmp_path / "labels.csv")
    assert f"{len(truth)} predictions" in said and "Verdict: " in said
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image_name", "label", "confidence"]
    assert [row["image_name"] for row in rows] == sorted(truth)
    assert all(0.1 <= float(row["confidence"]) <= 1 for row in rows)
    right = np.mean([row["label"] == truth[row["image_name"]] for row in rows])
    assert right > 0.4, "chance is 0.1"


def test_a_source_that_has_changed_since_is_not_evaluated_by(adapted, run, tmp_path, capfd):
    """What is held out is a share of the set as it was."""
    folder = tiny.write_classes(tmp_path / "now", 7)
    before = (run / "results.json").read_text()
    assert "pictures that this run held out" in refused(capfd, "evaluate", run, "--source", folder)
    assert (run / "results.json").read_text() == before


def test_pictures_of_classes_that_were_not_learnt_are_left_out_and_that_is_said(adapted, run, tmp_path):
    """One foreign class takes its own pictures with it, and no other figure; of foreign ones alone nothing is told."""
    others, names = tmp_path / "others", sorted(adapted[1])
    for place, name in enumerate(names):
        label = "cat" if place < 7 else adapted[1][name]
        (others / label / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(adapted[0] / "unlabelled" / name, others / label / name)
    results = api.evaluate(run, draw=False, places={"target": str(others)})
    rows = {row[0]: row[1] for row in api.predict(run, adapted[0] / "unlabelled")}
    right = [rows[name] == adapted[1][name] for name in names[7:]]
    measured = results["oracle/target_test_accuracy"]
    assert (measured["n"], measured["value"]) == (len(names) - 7, pytest.approx(np.mean(right)))
    said = RunFolder(run).read("evaluation.json")["warnings"]
    left_out = f"{others} has pictures of classes that were not learnt, cat (7): they are left out, and"
    assert f"{left_out} its other pictures are measured." in said
    for folder in others.iterdir():
        if folder.name != "cat":
            shutil.rmtree(folder)
    (others / "dog").mkdir()
    shutil.move(others / "cat" / names[0], others / "dog" / names[0])
    results = api.evaluate(run, draw=False, places={"target": str(others)})
    assert "oracle/target_test_accuracy" not in results
    said = RunFolder(run).read("evaluation.json")["warnings"]
    assert any("not learnt, cat (6), dog (1): they are left out, and no accuracy is told." in line for line in said)


def test_a_run_that_diverged_predicts_nothing(adapted, run, capfd, tmp_path):
    chosen = RunFolder(run).selected()
    kept = checkpoint.load(chosen)
    kept.tensors["network/predictor/weight"].fill_(float("nan"))
    checkpoint.save(chosen, kept)
    said = refused(capfd, "predict", run, adapted[0] / "unlabelled", "--out", tmp_path / "labels.csv")
    assert "holds NaN or infinity" in said and not (tmp_path / "labels.csv").exists()


def test_the_estimate_is_told_of_the_runs_target_alone(adapted, run, capfd, tmp_path):
    shutil.copytree(adapted[0] / "unlabelled", tmp_path / "others")
    assert "Verdict" not in told(capfd, "predict", run, tmp_path / "others", "--out", tmp_path / "labels.csv")


def test_a_training_ends_with_the_choice_of_a_checkpoint(adapted):
    """By the default rule, and the results are of it; no labels of the target, so no oracle."""
    run = RunFolder(adapted[0] / "run")
    choice, results = run.read("selection.json"), run.read("results.json")
    assert choice["rule"] == "default" and run.selected().name == choice["checkpoint"]
    rows = {row["checkpoint"]: row for row in run.read("scores.json")["checkpoints"]}
    evidence = rows[choice["checkpoint"]]["evidence"]
    assert choice["verdict"]["value"] == estimate_of(evidence)[0] and evidence["images"] == choice["verdict"]["n"]
    assert [name for name in results if "estimate" in name] == ["estimate/verdict"], "one number, and no other beside"
    assert results["estimate/verdict"]["value"] == choice["verdict"]["value"]
    assert "oracle/target_test_accuracy" not in results and "source_test_accuracy" in results
    assert f"verdict: {choice['verdict']['word']}" in (run.path / "card.md").read_text()


def test_a_choice_of_the_users_stands_when_the_command_is_given_again(adapted, run, capfd):
    folder, _ = adapted
    api.select(run, rule="last")
    assert "Verdict: " in told(capfd, *training(folder, run))
    assert json.loads((run / "selection.json").read_text())["rule"] == "last"


def test_warnings_of_the_choice_are_told_by_every_verb_and_stand_in_the_evaluation(adapted, run, capfd, tmp_path):
    written = json.loads((run / "scores.json").read_text())
    for row in written["checkpoints"]:
        row["diversity"] = 0.1
    (run / "scores.json").write_text(json.dumps(written))
    line = "warning: Target images are taken for few classes, effectively 1.1 of"
    assert line in told(capfd, "select", run)
    pictures = tmp_path / "few"
    pictures.mkdir()
    shutil.copy(adapted[0] / "unlabelled" / min(adapted[1]), pictures)
    assert line in told(capfd, "predict", run, pictures, "--out", tmp_path / "labels.csv")
    api.evaluate(run, draw=False)
    assert any("effectively 1.1 of" in each for each in RunFolder(run).read("evaluation.json")["warnings"])
    assert "effectively 1.1 of" in (run / "card.md").read_text()


def test_source_only_on_the_same_folders_is_found_beside_it(adapted, run):
    folder, _ = adapted
    words = argv(folder, "--size", 28, "--images", 64, "--out", run.parent / "without", preset="adapt-source")
    assert unadapted(RunFolder(run)) == []
    assert main.main([str(word) for word in words]) == 0
    assert [other.path.name for other in unadapted(RunFolder(run))] == ["without"]
    assert 0 < source_only_accuracy(RunFolder(run)) < 1


def test_scores_of_before_there_were_estimates_are_measured_again(run):
    written = json.loads((run / "scores.json").read_text())
    for row in written["checkpoints"]:
        row.pop("atc")
    (run / "scores.json").write_text(json.dumps(written))
    assert all("atc" in row for row in api.select(run)["candidates"])


# --- any size, any colour, any proportions --------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("size", "colour"), [(28, "grey"), (96, "rgb"), (224, "grey")])
def test_it_learns_from_pictures_of_any_size_and_colour(size, colour, domains, tmp_path):
    preset = tiny.tiny("adapt", domains, size=size, colour=colour, width=4)
    assert tiny.train(preset, tmp_path / "run", images=8)
    first = tiny.last(tmp_path / "run")["network/extractor/first.0.weight"]
    assert first.shape[1] == (1 if colour == "grey" else 3)


@pytest.mark.usefixtures("quick")
def test_pictures_that_are_all_large_are_learnt_from_at_64_pixels(tmp_path, capfd):
    for name, side in (("labelled", 70), ("unlabelled", 64), ("small", 40)):
        drawn = tiny.digits(20, 0, side=side)
        for number, image in enumerate(drawn.images):
            folder = tmp_path / name / (str(number % 2) if name == "labelled" else "")
            write_png(folder / f"{number:02}.png", image.permute(1, 2, 0).numpy())
    for target, given, size in (("unlabelled", (), 64), ("small", (), 32), ("unlabelled", ("--size", 28), 28)):
        words = ("--target", tmp_path / target, "--out", tmp_path / "run", "--width", 4, "--images", 32, *given)
        said = told(capfd, "train", "adapt", "--source", tmp_path / "labelled", *SMALL[2:], *words, "-n")
        assert json.loads(said)["size"] == size


def test_the_preset_suits_pictures_that_nobody_has_seen():
    preset = presets.get("adapt")
    assert preset.method == "adamatch" and preset.study not in ("adaptation", "demo")
    assert preset.flip == 0 and preset.strong_recolour == 0 and preset.rotate <= 10 and preset.select == "label-free"
    shown = api.show(preset.replaced(flip=0.5, size=224, width=16))
    assert shown["options"]["flip"]["origin"] == "yours" and shown["gflop_per_image_forward"] < 0.5


def test_alignment_of_class_frequencies_can_be_turned_off(domains):
    """The ratio of running means, to the power that is asked for."""
    means = torch.tensor([0.5, 0.25, 0.25])
    found = []
    for alignment in (1.0, 0.5, 0.0):
        method = build_method(tiny.tiny("adapt", domains, width=4, alignment=alignment), 3, tiny.FLOAT32, 0)
        method.networks["frequencies"].target.copy_(means)
        found.append(method._ratio(torch.zeros(1, 3), means.log()[None]))
    torch.testing.assert_close(found[0], (1 / 3) / means, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], found[0].sqrt())
    assert torch.equal(found[2], torch.ones(3))


# --- what cannot be done --------------------------------------------------------------------------------------------


def refused_for(capfd, folder, *more, source="labelled", target="unlabelled"):
    words = ("train", "adapt", "--source", folder / source, "--target", folder / target, *SMALL, "--images", 16)
    return refused(capfd, *words, "--out", folder / "run", *more)


def test_folders_that_say_too_little_are_refused_in_a_sentence(tmp_path, capfd):
    tiny.write_classes(tmp_path / "labelled", 0)
    tiny.write_flat(tmp_path / "unlabelled", 1)
    tiny.write_flat(tmp_path / "one", 1, count=1)
    assert "one has 1 picture to adapt to: two or more" in refused_for(capfd, tmp_path, target="one")
    assert "give --source LABELLED" in refused(capfd, "train", "adapt", "--out", tmp_path / "run")
    assert "--source and --target are both" in refused_for(capfd, tmp_path, target="one/../labelled")
    assert "has no labels: give class folders" in refused_for(capfd, tmp_path, source="unlabelled", target="one")
    shutil.copytree(tmp_path / "labelled" / "3", tmp_path / "single" / "3")
    assert "of two or more classes" in refused_for(capfd, tmp_path, source="single")
    (tmp_path / "one" / "labels.csv").write_text("image_name,label\n000.png,cat\n")
    assert "has 1 class: two or more" in refused_for(capfd, tmp_path, source="one")
    said = refused_for(capfd, tmp_path, "--validation", 0.05)
    assert "pictures out, and choosing a checkpoint needs 2" in said and "--select last" in said
    assert "--select label-free needs held-out images" in refused_for(capfd, tmp_path, "--validation", 0)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick")
def test_a_broken_picture_is_named_or_left_out(tmp_path, capfd):
    tiny.write_classes(tmp_path / "labelled", 0)
    tiny.write_flat(tmp_path / "unlabelled", 1)
    (tmp_path / "unlabelled" / "005.png").write_bytes(b"\x89PNG cut")
    assert "005.png is no picture that can be read" in refused_for(capfd, tmp_path)
    words = (*argv(tmp_path), "--images", 16, "--size", 28, "--out", tmp_path / "run", "--skip-broken")
    told(capfd, *words)
    target = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["target"]
    assert target["n"] + target["held_out"] == 19 and target["notes"][0].startswith("1 broken picture(s)")


def test_label_free_choice_is_of_what_adapts(capfd):
    assert "adapts to none" in refused(capfd, "show", "source-usps-mnistm", "--select", "label-free")
    assert "adapts to none" in refused(capfd, "show", "faces-gan", "--select", "label-free")


@pytest.mark.usefixtures("quick")
def test_a_target_that_is_partly_labelled_is_drawn_whole_and_a_broken_first_picture_is_left_out(tmp_path, capfd):
    """The source's first picture is broken, which tells no class; six of the target's bear labels, which hides none."""
    source, target = write_source(tmp_path / "lab", 40), tmp_path / "tar"
    next(iter(sorted((source / "0").iterdir()))).write_text("no picture")
    truth = write_target(target, 40)
    listed = "".join(f"{name},{label}\n" for name, label in list(truth.items())[:6])
    (target / "labels.csv").write_text(f"image_name,label\n{listed}")
    words = ("--source", source, "--target", target, *SMALL, "--images", 32, "--size", 28, "--skip-broken")
    told(capfd, "train", "adapt", *words, "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["data"]["target"]["n"], config["data"]["target"]["held_out"]) == (len(truth), 0)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["oracle/target_test_accuracy"]["n"] == 6
    told(capfd, "predict", tmp_path / "run", target, "--out", tmp_path / "labels.csv")
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 1 + len(truth)


@pytest.mark.usefixtures("quick")
def test_a_broken_csv_in_an_unlabelled_target_is_told_and_refuses_nothing(tmp_path, capfd):
    source, target = write_source(tmp_path / "lab", 40), tmp_path / "tar"
    write_target(target, 40)
    (target / "labels.csv").write_bytes(b"image_name,label\n000.png,\xc3\x28\n")
    words = ("--source", source, "--target", target, *SMALL, "--images", 32, "--size", 28, "--out", tmp_path / "run")
    assert main.main([str(word) for word in ("train", "adapt", *words)]) == 0
    said = capfd.readouterr()
    assert "note: tar: labels are left out:" in said.err and "warning: tar: labels are left out:" in said.out
    assert "line 2 that are no text in UTF-8" in said.err
    assert "oracle/target_test_accuracy" not in json.loads((tmp_path / "run" / "results.json").read_text())


@pytest.mark.usefixtures("quick")
def test_the_encoding_of_labels_is_remembered_by_the_run(tmp_path, capfd):
    """Both domains' labels in GBK: trained, continued and evaluated with the classes that were written."""
    names = ("\u732b", "\u72d7")
    for folder, seed in (("lab", 0), ("tar", 1)):
        tiny.write_flat(tmp_path / folder, seed)
        pictures = sorted(path.name for path in (tmp_path / folder).glob("*.png"))
        rows = "".join(f"{name},{names[number % 2]}\n" for number, name in enumerate(pictures))
        (tmp_path / folder / "labels.csv").write_bytes(f"image_name,label\n{rows}".encode("gbk"))
    words = ("train", "adapt", "--source", tmp_path / "lab", "--target", tmp_path / "tar", *SMALL, "--images", 32)
    words = (*words, "--size", 28, "--out", tmp_path / "run")
    assert "in line 3 that are no text in UTF-8" in refused(capfd, *words, last_line=True)
    told(capfd, *words, "--encoding", "gbk", "--no-evaluate")
    config = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert config["classes"] == sorted(names) and config["preset"]["fields"]["encoding"] == "gbk"
    told(capfd, "evaluate", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["oracle/target_test_accuracy"]["n"] > 0
    assert "did you mean 'gbk'" in refused(capfd, "data", "check", tmp_path / "lab", "--encoding", "gbkk")
    sheet = ("--out", tmp_path / "sheet.png")
    assert names[0] in told(capfd, "data", "check", tmp_path / "lab", "--size", 28, "--encoding", "cp936", *sheet)


# --- pictures of one's own ------------------------------------------------------------------------------------------


def sheets(run):
    return {Path(entry["file"]).stem: entry for entry in RunFolder(run).read("evaluation.json").get("pictures", [])}


def test_ones_own_pictures_are_shown_by_what_is_said_of_them(adapted, run, tmp_path):
    """The surest and the least sure of each class, those in two minds, the nearest source pictures; no label needed."""
    api.evaluate(run, draw=False)
    shown = sheets(run)
    assert {"surest", "least-sure", "contested", "nearest"} <= set(shown)
    rows = api.predict(run, adapted[0] / "unlabelled")
    counts = Counter(label for _, label, _ in rows)
    classes = RunFolder(run).config["classes"]
    assert shown["surest"]["caption"].endswith(", ".join(f"{name} ({counts[name]:,})" for name in classes) + ".")
    assert len(shown["surest"]["real"]["target"]) == sum(min(8, counts[name]) for name in classes)
    assert len(shown["contested"]["under"]) == 10 and all("%" in words for words in shown["contested"]["under"])
    page = write_page([run], tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("What each class looks like to the model") < page.index("Every setting, with its origin")


def test_private_pictures_are_not_left_in_the_run(adapted, run, capfd):
    api.evaluate(run)
    assert sheets(run) and list((run / "samples").glob("*.png"))
    told(capfd, "evaluate", run, "--no-pictures")
    assert sheets(run) == {} and not list((run / "samples").glob("*.png"))
    assert RunFolder(run).read("evaluation.json")["tsne"] is not None, "a map of points is no picture"
