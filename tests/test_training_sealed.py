"""The target's labels: out of training's reach, whatever is done to them."""

import json
from dataclasses import replace

import pytest
import tiny
import torch

from genshift import api, device
from genshift.data import ImageSet, open_packed, pack
from genshift.evaluation.adaptation import warnings_of
from genshift.runs.folder import RunFolder
from genshift.runs.results import Measure
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.domains import Domains, open_domains
from genshift.training.train import Settings
from genshift.training.training_data import open_training_data

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("name", ["demo-source", "demo-dann", "hw3-dann-usps-mnistm"])
def test_training_sees_no_target_label(name, domains, tmp_path):
    preset = tiny.tiny(name, domains)
    seen = open_domains(preset, None)
    training_data = open_training_data(preset, None)
    assert seen.target.labels is None and seen.target.attributes is None
    assert seen.labelled.name == "digits-0" and seen.target.name == "digits-1"
    arithmetic = device.choose_arithmetic("float32", torch.device("cpu"))
    run = RunFolder(tmp_path / "run")
    trainer = training.assemble(preset, run, training_data, Settings(), arithmetic, World(), Console(False))
    batch = trainer.feed.at(0)
    assert all(part.images.labels is None for name, part in trainer.feed.parts.items() if name == "target")
    assert batch["source"].y is not None
    assert "target" not in batch or batch["target"].y is None
    assert trainer.held_out.name == "digits-0"
    sets = reachable_sets(trainer)
    assert {each.name for each in sets} == ({"digits-0", "digits-1"} if "target" in batch else {"digits-0"})
    assert all((each.labels is None) == (each.name == "digits-1") for each in sets)


def reachable_sets(root):
    """Every image set that a walk over attributes and containers finds."""
    found, seen, stack = [], set(), [root]
    while stack:
        thing = stack.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, ImageSet):
            found.append(thing)
        elif isinstance(thing, dict):
            stack += thing.values()
        elif isinstance(thing, list | tuple):
            stack += thing
        elif hasattr(thing, "__dict__") and type(thing).__module__.startswith("genshift"):
            stack += vars(thing).values()
    return found


def test_domains_are_sealed_by_construction(domains):
    """Even a set that was opened with labels loses them on its way into training."""
    opened = open_domains(tiny.tiny("demo-dann", domains), None)
    assert isinstance(opened, Domains)
    assert opened.target.sealed().labels is None and opened.held_out.labels is not None


def relabelled(folder, seed):
    """Gives both parts of a packed set other labels, on disk."""
    for part in ("train", "test"):
        images = open_packed(folder / part)
        labels = torch.randint(0, 10, (len(images),), generator=torch.Generator().manual_seed(seed))
        pack(replace(images, images=images.images.clone(), labels=labels), folder / part)


@pytest.mark.parametrize("name", ["demo-dann", "hw3-dann-usps-mnistm", "hw3-source-usps-mnistm"])
def test_wrong_target_labels_change_no_weight(name, tmp_path):
    """Through the whole verb, evaluator and all: other labels on disk, the same bits in every checkpoint."""
    places = tiny.write_domain(tmp_path / "one", 0), tiny.write_domain(tmp_path / "two", 1)
    preset = tiny.tiny(name, places)
    for run in ("true", "false"):
        assert api.train(preset, tmp_path / run, images=24)
        relabelled(places[1], seed=3)
    true, false = tmp_path / "true", tmp_path / "false"
    assert tiny.different(tiny.last(true), tiny.last(false)) == []
    assert tiny.different(tiny.best(true), tiny.best(false)) == []
    assert tiny.weights(true) == tiny.weights(false)
    confusion = [json.loads((run / "evaluation.json").read_text())["confusion"] for run in (true, false)]
    assert confusion[0] != confusion[1], "the labels were not read at all, so this test shows nothing"


def test_an_observer_cannot_steer(domains, tmp_path):
    """What it returns, the gradients it makes and the modes it sets change nothing."""

    def evil(images, method):
        torch.manual_seed(images)
        torch.rand(100)
        answers = method.predict(tiny.digits(8, 9).images)
        return float(answers.max()) * 1e9

    preset = tiny.tiny("demo-dann", domains)
    tiny.train(preset, tmp_path / "alone")
    tiny.train(preset, tmp_path / "watched", observers=[evil])
    assert tiny.different(tiny.last(tmp_path / "alone"), tiny.last(tmp_path / "watched")) == []
    assert tiny.different(tiny.best(tmp_path / "alone"), tiny.best(tmp_path / "watched")) == []


def test_oracle_figures_are_written_apart_under_their_name(domains, tmp_path):
    api.train(tiny.tiny("demo-dann", domains), tmp_path / "run", images=24)
    run = RunFolder(tmp_path / "run")
    assert [row["images"] for row in run.rows("oracle.jsonl")] == [12, 24]
    assert not any("target" in key for row in run.rows() for key in row)
    measures = run.read("results.json")
    assert {name for name in measures if "target" in name} == {"oracle/target_test_accuracy"}
    known = {"value", "std", "n", "protocol", "floor", "data", "checkpoint", "interval"}
    assert all(set(result) <= known for result in measures.values())


@pytest.mark.parametrize(("adapted", "warns"), [(0.2, True), (0.5, False), (0.9, False)])
def test_the_evaluator_warns_where_adaptation_did_harm(adapted, warns, domains, tmp_path):
    """Against the source-only run of the same study, task and seed in the same folder, found by itself."""
    for role in ("source", "dann"):
        api.train(tiny.tiny(f"demo-{role}", domains), tmp_path / role, images=4)
    key = "oracle/target_test_accuracy"
    source = RunFolder(tmp_path / "source")
    source.write("results.json", {**source.read("results.json"), key: Measure(0.5, 20, "made up").as_json()})
    preset = tiny.tiny("demo-dann", domains)
    warnings = warnings_of(RunFolder(tmp_path / "dann"), preset, {key: Measure(adapted, 20, "made up")})
    assert ("below source-only's 50.00%" in "".join(warnings)) is warns
    bound = {key: Measure(0.1, 20, "made up")}
    assert warnings_of(source, tiny.tiny("demo-source", domains), bound) == []
