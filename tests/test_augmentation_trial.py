"""Which augmentations a source bears, measured on it alone; and what a run keeps of that."""

import json

import pytest
import tiny
import torch

from genshift.data import ImageSet, pack
from genshift.runs.folder import RunFolder
from genshift.training import augmentation_trial
from genshift.training.augmentation_trial import AUGMENTATIONS, trials

SIDE = 16


@pytest.fixture
def short(monkeypatch):
    """An eighth of the steps, in a network that is as narrow as these pictures need, and half the pictures held out."""
    for name, value in {"STEPS": 240, "WIDTH": 8, "FOLDS": 2}.items():
        monkeypatch.setattr(augmentation_trial, name, value)


def noise(count, seed):
    return torch.randint(0, 60, (count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def arrows(count=240):
    """Grey triangles that point to the left or to the right, anywhere."""
    images, labels = noise(count, 0), torch.arange(count) % 2
    place = torch.randint(0, 6, (count, 2), generator=torch.Generator().manual_seed(1)).tolist()
    for image, label, (top, left) in zip(images, labels.tolist(), place, strict=True):
        for column in range(8):
            half = (column if label else 7 - column) // 2
            image[:, top + 4 - half : top + 5 + half, left + column] += 150
    return ImageSet("arrows", images, labels, ("left", "right"))


def blobs(count=240):
    """One bright square or four small ones: the same in a mirror, at any angle, in any colour."""
    images, labels = noise(count, 2), torch.arange(count) % 2
    place = torch.randint(3, 6, (count, 2), generator=torch.Generator().manual_seed(3)).tolist()
    for image, label, (top, left) in zip(images, labels.tolist(), place, strict=True):
        if not label:
            image[:, top : top + 7, left : left + 7] += 150
            continue
        for down in (0, 6):
            for right in (0, 6):
                image[:, top + down : top + down + 2, left + right : left + right + 2] += 150
    return ImageSet("blobs", images, labels, ("one", "four"))


def colours(count=240):
    """Squares that are red, green or blue."""
    images, labels = noise(count, 4), torch.arange(count) % 3
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label, 4:12, 4:12] += 180
    return ImageSet("colours", images, labels, ("red", "green", "blue"))


def used(source):
    return {trial["augmentation"]: trial["used"] for trial in trials(source, AUGMENTATIONS)}


@pytest.mark.usefixtures("short")
def test_what_tells_classes_apart_is_not_augmented_away():
    """Arrows bear no mirror and no turn, but any colour; colours bear a mirror and any turn; blobs bear it all."""
    assert used(arrows()) == {"flip": False, "rotate": False, "order": True, "invert": True}
    assert used(colours()) == {"flip": True, "rotate": True, "order": False, "invert": False}
    assert used(blobs()) == {"flip": True, "rotate": True, "order": True, "invert": True}


@pytest.mark.usefixtures("short")
def test_every_one_of_few_pictures_is_held_out_once_and_the_same_figures_come_again():
    torch.manual_seed(5)
    first, threads = trials(arrows(60), AUGMENTATIONS[:1]), torch.get_num_threads()
    torch.manual_seed(6)
    assert trials(arrows(60), AUGMENTATIONS[:1]) == first and torch.get_num_threads() == threads
    assert first[0]["n"] == 60 and first[0]["without"] > 0.9
    assert not first[0]["used"] and "not mirrored (--flip 0.5)" in first[0]["why"]


@pytest.mark.usefixtures("short")
def test_a_source_that_was_not_learnt_bears_nothing():
    unlearnable = ImageSet("noise", noise(80, 7), torch.arange(80) % 2, ("a", "b"))
    told = trials(unlearnable, AUGMENTATIONS)
    assert not any(trial["used"] for trial in told) and "learnt too little to tell" in told[0]["why"]


@pytest.fixture
def two_sets(tmp_path):
    for name, images in (("source", blobs(80)), ("target", blobs(60))):
        pack(images, tmp_path / name / "train")
    return tmp_path / "source", tmp_path / "target"


SMALL = {"width": 4, "size": SIDE, "validation": 0.1}


@pytest.mark.usefixtures("quick", "short")
def test_a_run_keeps_what_was_measured_and_measures_once(two_sets, tmp_path, monkeypatch, capfd):
    """What the user gave is not measured; a continued run takes what stands in config.json, to the same bits."""
    measured = []
    real = augmentation_trial.trials
    monkeypatch.setattr(augmentation_trial, "trials", lambda *given: measured.append(given) or real(*given))
    preset = tiny.tiny("adapt", two_sets, **SMALL, rotate=3.0)
    assert tiny.train(preset, tmp_path / "whole")
    assert "Pictures are mirrored (--flip 0.5): in a short training" in capfd.readouterr().err
    config = RunFolder(tmp_path / "whole").whole_config
    fields, origins = config["preset"]["fields"], config["preset"]["origins"]
    assert (fields["flip"], fields["rotate"], fields["strong_recolour"]) == (0.5, 3.0, 0.5)
    assert origins["flip"] == "measured by a short training" and origins["rotate"] == "yours"
    assert [trial["augmentation"] for trial in config["augmentation"]] == ["flip", "order", "invert"]
    stop = tiny.StopAt(12)
    assert not tiny.train(preset, tmp_path / "run", observers=[stop]) and len(measured) == 2
    assert tiny.train(preset, tmp_path / "run") and len(measured) == 2
    assert tiny.different(tiny.last(tmp_path / "whole"), tiny.last(tmp_path / "run")) == []
    words = ("--source", two_sets[0], "--target", two_sets[1], "--width", 4, "--size", SIDE, "--validation", 0.1)
    words = (*words, "--batch-source", 4, "--batch-target", 4, "--precision", "float32", "--images", 24)
    said = tiny.refused(capfd, "train", "adapt", *words, "--rotate", 3, "--flip", 0, "--out", tmp_path / "run")
    assert "begun with --flip 0.5, not 0.0" in said


@pytest.mark.usefixtures("quick", "short")
def test_nothing_is_measured_where_all_is_given(two_sets, tmp_path):
    preset = tiny.tiny("adapt", two_sets, **SMALL, augment="given")
    assert tiny.train(preset, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "augmentation" not in config and config["preset"]["fields"]["flip"] == 0
