"""MNIST-M as genshift builds it, and the embedded sets: recipe, determinism, disjointness."""

import io

import numpy as np
import pytest
import torch
from data_files import noise, write_mnist
from PIL import Image

from genshift.data import blend, build, build_mnistm, catalog, load
from genshift.data.files import open_files
from genshift.data.sets import uci
from genshift.errors import Refusal


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENSHIFT_DATA", raising=False)
    write_mnist(tmp_path)
    write_photos(tmp_path / "photos")
    return tmp_path


def write_photos(folder, count=6):
    folder.mkdir()
    for number in range(count):
        stream = io.BytesIO()
        Image.fromarray(noise(40 + number, 60)).save(stream, "PNG")
        (folder / f"{number}.png").write_bytes(stream.getvalue())
    return folder


def test_every_pixel_is_the_difference_of_a_patch_and_the_digit(root):
    files = open_files(root / "photos")
    folder = build_mnistm(root / "photos", data_root=root, seed=3)
    parts = build.split_photos(files.names, files, 3)
    for split in ("train", "test"):
        photos = [build._photo(files, name) for name in parts[split]]
        digits = load("mnist", split, data_root=root)
        built = load(folder, split)
        which, top, left = blend.draws(len(digits), [photo.shape[:2] for photo in photos], 3, split)
        for i in (0, 1, 7, len(digits) - 1):
            patch = photos[which[i]][top[i] : top[i] + 28, left[i] : left[i] + 28].transpose(2, 0, 1).astype(int)
            ink = 255 * (digits.images[i].numpy() > 0).astype(int)
            assert np.array_equal(built.images[i].numpy(), np.abs(patch - ink)), (split, i)
        assert torch.equal(built.labels, digits.labels) and built.classes == tuple("0123456789")


def test_photos_of_train_and_test_are_disjoint(root):
    files = open_files(root / "photos")
    parts = build.split_photos(files.names, files, 0)
    assert not set(parts["train"]) & set(parts["test"])
    assert sorted(parts["train"] + parts["test"]) == files.names and len(parts["test"]) == 2


def test_building_is_a_function_of_seed_and_index(root):
    one = build_mnistm(root / "photos", root / "one", root, seed=0)
    two = build_mnistm(root / "photos", root / "two", root, seed=0)
    other = build_mnistm(root / "photos", root / "other", root, seed=1)
    few = build_mnistm(root / "photos", root / "few", root, seed=0, limit=9)
    prints = [load(folder).fingerprint() for folder in (one, two, other)]
    assert prints[0] == prints[1] != prints[2]
    assert torch.equal(load(few).images, load(one).images[:9]), "an image does not depend on how many there are"


def test_draws_stay_the_same_in_every_version():
    which, top, left = blend.draws(3, [(40, 60), (50, 70)], 0, "train")
    assert (which.tolist(), top.tolist(), left.tolist()) == ([0, 1, 0], [5, 6, 1], [9, 34, 0])


def test_a_built_set_is_cached_rebuilt_on_change_and_wins_over_the_archive(root, monkeypatch):
    folder = build_mnistm(root / "photos", data_root=root)
    assert folder == root / "cache" / "mnistm"
    stamp = (folder / "train" / "images.npy").stat().st_mtime_ns
    build_mnistm(root / "photos", data_root=root)
    assert (folder / "train" / "images.npy").stat().st_mtime_ns == stamp
    build_mnistm(root / "photos", data_root=root, seed=1)
    assert (folder / "train" / "images.npy").stat().st_mtime_ns != stamp
    (root / "mnist_m").mkdir()
    (root / "mnist_m" / "mnist_m.tar.gz").write_text("never read")
    images = load("mnistm", data_root=root)
    assert len(images) == 40 and "the set that genshift built is used" in images.notes[-1]
    assert load("mnistm", data_root=root, labels=False).labels is None
    assert load("mnistm", "test", data_root=root, size=32, limit=4).images.shape == (4, 3, 32, 32)


def test_a_build_that_fails_leaves_nothing(root, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "write_packed", fails)
    with pytest.raises(Refusal, match="the disk is full"):
        build_mnistm(root / "photos", root / "out", root)
    assert not (root / "out").exists() and not [p for p in root.iterdir() if p.name.startswith(".out")]


def test_what_cannot_be_built_from(root, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes((root / "photos" / "0.png").read_bytes())
    with pytest.raises(Refusal, match="holds 1 photo"):
        build_mnistm(tmp_path / "one", data_root=root)
    with pytest.raises(Refusal, match="no folder or archive"):
        build_mnistm(tmp_path / "none", data_root=root)
    Image.fromarray(noise(20, 60)).save(root / "photos" / "small.png")
    with pytest.raises(Refusal, match=r"small\.png is 60×20 pixels: expected 28×28 or more"):
        build_mnistm(root / "photos", data_root=root)
    (root / "photos" / "small.png").write_text("text")
    with pytest.raises(Refusal, match=r"small\.png is no photo"):
        build_mnistm(root / "photos", data_root=root)
    (root / "out").mkdir()
    (root / "out" / "thesis.txt").write_text("dear")
    (root / "photos" / "small.png").unlink()
    with pytest.raises(Refusal, match="exists and is no packed set"):
        build_mnistm(root / "photos", root / "out", root)
    assert (root / "out" / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("name", ["uci", "uci-m"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_embedded_sets(name, split):
    images = load(name, split)
    data = catalog.entry(name)
    assert images.images.shape == (data.published_counts[split], data.channels, *data.side)
    assert images.labels.bincount().min() >= (20 if split == "test" else 60)
    assert images.images.min() == 0 and images.images.max() == 255
    assert images.fingerprint() == load(name, split).fingerprint()
    assert load(name, split, labels=False).labels is None


def test_no_digit_stands_on_two_sides():
    sides = [(name, split) for name in ("uci", "uci-m") for split in ("train", "test")]
    rows = [uci.digit_rows(*side).tolist() for side in sides]
    assert sorted(row for side in rows for row in side) == list(range(1797))
    values, _ = uci.sklearn_digits()
    assert len(np.unique(values.reshape(1797, 64), axis=0)) == 1797, "nor does its twin"


def test_embedded_photos_are_disjoint():
    for train, test in zip(uci.photos("train"), uci.photos("test"), strict=True):
        assert train.shape[1] + test.shape[1] == 640 and min(train.shape[:2]) >= 28
