"""In a notebook a training is one display that changes, and few lines beside it."""

import builtins
import sys
from types import ModuleType

import pytest
import tiny

import genshift
from genshift.training.console import Console


class Handle:
    """What IPython's `display` returns: it counts what it was shown."""

    def __init__(self, shown):
        self.shown = [shown]

    def update(self, shown, raw):
        assert raw
        self.shown.append(shown)


@pytest.fixture
def displays(monkeypatch):
    """A notebook: every display that is made in it."""
    made = []

    def display(shown, raw, display_id):
        assert raw and display_id
        made.append(Handle(shown))
        return made[-1]

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    shell = type("ZMQInteractiveShell", (), {})  # rich knows a notebook by this name
    monkeypatch.setattr(builtins, "get_ipython", shell, raising=False)
    return made


@pytest.mark.usefixtures("quick")
def test_progress_is_one_display_that_is_updated(displays, domains, tmp_path, capfd):
    source, target = map(str, domains)
    small = {"batch_source": 4, "batch_target": 4, "images": 80, "precision": "float32", "width": 8}
    small |= {"validation": 0.25, "select": "last", "evaluate": False, "log": tmp_path / "log.txt"}
    run = genshift.train("dann", tmp_path / "run", source=source, target=target, **small)
    assert run.finished and len(displays) == 1
    texts = [shown["text/plain"] for shown in displays[0].shown]
    assert len(texts) >= 20 + 2, "a reading a step, and the checks"
    assert "80 of 80 images" in texts[-1] and "held-out source_accuracy" in texts[-1]
    assert all(len(text.splitlines()) <= 2 for text in texts)
    said = capfd.readouterr()
    assert said.out == "" and len(said.err.splitlines()) <= 6 and "held-out" not in said.err
    assert "held-out source_accuracy" in (tmp_path / "log.txt").read_text()


def test_a_console_that_is_silent_shows_nothing(displays, capfd):
    console = Console(False)
    console.row(4, 8, 1.0, {"loss": 0.5})
    console.validation(4, {"accuracy": 0.5, "error": 0.1})
    console.say("a line")
    assert displays == [] and capfd.readouterr() == ("", "")


def test_elsewhere_nothing_of_ipython_is_asked_for(domains, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)  # importing it fails
    assert tiny.train(tiny.tiny("demo-source", domains), tmp_path / "run")
