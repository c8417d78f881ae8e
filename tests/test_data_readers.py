"""The readers of published formats: good files, and every way in which a file can be bad."""

import bz2
import gzip
import zipfile

import numpy as np
import pytest
import scipy.io
import torch
from data_files import (
    cut,
    idx_bytes,
    libsvm_text,
    mnistm_members,
    noise,
    png,
    write_celeba,
    write_mnist,
    write_svhn,
    write_tar,
    write_usps,
    write_zip,
)

from genshift.data import load
from genshift.errors import Refusal


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENSHIFT_DATA", raising=False)


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
def test_idx(tmp_path, packed):
    write_mnist(tmp_path, train=30, packed=packed)
    images = load("mnist", data_root=tmp_path)
    assert images.images.shape == (30, 1, 28, 28) and images.images.dtype == torch.uint8
    assert images.labels.tolist() == [n % 10 for n in range(30)] and images.labels.dtype == torch.int64
    assert images.classes == tuple("0123456789")
    assert ("not the published" in " ".join(images.notes)) == packed  # an unpacked file has no published checksum
    assert "published set has 60,000" in " ".join(images.notes)


def test_sealed_labels_are_not_even_read(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    assert load("mnist", data_root=tmp_path, labels=False).labels is None
    with pytest.raises(Refusal, match="not found"):
        load("mnist", data_root=tmp_path)


def idx_labels(values):
    return gzip.compress(idx_bytes(np.array(values)), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-images-idx3-ubyte.gz", b"", "no idx file|cut short"),
        ("train-images-idx3-ubyte.gz", b"hello there", "cut short or damaged"),
        ("train-images-idx3-ubyte.gz", gzip.compress(b"hello there, no idx", mtime=0), "first bytes are 68 65 6c 6c"),
        (
            "train-images-idx3-ubyte.gz",
            gzip.compress(idx_bytes(np.zeros((40, 28, 28)))[:-5], mtime=0),
            "expected 31,360",
        ),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx_bytes(np.zeros((0, 28, 28))), mtime=0), "no image"),
        ("train-labels-idx1-ubyte.gz", idx_labels([1] * 39), "39 labels for the 40 images"),
        ("train-labels-idx1-ubyte.gz", idx_labels([1] * 39 + [12]), "label 12 at image 39: expected 0 to 9"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(np.zeros((40, 2))), mtime=0), "1 dimension:"),
    ],
)
def test_bad_idx(tmp_path, name, content, words):
    path = write_mnist(tmp_path) / name
    path.write_bytes(content)
    with pytest.raises(Refusal, match=words) as refusal:
        load("mnist", data_root=tmp_path)
    assert str(path) in str(refusal.value)


def test_libsvm(tmp_path):
    write_usps(tmp_path, train=20)
    images = load("usps", data_root=tmp_path)
    assert images.images.shape == (20, 1, 16, 16)
    assert images.images[0].flatten()[[0, 255]].tolist() == [0, 255]
    assert images.images[0, 0, 0, 1] == round((2 / 255) / 2 * 255)
    assert images.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert load("usps", data_root=tmp_path, labels=False).labels is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bz2.compress(libsvm_text(3, high=2.0)), "values from -1 to 2"),
        (bz2.compress(libsvm_text(3, first=0)), "label 0 in line 1: expected 1 to 10"),
        (bz2.compress(libsvm_text(3)[:-40]), "middle of a line|cut short"),
        (bz2.compress(b"1 300:0.5\n"), "indices 1 to 256"),
        (bz2.compress(b"these are words\n"), "cut short or damaged"),
        (bz2.compress(b""), "no image|cut short"),
        (b"BZh9 and then nothing", "whole bzip2 file"),
    ],
)
def test_bad_libsvm(tmp_path, content, words):
    (write_usps(tmp_path) / "usps.bz2").write_bytes(content)
    with pytest.raises(Refusal, match=words):
        load("usps", data_root=tmp_path)


def test_truncated_bz2(tmp_path):
    cut(write_usps(tmp_path) / "usps.bz2")
    with pytest.raises(Refusal, match=r"usps\.bz2 is cut short"):
        load("usps", data_root=tmp_path)


def test_svhn(tmp_path):
    write_svhn(tmp_path, count=20)
    path = tmp_path / "svhn" / "train_32x32.mat"
    x = scipy.io.loadmat(path)["X"]
    images = load("svhn", data_root=tmp_path)
    assert images.images.shape == (20, 3, 32, 32)
    assert np.array_equal(images.images[7].numpy(), x[..., 7].transpose(2, 0, 1))
    assert images.labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert load(str(path), limit=3).labels.tolist() == [1, 2, 3]
    with pytest.raises(Refusal, match="extra images"):
        load("svhn", "extra", data_root=tmp_path)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.6, 0.999])
def test_truncated_mat(tmp_path, share):
    path = cut(write_svhn(tmp_path) / "train_32x32.mat", share)
    with pytest.raises(Refusal) as refusal:
        load("svhn", data_root=tmp_path)
    assert str(path) in str(refusal.value)


def test_bad_mat(tmp_path):
    folder = write_svhn(tmp_path, labels=np.full(20, 11))
    with pytest.raises(Refusal, match="label 11 at image 0: expected 1 to 10"):
        load("svhn", data_root=tmp_path)
    write_svhn(tmp_path, labels=np.full(19, 1))
    with pytest.raises(Refusal, match="19 labels y for 20 images"):
        load("svhn", data_root=tmp_path)
    scipy.io.savemat(folder / "train_32x32.mat", {"Z": np.zeros(3)})
    with pytest.raises(Refusal, match="no variable X"):
        load("svhn", data_root=tmp_path)
    (folder / "train_32x32.mat").write_text("no matlab at all, and a good deal of text")
    with pytest.raises(Refusal, match="MATLAB file"):
        load("svhn", data_root=tmp_path)


def test_mnistm_archive_and_folder_agree(tmp_path):
    members = mnistm_members()
    write_tar(tmp_path / "a" / "mnist_m" / "mnist_m.tar.gz", members)
    for name, data in members.items():
        path = tmp_path / "b" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    archive = load("mnistm", "test", data_root=tmp_path / "a")
    folder = load("mnistm", "test", data_root=tmp_path / "b")
    assert archive.images.shape == (6, 3, 32, 32) and archive.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert archive.fingerprint() == folder.fingerprint()
    assert "not the published" in " ".join(archive.notes) and "no set that genshift built" in " ".join(archive.notes)
    assert torch.equal(
        load("mnistm", "test", data_root=tmp_path / "a", size=28).images, archive.images[..., 2:30, 2:30]
    )


def test_sealed_mnistm_reads_no_labels_file(tmp_path):
    members = {name: data for name, data in mnistm_members().items() if not name.endswith(".txt")}
    path = write_tar(tmp_path / "mnist_m.tar.gz", members)
    assert load(path, labels=False).labels is None
    with pytest.raises(Refusal, match=r"holds no mnist_m/mnist_m_train_labels\.txt"):
        load(path)


LISTING = "mnist_m/mnist_m_train_labels.txt"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"../evil.png": b"x"}, r"'\.\./evil\.png' that points outside"),
        ({"mnist_m/../../evil.png": b"x"}, "points outside"),
        ({"/etc/evil.png": b"x"}, "points outside"),
        ({LISTING: b"00000000.png 12\n"}, "line 1: expected a picture's name and a label from 0 to 9"),
        ({LISTING: b"00000000.png 1\n"}, "names 1 pictures.*expected the 6"),
        ({LISTING: b"99999999.png 1\n"}, r"names mnist_m/mnist_m_train/99999999\.png, which is not there"),
        ({"mnist_m/mnist_m_train/00000003.png": b"text"}, r"00000003\.png is no picture"),
        ({"mnist_m/mnist_m_train/00000003.png": png(noise())[:400]}, r"00000003\.png is no picture"),
        ({"mnist_m/mnist_m_train/00000003.png": png(noise(30, 32))}, "differ in size"),
    ],
)
def test_bad_mnistm(tmp_path, change, words):
    path = write_tar(tmp_path / "mnist_m.tar.gz", mnistm_members() | change)
    with pytest.raises(Refusal, match=words):
        load(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mnist_m.tar.gz"], "nothing is unpacked"


def test_tar_with_a_link_is_refused(tmp_path):
    path = write_tar(tmp_path / "mnist_m.tar.gz", mnistm_members(), links={"mnist_m/link.png": "/etc/passwd"})
    with pytest.raises(Refusal, match=r"'mnist_m/link\.png', a link or device"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_tar(tmp_path, share):
    path = cut(write_tar(tmp_path / "mnist_m.tar.gz", mnistm_members()), share)
    with pytest.raises(Refusal, match="cut short or damaged") as refusal:
        load(path)
    assert "\\n" not in str(refusal.value), "tarfile's reason has five lines"


def test_zip_members_outside_and_truncated_zip_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"../a.png": png(noise())})
    with pytest.raises(Refusal, match="points outside"):
        load(path)
    cut(write_zip(path, {"a.png": png(noise())}))
    with pytest.raises(Refusal, match="expected a zip archive"):
        load(path)


def test_celeba(tmp_path):
    write_celeba(tmp_path, count=10)
    train, test = (load("celeba", split, data_root=tmp_path) for split in ("train", "test"))
    assert train.images.shape == (9, 3, 109, 89) and test.images.shape == (1, 3, 109, 89)
    assert train.attributes.shape == (9, 40) and train.attributes.dtype == torch.uint8
    assert train.attributes[0, :3].tolist() == [1, 0, 1] and train.attribute_names[3] == "A3"
    assert test.attributes[0, :3].tolist() == [0, 1, 0], "file 10 of 10, whose first attribute is absent"
    assert "first 9 (90 %) are train and the last 1 (10 %) test" in " ".join(train.notes)
    assert not any("not read" in note for note in train.notes)
    with pytest.raises(Refusal, match="no split 'valid' here: 10 of the 202,599"):
        load("celeba", "valid", data_root=tmp_path)
    sealed = load("celeba", data_root=tmp_path, size=16, labels=False)
    assert sealed.images.shape == (9, 3, 16, 16) and sealed.attributes is None
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("000003.jpg 0\n000004.jpg 2\n000005.jpg 1\n")
    assert [len(load("celeba", split, data_root=tmp_path)) for split in ("train", "valid", "test")] == [1, 1, 1]
    with zipfile.ZipFile(tmp_path / "celeba" / "img_align_celeba.zip", "a") as archive:
        archive.writestr("img_align_celeba/film.mp4", b"0")
    assert "celeba: not read: 1 of .mp4." in load("celeba", data_root=tmp_path).notes


@pytest.mark.parametrize("partition", [False, True])
def test_celeba_as_kaggle_gives_it(tmp_path, partition):
    """CSV lists, and the pictures one folder deeper: the same set, by a root and by its own path."""
    published = write_celeba(tmp_path / "published", count=12)
    kaggle = tmp_path / "kaggle" / "celeba-dataset"
    with zipfile.ZipFile(published / "img_align_celeba.zip") as archive:
        archive.extractall(kaggle / "img_align_celeba")
    (_, names, *rows) = (published / "list_attr_celeba.txt").read_text().splitlines()
    lines = [f"image_id,{','.join(names.split())}", *(",".join(row.split()) for row in rows)]
    (kaggle / "list_attr_celeba.csv").write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    if partition:
        parts = [(f"{n:06}.jpg", n % 3) for n in range(1, 13)]
        (published / "list_eval_partition.txt").write_text("".join(f"{name} {part}\n" for name, part in parts))
        text = "".join(f"{name},{part}\n" for name, part in parts)
        (kaggle / "list_eval_partition.csv").write_text(f"image_id,partition\n{text}")
    for split in ("train", "valid", "test") if partition else ("train", "test"):
        ours, theirs = (load("celeba", split, data_root=folder.parent, size=16) for folder in (published, kaggle))
        assert ours.fingerprint() == theirs.fingerprint() and ours.attribute_names == theirs.attribute_names
        by_path = load(kaggle, split, size=16)
        assert (by_path.name, by_path.fingerprint()) == ("celeba", ours.fingerprint())
        assert not any("names" in note for note in theirs.notes)


def test_celeba_is_cropped_by_fraction(tmp_path):
    for name, (height, width) in {"whole": (218, 178), "half": (109, 89)}.items():
        face = np.full((height, width, 3), 255, np.uint8)
        side = round(width * 108 / 178)
        top, left = (height - side) // 2, (width - side) // 2
        face[top : top + side, left : left + side] = 50
        write_celeba(tmp_path / name, count=2)
        write_zip(tmp_path / name / "celeba" / "img_align_celeba.zip", {f"{n:06}.jpg": png(face) for n in (1, 2)})
        images = load("celeba", data_root=tmp_path / name, size=64).images
        assert images.unique().tolist() == [50], name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no list of attributes"),
        ("1\nA B\n000001.jpg 1 -1 1\n", "line 3 gives 3 values"),
        ("1\n", "no list"),
    ],
)
def test_bad_attributes(tmp_path, text, words):
    (write_celeba(tmp_path) / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(Refusal, match=words):
        load("celeba", data_root=tmp_path)


def test_attributes_without_their_names_or_an_image(tmp_path):
    path = write_celeba(tmp_path) / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["10", "10", *lines[2:]]))
    images = load("celeba", data_root=tmp_path)
    assert images.attribute_names[20] == "Male" and "40 published names" in " ".join(images.notes)
    path.write_text("\n".join(lines[:-9]))
    with pytest.raises(Refusal, match=r"no line for 00000\d\.jpg"):
        load("celeba", data_root=tmp_path)


def test_a_file_of_no_known_format(tmp_path):
    (tmp_path / "data.parquet").write_text("x")
    with pytest.raises(Refusal, match="no data set that genshift reads"):
        load(tmp_path / "data.parquet")


def test_the_folder_of_a_catalog_set_may_be_named_itself(tmp_path):
    write_mnist(tmp_path, train=7)
    assert len(load(tmp_path / "mnist")) == 7 and load(str(tmp_path / "mnist")).name == "mnist"
