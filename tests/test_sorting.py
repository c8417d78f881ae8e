"""`predict --sort`: pictures in the folders of their classes, doubtful ones apart, nothing lost or overwritten."""

import os
import shutil

import pytest
import tiny
from tiny import refused, told

import genshift
from genshift.data import load
from genshift.runs.sorting import LONGEST, Names, Sorter, safe_names

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sorting")
    source, target = tiny.write_classes(folder / "source", 0, 40), tiny.write_flat(folder / "target", 1, 20)
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten_the_probe(patch.setattr)
        small = {"batch_source": 4, "batch_target": 4, "precision": "float32"}
        genshift.train("demo-dann", folder / "run", source=source, target=target, images=40, evaluate=False, **small)
    return folder / "run"


def contents(folder):
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_copies_in_class_folders(run, tmp_path, capfd):
    pictures = tiny.write_flat(tmp_path / "in", 1, 20)
    said = told(capfd, "predict", run, pictures, "--sort", tmp_path / "out", "--out", tmp_path / "labels.csv")
    assert f"{tmp_path / 'out'}: 20 copies in class folders." in said
    for name, label, _ in genshift.predict(run, pictures):
        copy = tmp_path / "out" / label / name
        assert copy.read_bytes() == (pictures / name).read_bytes() and not copy.is_symlink()
        assert copy.stat().st_mtime == (pictures / name).stat().st_mtime
    assert contents(tmp_path / "out") == contents(pictures)
    assert (tmp_path / "labels.csv").read_text().startswith("image_name,label,confidence\n")


def test_doubtful_ones_lie_apart(run, tmp_path, capfd):
    pictures = tiny.write_flat(tmp_path / "in", 1, 20)
    rows = genshift.predict(run, pictures)
    least = sorted(row[2] for row in rows)[8]
    said = told(capfd, "predict", run, pictures, "--sort", tmp_path / "out", "--least", repr(least), "--link")
    assert "12 links in class folders, and 8 below" in said
    for name, label, confidence in rows:
        link = tmp_path / "out" / ("sure" if confidence >= least else "doubtful") / label / name
        assert link.is_symlink() and link.resolve() == (pictures / name).resolve()
    if len({row[1] for row in rows if row[2] >= least}) > 1:  # what is sure reads as labelled pictures
        assert len(load(tmp_path / "out" / "sure", size=28).classes) > 1


def test_names_that_collide_or_are_odd(run, tmp_path, capfd):
    """Pictures of one name in several folders, and of names that differ in case alone, all arrive."""
    pictures = tmp_path / "in"
    tiny.write_classes(pictures, 1, 30)  # 0/000.png to 9/029.png
    one = sorted(pictures.rglob("*.png"))
    for number, path in enumerate(one):
        path.rename(path.with_name(("same.png", "SAME.png", "a'b\"c ü\n.png")[number % 3]))
    told(capfd, "predict", run, pictures, "--sort", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(pictures)
    names = [path.name.casefold() for path in (tmp_path / "out").rglob("*.png")]
    assert any(name == "same-2.png" for name in names)


def test_an_archive_and_one_picture(run, tmp_path, capfd):
    pictures = tiny.write_flat(tmp_path / "in", 1, 6)
    archive = shutil.make_archive(str(tmp_path / "in"), "zip", pictures)
    told(capfd, "predict", run, archive, "--sort", tmp_path / "a")
    assert contents(tmp_path / "a") == contents(pictures)
    assert "leave --link out" in refused(capfd, "predict", run, archive, "--sort", tmp_path / "b", "--link")
    told(capfd, "predict", run, pictures / "003.png", "--sort", tmp_path / "c")
    assert contents(tmp_path / "c") == [(pictures / "003.png").read_bytes()]


def test_what_is_refused(run, domains, tmp_path, capfd):
    pictures = tiny.write_flat(tmp_path / "in", 1, 4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    asked = ["predict", run, pictures]
    assert "holds other files" in refused(capfd, *asked, "--sort", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"
    assert "lies among the pictures" in refused(capfd, *asked, "--sort", pictures / "out")
    assert "is a file: name a folder" in refused(capfd, *asked, "--sort", pictures / "000.png")
    assert "between 0 and 1, not 2" in refused(capfd, *asked, "--sort", tmp_path / "o", "--least", 2)
    assert "least says how pictures are sorted" in refused(capfd, *asked, "--out", tmp_path / "x.csv", "--least", 0.5)
    assert "Nothing is to be written" in refused(capfd, *asked)
    for other in ("uci", domains[0]):
        assert "files of yours" in refused(capfd, "predict", run, other, "--sort", tmp_path / "o", last_line=True)
    assert not (tmp_path / "o").exists() and not (tmp_path / "x.csv").exists()


@tiny.POSIX
def test_a_copy_that_fails_leaves_nothing(run, tmp_path, capfd, monkeypatch):
    pictures, copy = tiny.write_flat(tmp_path / "in", 1, 4), shutil.copyfile
    places = []

    def failing(origin, place):
        places.append(place)
        if len(places) == 3:
            raise OSError(28, "No space left on device")
        return copy(origin, place)

    monkeypatch.setattr(shutil, "copyfile", failing)
    assert "the disk is full" in refused(capfd, "predict", run, pictures, "--sort", tmp_path / "out", last_line=True)
    assert os.listdir(tmp_path) == ["in"]


def test_folders_that_every_file_system_takes():
    odd = [
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        "con",
        "Con.x",
        "x. ",
        ".hidden",
        "cat",
        "CAT",
        "é",
        "e\u0301",
        "tab\there",
        "a" * 400,
    ]
    names = safe_names(odd)
    assert names[:9] == ["a-b", "a-b-2", "_", "_-2", "_-3", "_con", "_Con.x", "x", "_.hidden"]
    assert names[9:14] == ["cat", "CAT-2", "é", "e\u0301-2", "tab-here"] and len(names[14]) == LONGEST
    assert len({name.casefold() for name in names}) == len(odd)
    taken = Names()
    assert [taken.free(name) for name in ("x.png", "x.png", "x-2.png", "X.PNG")] == [
        "x.png", "x-2.png", "x-2-2.png", "X-3.PNG",
    ]  # fmt: skip


def test_arrays_have_no_files(tmp_path):
    with pytest.raises(genshift.Refusal, match="files of yours"):
        Sorter(tmp_path / "out", [1, 2])
