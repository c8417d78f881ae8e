"""Choosing a checkpoint without target labels, through the real entry points, on tiny runs."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from tiny import refused, told

from genshift import api
from genshift.cli import main
from genshift.data import open_packed, pack
from genshift.errors import Refusal
from genshift.evaluation import evaluate
from genshift.evaluation.options import EvaluationOptions
from genshift.runs import files
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import load_networks, open_run, preset_of
from genshift.selection import checkpoint_selection
from genshift.training import train as training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds of DANN and one of source-only, two candidates each: (folder of runs, source, target)."""
    root = tmp_path_factory.mktemp("selection")
    domains = tiny.write_domain(root / "one", 0), tiny.write_domain(root / "two", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKS", 2)
        patch.setattr(files, "_sync", lambda path: None)
        for name, seed in (("source", 0), ("dann", 0), ("dann", 1)):
            preset = tiny.tiny(f"demo-{name}", domains, validation=0.5)
            assert api.train(preset, root / "runs" / f"{name}-{seed}", images=24, seed=seed)
    return root / "runs", *domains


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the first adapted run, alone in its folder."""
    return shutil.copytree(trained[0] / "dann-0", tmp_path / "runs" / "dann")


def scores(run):
    return json.loads((run / "scores.json").read_text())


def prefer(run, place):
    """Rewrites the scores so that the rule snd takes the checkpoint at `place`."""
    written = scores(run)
    for other, row in enumerate(written["checkpoints"]):
        row["snd"] = float(other == place)
    (run / "scores.json").write_text(json.dumps(written))
    return written["checkpoints"][place]["checkpoint"]


# --- scores ---------------------------------------------------------------------------------------------------------


def test_a_training_scores_its_checkpoints_as_its_own_validation_did(trained):
    run = trained[0] / "dann-0"
    written = scores(run)
    validated = {
        row["images"]: row["valid/source_accuracy"] for row in tiny.rows(run) if "valid/source_accuracy" in row
    }
    assert {row["images"]: row["source_accuracy"] for row in written["checkpoints"]} == validated
    assert [row["images"] for row in written["checkpoints"]] == [12, 24]
    assert written["n"] == {"held_out": 20, "source": 20, "target": 40}
    for row in written["checkpoints"]:
        assert row["information"] == pytest.approx(row["diversity"] - row["entropy"])
        share = row["source_accuracy"]
        assert row["source_error"] == pytest.approx((share * (1 - share) / 20) ** 0.5)
    assert not (trained[0] / "source-0" / "scores.json").exists()


def test_a_candidate_is_the_averaged_networks_as_the_checks_saw_them(trained):
    run = RunFolder(trained[0] / "dann-0")
    last = tiny.last(run.path)
    kept = tiny.load_file(run.candidates()[-1])
    averages = {name.removeprefix("average/"): value for name, value in last.items() if name.startswith("average/")}
    assert averages and {name.removeprefix("network/").replace("/", ".") for name in kept} == set(averages)
    for name, value in kept.items():
        assert torch.equal(value, averages[name.removeprefix("network/").replace("/", ".", 1)])


@pytest.mark.parametrize("checks", [20, 19, 2, 1])
def test_at_most_ten_candidates_are_kept_evenly_spread(checks, tmp_path):
    """The numbered checkpoint of a check comes after its observers; only those before it are known to last."""
    run, total = RunFolder(tmp_path / "run"), 1000
    run.create()
    run.write("config.json", {"preset": {}, "seed": 0, "images": total})
    method = SimpleNamespace(networks={"extractor": torch.nn.Linear(1, 1)}, phases=(0.0,))
    for check in range(1, checks + 1):
        count = total * check // checks
        checkpoint_selection.keeper(run)(count, method)
        (run.checkpoints / f"images-{count:012d}.safetensors").touch()
    kept = [checkpoint_selection.images_of(path) for path in run.candidates()]
    assert len(kept) == min(checks, 10) and kept[-1] == total
    assert max(np.diff([0, *kept])) <= max(total // checks + 1, 2 * total // 10)


def test_where_a_phase_begins_candidates_lie_closer(tmp_path):
    run, phases, batch, total = RunFolder(tmp_path / "run"), (0.0, 0.4), 10, 20_000
    run.create()
    run.write("config.json", {"preset": {}, "seed": 0, "images": total})
    method = SimpleNamespace(networks={"extractor": torch.nn.Linear(1, 1)}, phases=phases)
    marks = set(training._marks(phases, total, batch, total // 20))
    assert marks == {8_000, 8_040, 8_080, 8_160, 8_320, 8_640}
    for count in sorted(marks | set(range(1_000, total + 1, 1_000))):
        checkpoint_selection.keeper(run)(count, method)
        (run.checkpoints / f"images-{count:012d}.safetensors").touch()
    kept = {checkpoint_selection.images_of(path) for path in run.candidates()}
    assert set(range(2_000, total + 1, 2_000)) | marks <= kept
    assert max(kept - marks - set(range(2_000, total + 1, 2_000))) <= 16_000 + 1_000 and len(kept) <= 20


def test_agreement_is_with_the_mean_of_all_candidates_of_all_runs(trained):
    """Against predictions taken anew, one model at a time."""
    folders = [RunFolder(trained[0] / name) for name in ("dann-0", "dann-1")]
    target, said = open_packed(trained[2] / "train").images, []
    order = torch.from_numpy(checkpoint_selection.fixed_sample(40, checkpoint_selection.IMAGES, 0))
    for folder in folders:
        method = open_run(folder, "last").method
        for path in folder.candidates():
            load_networks(method, path)
            said.append(method.predict(target[order]).numpy())
    named = sum(said).argmax(1)
    expected = [float(np.mean(each.argmax(1) == named)) for each in said]
    found = api.select([folder.path for folder in folders], rule="ensv")
    assert [row["agreement"] for row in found["candidates"]] == expected
    assert expected[found["choices"]["ensv"]] == max(expected)
    (folders[0].path / "selection.json").unlink(missing_ok=True)
    (folders[1].path / "selection.json").unlink(missing_ok=True)


def test_no_target_label_and_no_test_split_is_in_reach(trained, tmp_path):
    """Garbage for labels in the target's training split, none in any test split: the same scores, to the last bit."""
    runs = shutil.copytree(trained[0], tmp_path / "runs")
    source, target = trained[1:]
    before = (runs / "dann-0" / "scores.json").read_text()
    hidden = [shutil.copytree(place, tmp_path / place.name) for place in (source, target)]
    try:
        images = open_packed(target / "train")
        pack(replace(images, images=images.images.clone(), labels=(images.labels * 7 + 3) % 10), target / "train")
        for place in (source, target):
            shutil.rmtree(place / "test")
        (runs / "dann-0" / "scores.json").unlink()
        api.select(runs / "dann-0")
    finally:
        for place, copy in zip((source, target), hidden, strict=True):
            shutil.rmtree(place)
            shutil.copytree(copy, place)
    assert (runs / "dann-0" / "scores.json").read_text() == before
    data = checkpoint_selection.open_scoring_data(_preset(trained), None)
    assert all(isinstance(part, torch.Tensor) for part in vars(data).values())


def _preset(trained):
    return preset_of(RunFolder(trained[0] / "dann-0").config)


def test_what_source_only_knew_is_recorded_with_scores_and_evaluation(trained):
    validated = [
        row["valid/source_accuracy"] for row in tiny.rows(trained[0] / "source-0") if "valid/source_accuracy" in row
    ]
    for name, expected in (("dann-0", validated[-1]), ("dann-1", None)):  # the second seed has no source-only run
        for file in ("scores.json", "evaluation.json"):
            assert json.loads((trained[0] / name / file).read_text())["source_only_accuracy"] == expected
    assert "source_only_accuracy" not in json.loads((trained[0] / "source-0" / "evaluation.json").read_text())


# --- the choice -----------------------------------------------------------------------------------------------------


def test_predict_embed_and_evaluate_use_the_chosen_checkpoint(run, trained, capfd, tmp_path):
    pictures = trained[2]
    later = api.embed(run, pictures)
    assert evaluate.is_current(RunFolder(run), EvaluationOptions(draw=False))
    name = prefer(run, 0)
    said = told(capfd, "select", run, "--rule", "snd")
    assert "the rule 'snd' takes the checkpoint of 12 images" in said
    choice = json.loads((run / "selection.json").read_text())
    assert (choice["rule"], choice["checkpoint"], choice["images"]) == ("snd", name, 12)
    opened = open_run(run, "last")
    method, classes = opened.method, opened.classes
    load_networks(method, run / "checkpoints" / name)
    images = open_packed(pictures / "train").images
    assert np.array_equal(api.embed(run, pictures), method.embed(images).numpy())
    assert not np.array_equal(api.embed(run, pictures), later)
    told(capfd, "predict", run, pictures, "--out", tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels == [classes[k] for k in method.predict(images).argmax(1)]
    assert not evaluate.is_current(RunFolder(run), EvaluationOptions(draw=False))
    results = api.evaluate(run, draw=False)
    assert "of 12 images, which the rule 'snd' chose" in results["oracle/target_test_accuracy"]["protocol"]
    assert evaluate.is_current(RunFolder(run), EvaluationOptions(draw=False))


def test_the_table_has_a_row_a_candidate_and_says_who_takes_it(trained, capfd):
    runs = [trained[0] / name for name in ("dann-0", "dann-1")]
    found = json.loads(told(capfd, "select", *runs, "--json"))
    lines = told(capfd, "select", *runs).splitlines()
    assert lines[0].split()[:4] == ["run", "images", "source", "acc"] and len(found["candidates"]) == 4
    for place, line in enumerate(lines[2:6]):
        row = found["candidates"][place]
        assert line.startswith(row["run"]) and f"{row['dev_risk']:.4f}" in line
        assert line.endswith("(out)") is (place not in found["above_floor"])
        for rule, chosen in found["choices"].items():
            assert (rule in line.split(f"{row['diversity']:.4f}")[-1]) is (chosen == place)
    assert found["run"] == found["candidates"][found["choices"]["default"]]["run"]
    written = [(run / "selection.json").exists() for run in runs]
    assert written == [str(run) == found["run"] for run in runs], "the choice stands in its own run alone"
    for run in runs:
        (run / "selection.json").unlink(missing_ok=True)


def test_a_warning_where_every_checkpoint_lost_what_source_only_knows(run, trained, capfd):
    beside = shutil.copytree(trained[0] / "source-0", run.parent / "source")
    with (beside / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"images": 99, "valid/source_accuracy": 1.0}) + "\n")
    written = scores(run)
    for row in written["checkpoints"]:
        row |= {"source_accuracy": 0.5, "source_error": 0.1}
    (run / "scores.json").write_text(json.dumps(written))
    assert "warning: Adaptation probably harms" in told(capfd, "select", run)
    assert json.loads((run / "selection.json").read_text())["source_only_accuracy"] == 1.0


def test_scores_of_other_checkpoints_are_measured_again(run):
    prefer(run, 0)
    api.select(run)
    (run / "checkpoints" / "candidate-000000000012.safetensors").unlink()
    found = api.select(run, rule="snd")
    assert [row["images"] for row in found["candidates"]] == [24] and scores(run)["checkpoints"][0]["snd"] > 1.0


def test_a_run_that_trains_on_forgets_its_choice(domains, tmp_path, quick):
    preset = tiny.tiny("demo-dann", domains, validation=0.5).replaced(images=24)
    out, asked = tmp_path / "run", EvaluationOptions(draw=False)
    stop = training.Settings(observers=[tiny.StopAt(12)])
    assert not tiny.train_and_evaluate(preset, out, stop, asked)
    found = api.select(out)
    assert [row["images"] for row in found["candidates"]] == [12] and (out / "selection.json").exists()
    assert tiny.train_and_evaluate(preset, out, training.Settings(), asked)
    assert not (out / "selection.json").exists() and len(scores(out)["checkpoints"]) == 2


def test_through_the_command_line_on_the_embedded_pair(capfd, tmp_path, monkeypatch):
    """uci to uci-m, from training to a choice: every score is a number, and the longer learnt tells more apart."""
    monkeypatch.setattr(training, "CHECKS", 2)
    words = ("--images", 64, "--batch-source", 16, "--batch-target", 16, "--precision", "float32", "--threads", 1)
    told(capfd, "train", "demo-dann", *words, "--out", tmp_path / "run")
    found = json.loads(told(capfd, "select", tmp_path / "run", "--json"))
    first, last = found["candidates"]
    keys = ("source_accuracy", "information", "snd", "dev_risk", "agreement")
    assert np.isfinite([[row[key] for key in keys] for row in (first, last)]).all()
    assert last["information"] > first["information"]


# --- refusals -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_chosen_among_is_refused_in_a_sentence(trained, run, capfd, tmp_path):
    runs = trained[0]
    assert "is no adaptation (trained on" in refused(capfd, "select", runs / "source-0")
    assert "A run was named twice" in refused(capfd, "select", run, f"{run}/../dann")
    with pytest.raises(Refusal, match="No run was named"):
        api.select([])
    assert "did you mean 'ensv'" in refused(capfd, "select", run, "--rule", "ens")
    assert "has no config.json" in refused(capfd, "select", tmp_path)
    for place in ("é", tmp_path / "gone", "y" * 300):  # though the scores are there, and no picture is read
        assert f"There is nothing at --source {str(place)[:100]}" in refused(capfd, "select", run, "--source", place)
    other = shutil.copytree(run, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["data"]["target"]["n"] += 1
    (other / "config.json").write_text(json.dumps(config))
    assert "41 target images" in (said := refused(capfd, "select", run, other)) and "candidates of one task" in said
    shutil.rmtree(run / "checkpoints")
    assert "has no checkpoint yet" in refused(capfd, "select", run)


def test_a_source_that_held_nothing_out_is_refused(domains, tmp_path, capfd, quick):
    preset = tiny.tiny("demo-dann", domains, validation=0.0)
    assert api.train(preset, tmp_path / "run", images=8)
    assert "--validation 0, which holds fewer than 2" in refused(capfd, "select", tmp_path / "run")


def test_a_chosen_checkpoint_that_is_gone_is_refused(run, capfd, tmp_path):
    api.select(run, rule="last")
    (run / "checkpoints" / "candidate-000000000024.safetensors").unlink()
    said = refused(capfd, "predict", run, tmp_path, "--out", tmp_path / "labels.csv")
    assert "candidate-000000000024.safetensors, which is gone: run `genshift select` again" in said
    with pytest.raises(Refusal, match="is gone"):
        api.evaluate(run)
    assert main.main(["select", str(run)]) == 0
