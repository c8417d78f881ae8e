"""The catalog and the places where data is looked for: facts, search order, no torch."""

import subprocess
import sys
from pathlib import Path

import pytest
from data_files import write_mnist, write_svhn

from genshift.data import load, locate, roots
from genshift.data.catalog import CATALOG, entry
from genshift.errors import Refusal


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENSHIFT_DATA", raising=False)


def test_reading_the_catalog_imports_no_torch():
    code = (
        "import sys, genshift.data.catalog, genshift.data.places as p; p.locate('mnist'); p.roots();"
        "assert not {'torch', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("data", CATALOG.values(), ids=lambda data: data.name)
def test_every_entry_says_what_a_user_must_know(data):
    assert data.licence and data.terms.endswith(".") and data.title and data.rule
    assert set(data.splits) >= {"train", "test"}
    assert data.embedded or any(file.urls for file in data.files) or data.by_hand
    assert all(file.md5 is None or len(file.md5) == 32 for file in data.files)
    assert all(file.md5 for file in data.files if file.urls), "what is fetched is verified"


def test_published_counts():
    counts = {name: dict(entry(name).published_counts) for name in ("mnist", "usps", "svhn", "mnistm")}
    assert counts["mnist"] == counts["mnistm"] == {"train": 60_000, "test": 10_000}
    assert counts["usps"] == {"train": 7_291, "test": 2_007}
    assert counts["svhn"] == {"train": 73_257, "test": 26_032, "extra": 531_131}
    assert len(entry("celeba").attributes) == 40


def test_an_unknown_set_gets_the_nearest_name():
    with pytest.raises(Refusal, match="did you mean 'mnist'"):
        load("minst")
    with pytest.raises(Refusal, match="check the path"):
        load("./nowhere")
    with pytest.raises(Refusal, match=r"split 'tests'.*did you mean 'test'"):
        load("uci", "tests")


def test_search_order_is_argument_then_environment_then_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_DATA", str(tmp_path / "env"))
    with pytest.raises(Refusal, match=r"--data-root .*arg is no folder"):
        roots(tmp_path / "arg")
    (tmp_path / "arg").mkdir()
    assert roots(tmp_path / "arg") == [tmp_path / "arg", tmp_path / "env", tmp_path / "cache"]
    for place, count in (("cache", 3), ("env", 5), ("arg", 7)):
        write_mnist(tmp_path / place, train=count)
        assert len(load("mnist", data_root=tmp_path / "arg")) == count


def test_an_absent_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(Refusal, match=r"genshift data get svhn") as refusal:
        load("svhn", data_root=tmp_path / "mine")
    assert str(tmp_path / "mine") in str(refusal.value) and str(tmp_path / "cache") in str(refusal.value)
    with pytest.raises(Refusal, match=r"genshift data build mnistm --photos"):
        load("mnistm")
    with pytest.raises(Refusal, match="Align&Cropped"):
        load("celeba")


def test_locate_tells_what_lies_here(tmp_path):
    write_svhn(tmp_path)
    assert locate("svhn", tmp_path) == {
        "train": tmp_path / "svhn" / "train_32x32.mat",
        "test": tmp_path / "svhn" / "test_32x32.mat",
        "extra": None,
    }
    assert locate("uci") == {"train": Path("scikit-learn"), "test": Path("scikit-learn")}
    assert set(locate("celeba").values()) == {None}


def test_options_that_mean_nothing_are_refused():
    for options, words in (
        ({"size": 0}, "side 0"),
        ({"colour": "blue"}, "'rgb' or 'grey'"),
        ({"limit": 0}, "limit"),
    ):
        with pytest.raises(Refusal, match=words):
            load("uci", **options)
