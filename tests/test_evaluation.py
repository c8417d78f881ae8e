"""The form of what an evaluation leaves, and that every family has one."""

import json

import pytest

from genshift import presets
from genshift.evaluation.evaluate import FAMILIES
from genshift.evaluation.family import FamilyEvaluation
from genshift.runs.folder import RunFolder
from genshift.runs.records import read_record
from genshift.runs.results import Measure, read_results, results_as_json


def test_every_family_of_presets_has_its_evaluation():
    assert set(FAMILIES) == set(presets.FAMILIES)
    assert all(isinstance(family, FamilyEvaluation) for family in FAMILIES.values())
    # None falls back on a `measure` that nobody wrote.
    assert all(type(family).measure is not FamilyEvaluation.measure for family in FAMILIES.values())


@pytest.mark.parametrize(
    ("measure", "entry"),
    [
        (Measure(0.5, 20, "how", 0.1), '{"value": 0.5, "std": 0.1, "n": 20, "protocol": "how"}'),
        (Measure(3, 1, "how"), '{"value": 3, "std": null, "n": 1, "protocol": "how"}'),
        (Measure(0.5, 9, "how", 0.1, 0.0), '{"value": 0.5, "std": 0.1, "n": 9, "protocol": "how", "floor": 0.0}'),
    ],
)
def test_a_measure_has_the_form_of_results_json_and_comes_back_from_it(measure, entry):
    assert json.dumps(measure.as_json()) == entry, "in this order, a floor only where there is one"
    assert Measure.from_json(json.loads(entry)) == measure


def test_results_are_read_as_they_were_written(tmp_path):
    run, results = RunFolder(tmp_path), {"b": Measure(1.0, 2, "x"), "a": Measure(2.0, 3, "y", 0.5, 0.25)}
    run.write("results.json", results_as_json(results))
    assert list(read_results(run).items()) == list(results.items()), "order included"


def test_an_entry_of_no_value_was_not_measured_and_older_ones_may_say_less(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"preset": {"name": "p"}, "seed": 0, "images": 1}))
    entries = {"fid": {"value": None, "std": None, "n": 5, "protocol": "x"}, "kid": {"value": 0.5}}
    (tmp_path / "results.json").write_text(json.dumps(entries))
    record = read_record(tmp_path)
    assert record.value("fid") is None and record.value("kid") == 0.5
    assert (record.floor("kid"), record.protocol("kid"), record.count("kid")) == (None, "", 0)
