"""JSON files of run folders that lie: each ends in one sentence that names the file, and hurts no run beside it."""

import json
import shutil

import pytest
import tiny
from report_fixtures import write_json, write_run
from report_pictures import write_diffusion, write_sweep, write_vae

from genshift.cli import main
from genshift.errors import Refusal
from genshift.evaluation.options import EvaluationOptions
from genshift.presets import get
from genshift.runs.find import source_only_accuracy
from genshift.runs.folder import RunFolder
from genshift.runs.forms import FORMS
from genshift.runs.trained_run import preset_of
from genshift.sampling.sampler_settings import swept
from genshift.training.train import Settings

GONE, DEEP, LONG = object(), "[" * 100_000, "9" * 6_000  # GONE: the key; the others as they stand in the file
RAW = ("", "{", "[1]", "3", "null", '"x"', DEEP, LONG, '{"a": ' * 100_000, b"\xff\xfe\x00", "[" * 400 + "]" * 400)
LIES = {
    "config.json": [
        *(("preset", lie) for lie in (GONE, "x", None, [], 3)),
        *(("seed", lie) for lie in (GONE, "0", float("inf"), 1.5, 2**64, 10**400, True, None)),
        *(("images", lie) for lie in (GONE, -1, "many", float("nan"), [])),
        *((f"preset.{key}", 3) for key in ("name", "study", "task", "role", "fields", "origins", "published")),
        *(("preset.fields.lr", lie) for lie in ([1], {"a": 1}, float("-inf"), 10**300)),
        *(("preset.published.target_accuracy", lie) for lie in ("x", None, 1e300)),
        *(("data", lie) for lie in ("x", {"source": 3}, {"source": {"n": -1}}, {"source": {"notes": 5}})),
        *((key, ["x"]) for key in ("genshift", "threads", "machine", "networks", "parameters", "environment")),
        ("genshift", "9" * 6_000),
        ("preset.name", GONE),
    ],
    "results.json": [
        *((f"source_test_accuracy{key}", lie) for key in ("", ".value", ".std", ".n") for lie in ("x", [], 1e300)),
        ("source_test_accuracy.value", GONE),
        ("source_test_accuracy.protocol", 3),
        ("source_test_accuracy.n", -1),
        ("source_test_accuracy.floor", "x"),
    ],
    "evaluation.json": [
        *((key, 3) for key in ("classes", "warnings", "confusion", "tsne", "pictures", "stages", "by_class")),
        *((f"tsne.{key}", lie) for key in ("x", "y", "label", "domain") for lie in ([], ["a"], GONE)),
        *(("confusion", lie) for lie in ([[1]], [[-1] * 10] * 10, [["a"]])),
        ("tsne.domain", [7] * 1000),
        ("source_only_accuracy", "high"),
        ("images", "all"),
    ],
    "metrics.jsonl": ["3\n{}", '{"images": "x"}', '{"images": -1}', '{"seconds": 1}', '{"images": 1, "train/loss": "x"}'],
    "oracle.jsonl": ['{"images": 1, "target_accuracy": [1]}', f'{{"images": {LONG}}}\n{{"images": 1}}'],
    "scores.json": [
        *((key, lie) for key in ("n", "checkpoints") for lie in (GONE, 3, "x", [3])),
        ("checkpoints", [{"images": 1}]),
        ("checkpoints.0.diversity", 1e9),
        ("checkpoints.0.checkpoint", "../../elsewhere.safetensors"),
        ("source_only_accuracy", [0.5]),
    ],
    "selection.json": [("images", "x"), ("rule", 3), ("checkpoint", "../x"), ("warnings", "x"), ("estimate", {"by": "x"})],
    "sweep.json": [
        *((key, "x") for key in ("images", "n", "rows", "best")),
        *((f"rows.1.{key}", lie) for key in ("sampling", "frechet", "evaluations", "axis") for lie in (GONE, [])),
        ("rows.1.sampling.guidance", "strong"),
        ("rows.1.sampling.sampler", GONE),
    ],
}


def lie(path, place, value):
    """Puts a lie into a JSON file."""
    content = json.loads(path.read_text())
    *outer, last = [int(key) if key.isdecimal() else key for key in place.split(".")]
    inner = content
    for key in outer:
        inner = inner[key]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A run of adaptation with scores and a choice, a diffusion model with a sweep, and a good one beside them."""
    root = tmp_path_factory.mktemp("honest")
    adapted = write_run(root, "own", "a→b", "dann", 0, 0.6, published={"target_accuracy": 0.5})
    row = {"images": 10_000, "checkpoint": "candidate-1.safetensors", "source_error": 0.0, "source_accuracy": 0.9}
    row |= {**dict.fromkeys(("entropy", "diversity", "class_entropy", "commonest", "information", "snd", "dev_risk", "agreement", "atc", "doc"), 0.5)}
    counts = {"held_out": 50, "source": 100, "target": 100}
    write_json(adapted / "scores.json", {"n": counts, "protocol": "x", "checkpoints": [row]})
    write_json(adapted / "selection.json", {"rule": "last", "checkpoint": row["checkpoint"], "images": 10_000})
    drawn = write_diffusion(root)
    write_sweep(drawn)
    return {"adapted": adapted, "drawn": drawn, "vae": write_vae(root), "good": write_run(root, "own", "a→b", "target", 0, 0.9)}


def cases():
    for name, lies in LIES.items():
        for raw in RAW:
            yield name, None, raw
        for entry in lies:
            yield (name, None, entry) if isinstance(entry, str) else (name, *entry)


def one_line(capfd, *argv):
    capfd.readouterr()
    status = main.main([str(word) for word in argv])
    said = capfd.readouterr()
    assert "Traceback" not in said.err and len(said.err.strip().splitlines()) <= 2, said.err
    return status, said


def test_a_lying_file_is_named_and_the_other_runs_are_told(honest, tmp_path, capfd):
    of = {"sweep.json": honest["drawn"]}
    lies = list(cases())
    assert len(lies) > 150
    shutil.copytree(honest["good"], tmp_path / "good")
    for name, place, value in lies:
        run = tmp_path / "lying"
        shutil.copytree(of.get(name, honest["adapted"]), run, ignore=lambda *_: ["samples"])
        if place is not None:
            lie(run / name, place, value)
        elif isinstance(value, bytes):
            (run / name).write_bytes(value)
        elif name.endswith("l") and not value.startswith('"'):
            (run / name).write_text(f"{value}\n" + '{"images": 1}\n')
        else:
            (run / name).write_text(value)
        what = (name, place, str(value)[:50])
        curves = name in ("metrics.jsonl", "oracle.jsonl", "scores.json", "sweep.json")
        if not curves:
            status, said = one_line(capfd, "compare", run)
            refused = status == 2
            assert not refused or str(run / name) in said.err, what
            status, said = one_line(capfd, "compare", tmp_path, "--json")
            assert status == 0 and "good" in said.out, (what, said.err)
            assert not refused or (str(run / name) in said.err and str(run) not in said.out), what
            assert refused or (place is None and name != "config.json"), what
        status, said = one_line(capfd, "ls", tmp_path)
        assert status == 0 and f"{tmp_path / 'good'}: own-target-a-b, seed 0" in said.out, what
        shutil.rmtree(run)
