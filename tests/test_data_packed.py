"""Packed sets: the same images through a memory map, whole or not at all."""

import json
import os
import sys

import numpy as np
import pytest
import tiny
import torch
from data_files import cut, write_celeba, write_pictures

from genshift.data import check_set, load, open_packed, pack
from genshift.data.packed import verify_packed
from genshift.errors import Refusal


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


def test_what_is_not_whole_is_refused(packed):
    facts = json.loads((packed / "set.json").read_text())
    for change, words in (
        ("{", "no JSON"),
        (json.dumps(facts | {"format": 99}), "packed form 1"),
        (json.dumps(facts | {"classes": 3}), "lacks a good 'classes'"),
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


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no UTF-8")
def test_a_folder_whose_name_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"set\xe9")
    write_pictures(folder, 2)
    assert load(pack(load(folder, size=8), tmp_path / "packed")).name == folder.name


def test_a_place_that_is_taken_is_refused_before_pictures_are_read(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr("genshift.data.load", lambda *given, **more: pytest.fail("the set was read"))
    assert "exists and is no packed set" in tiny.refused(capfd, "data", "pack", "uci", "--out", tmp_path)
