"""Packed sets: the same images through a memory map, whole or not at all."""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from data_files import cut, write_celeba, write_pictures

from genshift.data import ImageSet, bounds, check_set, dataset, load, open_packed, pack, room
from genshift.data.catalog import entry
from genshift.data.packed import replacing, verify_packed
from genshift.errors import Refusal
from genshift.temporary import temporary_name
from genshift.training.domains import evaluation_split


@pytest.fixture
def packed(tmp_path):
    return pack(load("uci-m", "test"), tmp_path / "set")


def test_a_packed_set_is_the_same_set_on_a_map(packed):
    images, mapped = load("uci-m", "test"), open_packed(packed)
    assert mapped.fingerprint() == images.fingerprint() and mapped.classes == images.classes
    assert torch.equal(mapped.labels, images.labels)
    places = torch.tensor([150, 3, 3, 0])
    assert torch.equal(mapped.take(places).images, images.images[places])
    assert torch.equal(load(packed, "train", size=14).images, load("uci-m", "test", size=14).images)
    assert load(packed, labels=False).labels is None and len(load(packed, limit=7)) == 7


def test_the_images_stay_in_the_file(packed, tmp_path):
    """What the file says later, the tensor says too: so nothing was copied into memory."""
    mapped = load(packed)
    array = np.lib.format.open_memmap(packed / "images.npy", mode="r+")
    array[0] = 123
    array.flush()
    assert (mapped.images[0] == 123).all() and (mapped.take(torch.tensor([0])).images == 123).all()
    with pytest.raises(Refusal, match="fingerprint"):
        verify_packed(packed)
    with pytest.raises(Refusal, match="changed or damaged since"):
        check_set(packed)


def test_attributes_and_notes_survive(tmp_path):
    write_celeba(tmp_path)
    faces = load("celeba", data_root=tmp_path, size=16)
    mapped = open_packed(pack(faces, tmp_path / "faces"))
    assert torch.equal(mapped.attributes, faces.attributes) and mapped.notes == faces.notes
    assert mapped.attribute_names == faces.attribute_names and mapped.labels is None
    assert torch.equal(load(tmp_path / "faces", limit=3).attribute("A3"), faces.attribute("A3")[:3])
    assert load(tmp_path / "faces", labels=False).attributes is None
    np.save(tmp_path / "faces" / "attributes.npy", 1 - faces.attributes.numpy())
    with pytest.raises(Refusal, match="fingerprint"):
        verify_packed(tmp_path / "faces")


def test_one_packed_set_has_no_part_to_test_on(packed):
    """Else training images would be measured on as if they were held out."""
    with pytest.raises(Refusal, match="one packed set without a part 'test': pack that into set/test"):
        load(packed, "test")
    pack(load("uci-m", "test"), packed.parent / "both" / "test")
    assert len(load(packed.parent / "both", "test")) == len(load(packed))


def test_a_set_without_labels(tmp_path):
    images = load(write_pictures(tmp_path / "flat"))
    assert open_packed(pack(images, tmp_path / "set")).labels is None


def test_packing_again_replaces_but_never_someone_elses_folder(packed, tmp_path):
    pack(load("uci", "test"), packed)
    assert open_packed(packed).images.shape[1] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(Refusal, match="exists and is no packed set"):
            pack(load("uci", "test"), tmp_path / name)
    with pytest.raises(Refusal, match=r"a part of the path is a file|a file stands"):
        pack(load("uci", "test"), tmp_path / "file" / "set")


def test_packing_goes_on_where_a_killed_one_stopped(packed, tmp_path):
    """Killed while it wrote, between the two renames, before the last removal; and inside a folder of two splits."""
    files, whole = ("images.npy", "labels.npy"), {}
    for moment in ("writing", "renaming", "removing", "inside"):
        folder = packed / "train" if moment == "inside" else packed
        half = tiny.litter(folder, "new")
        half.mkdir(parents=True)
        (half / "images.npy").write_bytes(b"half")
        if moment == "renaming":
            packed.rename(tiny.litter(packed, "old"))
        if moment == "removing":
            shutil.copytree(packed, tiny.litter(packed, "old"))
        pack(load("uci-m", "test"), packed)
        whole = whole or {name: (packed / name).read_bytes() for name in files}
        assert {name: (packed / name).read_bytes() for name in files} == whole
        assert [path.name for path in tmp_path.iterdir()] == ["set"] and not list(packed.glob(".*"))


def test_a_pack_that_is_refused_after_a_kill_loses_nothing(packed):
    """Killed between the two renames: the old set gets its name back, whatever becomes of the new one."""
    packed.rename(tiny.litter(packed, "old"))
    with pytest.raises(RuntimeError, match="no memory"), replacing(packed, "set.json"):
        raise RuntimeError("no memory")
    verify_packed(packed)
    living = temporary_name(packed, "new")  # of a process that is not dead
    living.mkdir()
    pack(load("uci-m", "test"), packed.parent / "other")
    with replacing(packed.parent / "third", "set.json"):
        assert living.exists()


def test_what_is_not_whole_is_refused(packed):
    facts = json.loads((packed / "set.json").read_text())
    for change, words in (
        ("{", "not readable JSON"),
        (json.dumps(facts | {"format": 99}), "packed form 99 of a newer genshift, and this one reads 1: install that"),
        (json.dumps(facts | {"format": 0}), "packed form 1"),
        (json.dumps(facts | {"classes": 3}), "got `int` at classes"),
        (json.dumps(facts | {"shape": [1, 3, 28, 28]}), "expected uint8"),
    ):
        (packed / "set.json").write_text(change)
        with pytest.raises(Refusal, match=words):
            open_packed(packed)
    (packed / "set.json").write_text(json.dumps(facts))
    cut(packed / "images.npy")
    with pytest.raises(Refusal, match=r"images\.npy is cut short"):
        open_packed(packed)
    (packed / "images.npy").unlink()
    with pytest.raises(Refusal, match="does not exist"):
        open_packed(packed)


def test_pickles_are_never_opened(packed):
    np.save(packed / "images.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Refusal, match=r"images\.npy"):
        open_packed(packed)


def test_packed_parts_are_known_as_folders_are(tmp_path):
    """In any case and spelling; validation pictures are measured on where there are no others."""
    images = load("uci", "test")
    for name in ("Train", "val"):
        pack(images, tmp_path / name)
    train = load(tmp_path)
    told = ", ".join(f"{part}/ ({len(images)} pictures) is the {role}" for part, role in
                     (("Train", "training part"), ("val", "part to measure on")))  # fmt: skip
    assert train.notes[-1] == f"{tmp_path.name}: {told}."
    assert evaluation_split(str(tmp_path)) == "valid" and len(load(tmp_path, "valid")) == len(train)
    with pytest.raises(Refusal, match=r"no packed part 'test': it has Train, val; pack that into"):
        load(tmp_path, "test")
    pack(images, tmp_path / "Testing")
    assert evaluation_split(str(tmp_path)) == "test"
    assert f"val/ ({len(images)} pictures) is not used" in load(tmp_path).notes[-1]
    pack(images, tmp_path / "training")
    with pytest.raises(Refusal, match="holds Train and training, which name one part"):
        load(tmp_path)


def test_a_packed_part_of_another_spelling_is_checked(tmp_path):
    pack(load("uci", "test"), tmp_path / "Test")
    array = np.lib.format.open_memmap(tmp_path / "Test" / "images.npy", mode="r+")
    array[0] = 123
    array.flush()
    with pytest.raises(Refusal, match="changed or damaged since"):
        check_set(tmp_path, "test")


LIES = {
    "a label of no class": ("labels", lambda labels: labels + 1, "has the label 10 at image 180: expected 0 to 9"),
    "a label below 0": ("labels", lambda labels: labels - 1, "has the label -1 at image 0"),
    "another type": ("labels", lambda labels: labels.astype(np.float32), "holds float32"),
    "too few": ("labels", lambda labels: labels[:-1], r"expected int64 \(200,\)"),
}


@pytest.mark.parametrize("lie", LIES)
def test_labels_are_held_against_the_classes_when_a_set_is_opened(lie, packed):
    """Else a training ended with an index out of range."""
    name, change, words = LIES[lie]
    np.save(packed / f"{name}.npy", change(np.sort(np.load(packed / f"{name}.npy"))))
    for opened in (lambda: open_packed(packed), lambda: load(packed)):
        with pytest.raises(Refusal, match=words):
            opened()
    assert len(load(packed, labels=False)) == 200, "labels that nobody asks for are not read"


def test_attributes_and_names_are_checked_too(tmp_path):
    write_celeba(tmp_path)
    folder = pack(load("celeba", data_root=tmp_path, size=16), tmp_path / "faces")
    good = np.load(folder / "attributes.npy")
    np.save(folder / "attributes.npy", good + 1)
    with pytest.raises(Refusal, match=r"has the attribute 2 at image \d: expected 0 to 1"):
        open_packed(folder)
    np.save(folder / "attributes.npy", good)
    facts = json.loads((folder / "set.json").read_text())
    for change, words in (
        ({"attribute_names": ["A0"] * 40}, "names two attributes 'A0'"),
        ({"attribute_names": [3] * 40}, "at attribute_names"),
        ({"notes": [None]}, "at notes"),
        ({"shape": [9, 3, 16, 16.0]}, "at shape|lacks a good 'shape'"),
        ({"shape": [9, 2, 16, 16]}, "at shape|lacks a good 'shape'"),
        ({"shape": [True, 3, 16, 16]}, "at shape|lacks a good 'shape'"),
    ):
        (folder / "set.json").write_text(json.dumps(facts | change))
        with pytest.raises(Refusal, match=words):
            open_packed(folder)


def test_the_labels_of_a_set_from_outside_are_checked_as_well(monkeypatch):
    """A reader in a file of the user's may give anything."""
    for labels, words in (
        (torch.tensor([0, 7]), "has the label 7 at image 1"),
        (torch.zeros(2), "expected torch.int64"),
    ):
        given = ImageSet("mine", torch.zeros(2, 1, 8, 8, dtype=torch.uint8), labels, ("a", "b"))
        mine = replace(entry("uci"), name="mine", read=lambda location, options, given=given: given)
        monkeypatch.setitem(dataset._sets, "mine", mine)
        with pytest.raises(Refusal, match=f"mine {words}|mine has labels .*{words}"):
            load("mine")


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no UTF-8")
def test_a_folder_whose_name_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"set\xe9")
    write_pictures(folder, 2)
    assert load(pack(load(folder, size=8), tmp_path / "packed")).name == folder.name


def test_a_place_that_is_taken_is_refused_before_pictures_are_read(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr("genshift.data.load", lambda *given, **more: pytest.fail("the set was read"))
    assert "exists and is no packed set" in tiny.refused(capfd, "data", "pack", "uci", "--out", tmp_path)


def test_what_takes_much_of_memory_is_gathered_into_a_file(packed, tmp_path, monkeypatch):
    """Of a control group's limit, too: rows of a map larger than memory must not all come into it."""
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    expected = load("uci-m", "test").images[rows]
    made = []
    monkeypatch.setattr(room, "memory_bytes", lambda: 100_000)
    unnamed = tempfile.TemporaryFile
    monkeypatch.setattr(room.tempfile, "TemporaryFile", lambda **k: made.append(1) or unnamed(**k))
    assert torch.equal(load(packed).take(rows).images, expected) and made == [1]
    assert load(packed).fingerprint() == load("uci-m", "test").fingerprint() and made == [1]


@pytest.mark.parametrize(
    ("groups", "file"), [("0::/job/step", "job/memory.max"), ("4:memory:/job/step", "memory/job/memory.limit_in_bytes")]
)
def test_the_limit_of_a_control_group_bounds_memory(groups, file, tmp_path, monkeypatch):
    (tmp_path / "groups").write_text(f"9:cpu:/other\n{groups}\n")
    (tmp_path / "root" / file).parent.mkdir(parents=True)
    (tmp_path / "root" / file).write_text("1000000\n")
    monkeypatch.setattr(bounds, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(bounds, "GROUP_ROOT", tmp_path / "root")
    assert bounds.memory_bytes() == 1_000_000
    (tmp_path / "root" / file).write_text("max\n")
    assert bounds.memory_bytes() > 1_000_000
