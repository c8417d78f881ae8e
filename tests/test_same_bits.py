"""Trained weights are those that were recorded, to the last bit, where the machine is of the class that recorded them.

`benchmarks/same_bits.py` trains them, compares whole checkouts, and records anew where a change is meant.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "same_bits.py"
RECORD = json.loads((Path(__file__).parent / "recorded_bits.json").read_text("utf-8"))


def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("same_bits", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["same_bits"] = module  # where dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


same_bits = script()


@pytest.fixture(scope="module", autouse=True)
def of_this_class():
    """Other processors, and other versions of torch, round otherwise."""
    here = {"machine": same_bits.machine(), "torch": same_bits.torch_version()}
    if other := [f"{RECORD[key]}, and this is {value}" for key, value in here.items() if RECORD[key] != value]:
        pytest.skip(f"the bits were recorded with {'; with '.join(other)}")


@pytest.mark.parametrize("name", RECORD["bits"])
def test_weights_are_those_recorded(name, tmp_path, quick):
    try:
        assert same_bits.recorded_run(name, tmp_path / "run") == RECORD["bits"][name]
    finally:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_every_run_is_recorded_and_every_record_has_a_reason():
    assert list(RECORD["bits"]) == list(same_bits.RECORDED)
    assert all(entry["why"] and set(entry["presets"]) <= set(same_bits.RECORDED) for entry in RECORD["reason"])
    assert {name for entry in RECORD["reason"] for name in entry["presets"]} == set(same_bits.RECORDED)


def test_nothing_is_recorded_without_a_reason(tmp_path):
    words = [sys.executable, str(SCRIPT), "--record", "demo-dann", "--work", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--why" in done.stderr


def test_what_differs_is_told_section_by_section():
    base = {"found": {"weights": {"a": "1", "b": "2"}, "log": [{"loss": 0.5}], "last": "x"}}
    new = {"found": {"weights": {"a": "1", "b": "3", "c": "4"}, "log": [{"loss": 0.25}], "last": "x"}}
    assert same_bits.difference(base, base) == []
    assert same_bits.difference(base, new) == [
        "weights: 2 of 2 differ, first b: 2 → 3",
        "log: 1 of 2 differ, first 0 loss: 0.5 → 0.25",
    ]
    more = {"found": {**base["found"], "log": [{"loss": 0.5, "mood": "good"}]}}
    assert same_bits.difference(base, more) == [] and same_bits.additions(base, more) == ["log mood"]
    assert same_bits.difference(more, base) == ["log: 1 of 3 differ, first 0 mood: good → absent"]
    refused = {"error": "Refusal: no."}
    assert same_bits.difference(refused, dict(refused)) == []
    assert same_bits.difference(refused, new) == ["base: Refusal: no. | new: runs"]
