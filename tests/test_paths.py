"""Paths as users give them; and what the verbs make of strings, of one path for several, and of places to write to."""

import os
import sys
from pathlib import Path

import pytest
import tiny

import genshift
from genshift.errors import Refusal
from genshift.paths import given_path, given_paths, output_file, output_folder
from genshift.runs.folder import RunFolder
from genshift.training.train import Settings, train


@pytest.fixture(scope="module")
def run(domains, tmp_path_factory):
    """A finished run of two steps."""
    path = tmp_path_factory.mktemp("runs") / "run"
    train(tiny.tiny("demo-source", domains, images=8), path, Settings())
    return path


def test_a_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert given_path("~/x") == given_path(Path("~/x")) == tmp_path / "x"
    assert genshift.Run("~/x").path == tmp_path / "x"
    assert given_paths("~/x") == given_paths(["~/x"]) == [tmp_path / "x"]


@pytest.mark.parametrize(
    ("given", "says"),
    [("", "not nothing"), ("  ", "not nothing"), ("a\0b", "a NUL character"), ("~nobody-here/x", "not known here")],
)
def test_what_is_no_path(given, says):
    if given.startswith("~") and sys.platform == "win32":
        pytest.skip("Windows guesses the folders of other users")
    with pytest.raises(Refusal, match=says):
        given_path(given)


@tiny.POSIX
@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "--pictures", "~nobody-here/x", "--reference", "uci"),
        ("evaluate", "--pictures", "uci", "--reference", "~nobody-here/x"),
        ("data", "check", "~nobody-here/x"),
        ("train", "dann", "--source", "~nobody-here/x", "--target", "uci", "--out", "run"),
    ],
)
def test_every_command_says_that_a_home_folder_is_unknown(words, capfd):
    assert "names the home folder of a user who is not known here" in tiny.refused(capfd, *words, last_line=True)


@tiny.POSIX
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(Refusal, match=f"{place} is a pipe or a device, which would be replaced"):
            output_file(place)


def test_the_command_line_and_python_write_into_the_home_folder(run, tmp_path, monkeypatch, capfd):
    """As typed after an equals sign, where no shell reads it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tiny.told(capfd, "predict", run, "uci", "--split", "test", "--out=~/labels.csv")
    assert genshift.predict(str(run), "uci", "~/again.csv", split="test")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "labels.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.csv", "labels.csv"]


def test_one_path_is_a_list_of_one(run, tmp_path):
    rows = genshift.compare([run])
    assert rows and genshift.compare(str(run)) == genshift.compare(run) == genshift.compare(genshift.Run(run)) == rows
    assert genshift.report(str(run), str(tmp_path / "page.html")) == tmp_path / "page.html"


def test_one_value_of_a_sweep_is_a_list_of_one(run, monkeypatch):
    tried = []
    monkeypatch.setattr("genshift.evaluation.sweep.sweep", lambda run, features, axes, *more: tried.append(axes) or {})
    genshift.sweep(run, run, steps=5, samplers="ddim", guidance=(1.0, 2.0))
    assert (tried[0].steps, tried[0].samplers, tried[0].guidance) == ([5], ["ddim"], (1.0, 2.0))


def test_places_that_take_nothing_are_refused_before_any_work(run, tmp_path, monkeypatch):
    """Those that hold the answer: a file among the folders, a folder for the file, and for lack of permission."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("genshift.model.Model.read", lambda *given, **more: pytest.fail("pictures were read"))
    for verb in (genshift.predict, genshift.embed, genshift.reconstruct):
        with pytest.raises(Refusal, match=r"a part of the path is a file|is not empty"):
            verb(run, "uci", str(tmp_path / "file" / "x"))
    for verb in (genshift.predict, genshift.embed):
        with pytest.raises(Refusal, match="is a folder: name a file"):
            verb(run, "uci", tmp_path)
    with pytest.raises(Refusal, match="is a folder: name a file"):
        genshift.report(run, tmp_path)
    with pytest.raises(Refusal, match="is a file: name a folder"):
        output_folder(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda *given: False)  # root may write everywhere
    with pytest.raises(Refusal, match=r"while writing .*x: permission was denied; name a folder that you may write to"):
        output_file(tmp_path / "new" / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no UTF-8")
def test_a_run_folder_from_which_no_checkpoint_could_be_read(tmp_path, domains):
    with pytest.raises(Refusal, match="is no UTF-8, from which no checkpoint is read"):
        RunFolder(tmp_path / os.fsdecode(b"r\xe9n")).create()
    assert not list(tmp_path.iterdir())
