"""What docs/architecture.md says of the rooms is true, and a method's step is six frames from the command line."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import tiny

import genshift
from genshift.cli import main

SOURCE = Path(genshift.__file__).parent
DOCUMENT = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")


def rooms():
    """The rooms in the order of the document's table, those of a row on one floor."""
    table = DOCUMENT.partition("| room | what lives there |")[2].partition("\n\n")[0]
    return [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]


def imported(path):
    """The rooms of genshift that a file imports when it runs, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(child) for node in checked for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped and (node.module or "").startswith("genshift"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name.split(".")[1] for name in names)


def test_every_room_is_there_and_every_folder_is_a_room():
    named = [room for floor in rooms() for room in floor]
    assert len(named) == len(set(named))
    there = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    there |= {path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")}
    assert set(named) == there


def test_a_room_imports_only_those_above_it():
    floors = {room: place for place, floor in enumerate(rooms()) for room in floor}
    wrong = [
        (str(path.relative_to(SOURCE)), other)
        for path in SOURCE.rglob("*.py")
        for other in imported(path)
        if (room := path.relative_to(SOURCE).parts[0].removesuffix(".py")) in floors
        and floors.get(other, 0) > floors[room]
    ]
    assert wrong == []


def test_every_room_has_a_page_of_prose():
    for room in (room for floor in rooms() for room in floor):
        path = SOURCE / room / "__init__.py"
        text = ast.get_docstring(ast.parse((path if path.exists() else SOURCE / f"{room}.py").read_text("utf-8")))
        assert text and len(text) > (200 if path.exists() else 40), room


@pytest.mark.parametrize(
    "name",
    [
        *("presets.FAMILIES", "nets._BUILDERS", "methods.BUILT_IN", "evaluation.evaluate.FAMILIES"),
        *("report.contents.SECTIONS", "training.training_data.open_training_data", "presets.named"),
        *("methods.class_of", "runs.trained_run.open_run", "presets.Sampling", "evaluation.evaluate.evaluate"),
    ],
)
def test_what_the_document_names_is_there(name):
    assert name.rpartition(".")[2] in DOCUMENT
    module, _, attribute = f"genshift.{name}".rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_every_file_that_the_document_names_is_there():
    for path in re.findall(r"`((?:[a-z_]+/)+[\w.]+\.py)`", DOCUMENT):
        assert (SOURCE / path).exists() or (SOURCE.parents[1] / path).exists(), path


def test_every_hook_that_the_document_names_is_there():
    from genshift.evaluation.generation import LatentGeneratorEvaluation
    from genshift.methods.base import ClassifierMethod, LatentGeneratorMethod
    from genshift.presets import Preset

    table = DOCUMENT.partition("| of | hooks |")[2].partition("\n\n")[0].splitlines()[2:]
    of = (Preset, ClassifierMethod, ClassifierMethod, LatentGeneratorMethod, LatentGeneratorEvaluation)
    for line, kind in zip(table, of, strict=True):
        for name in re.findall(r"`(\w+)`", line.split("|")[2]):
            assert hasattr(kind, name) or name in kind.__mro__[-2].__annotations__, (kind, name)


METHOD = """
import sys
import genshift
from genshift.methods import DANN

FRAMES = []

@genshift.method("counting", like="dann", title="Counting", summary="{source} {target}")
class Counting(DANN):
    def step(self, batch, progress):
        frame, names = sys._getframe(), []
        while frame is not None:
            names.append(frame.f_globals["__name__"] + ":" + frame.f_code.co_name)
            frame = frame.f_back
        FRAMES.append(names)
        return super().step(batch, progress)
"""


@pytest.mark.usefixtures("quick", "forget_plugins")
def test_six_frames_from_the_command_line_to_a_step(domains, tmp_path, capfd):
    """Those of genshift, from `main` to `step`, both counted; the probe's steps have more."""
    (tmp_path / "counting.py").write_text(METHOD)
    sets = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4]
    words = ["train", "counting", *sets, "--images", 16, "--width", 8, "--out", tmp_path / "run", "--no-evaluate"]
    tiny.told(capfd, *words, "--plugin", tmp_path / "counting.py")
    plugin = next(module for name, module in sys.modules.items() if name.endswith("_counting"))
    steps = [names[: names.index(f"{main.__name__}:main") + 1] for names in plugin.FRAMES]
    of_genshift = [[name for name in names if name.startswith("genshift")] for names in steps]
    trained = [names for names in of_genshift if not any("probe" in name for name in names)]
    assert len(trained) == 4 and all(len(names) <= 6 for names in trained), trained
    documented = DOCUMENT.partition("| frame | file |")[2].partition("\n\n")[0].splitlines()[2:]
    functions = [re.findall(r"`(?:\w+\.)?(\w+)`", line)[0] for line in documented]
    assert [name.partition(":")[2] for name in reversed(trained[0])] == functions
