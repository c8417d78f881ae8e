"""Facts of the real data sets, where they lie on this machine."""

import os
import time
from pathlib import Path

import pytest
import torch

from genshift.data import build_mnistm, check_domains, describe, load

ROOT = Path(os.environ.get("GENSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")
pytestmark = pytest.mark.skipif(not (ROOT / "mnist").is_dir(), reason="no real data on this machine")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))


def need(*names):
    if not all((ROOT / name).exists() for name in names):
        pytest.skip(f"{names} not on this machine")


def test_mnist():
    train, test = (load("mnist", split, data_root=ROOT) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 10_000) and train.notes == test.notes == ()
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    facts = describe(train)
    assert facts["mean"] == pytest.approx([0.1307], abs=1e-4) and facts["std"] == pytest.approx([0.3081], abs=1e-4)


def test_usps():
    need("usps")
    test = load("usps", "test", data_root=ROOT)
    assert test.labels.bincount().tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    assert test.images.shape == (2007, 1, 16, 16) and test.notes == ()
    assert len(load("usps", data_root=ROOT)) == 7291


def test_svhn():
    need("svhn")
    train = load("svhn", data_root=ROOT, size=28)
    assert train.images.shape[1:] == (3, 28, 28) and train.labels.unique().tolist() == list(range(10))
    bars = train.labels.bincount() / len(train)
    assert bars.argmax() == 1 and bars[1] == pytest.approx(0.19, abs=0.02), "ones are the most frequent house digits"
    if len(train) != 73_257:
        assert "the published set has 73,257" in " ".join(train.notes)


def test_celeba():
    need("celeba")
    faces = load("celeba", "test", data_root=ROOT, size=64, limit=200)
    assert faces.images.shape == (200, 3, 64, 64) and faces.attributes.shape == (200, 40)
    assert 0.3 < faces.attribute("Male").float().mean() < 0.6
    whole = load("celeba", "test", data_root=ROOT, size=8)
    if len(whole) == 500:
        assert "first 4,500 (90 %) are train" in " ".join(whole.notes)


def test_built_mnistm_is_like_the_published(tmp_path):
    need("mnist_m", "bsds500")
    start = time.perf_counter()
    folder = build_mnistm(ROOT / "bsds500", data_root=ROOT)
    assert time.perf_counter() - start < 60
    built, published = load(folder), load(ROOT / "mnist_m" / "mnist_m.tar.gz", size=28)
    assert len(built) == 60_000 and len(load(folder, "test")) == 10_000
    assert torch.equal(built.labels[: len(published)], published.labels), "both follow MNIST's order"
    ours, theirs = describe(built), describe(published)
    assert ours["mean"] == pytest.approx(theirs["mean"], abs=0.02)
    assert ours["std"] == pytest.approx(theirs["std"], abs=0.02)
    ink = load("mnist", data_root=ROOT, limit=len(published)).images[:, 0] > 0
    for images in (built.images[: len(published)], published.images):
        edge = (images[:, :, 14, 1:].int() - images[:, :, 14, :-1].int()).abs().float()
        crossing = (ink[:, 14, 1:] != ink[:, 14, :-1])[:, None].expand_as(edge)
        assert edge[crossing].mean() > 5 * edge[~crossing].mean(), "the digit stands out at its rim, and only there"
    assert check_domains(load("mnist", data_root=ROOT, colour="rgb", limit=500), built.sealed()) == []


def test_published_mnistm_is_the_recipe_with_a_binary_digit():
    """Where MNIST has faint ink beside none, the published pixels are 255 − photo, not |photo − ink|."""
    need("mnist_m")
    published = load(ROOT / "mnist_m" / "mnist_m.tar.gz", size=28).images.int()
    digits = load("mnist", data_root=ROOT, limit=len(published)).images.int()
    faint = (digits > 0) & (digits < 100)
    beside = torch.zeros_like(faint)
    beside[..., 1:] = digits[..., :-1] == 0
    here = (faint & beside)[:, 0]
    photo = published.roll(1, -1)  # the neighbour without ink shows the photo itself
    binary = (255 - published - photo).abs().permute(0, 2, 3, 1)[here].float().mean()
    grey = ((photo - digits).abs() - published).abs().permute(0, 2, 3, 1)[here].float().mean()
    assert binary < 15 < 60 < grey
