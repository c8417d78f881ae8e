"""JSON files of run folders that lie: each ends in one sentence that names the file, and hurts no run beside it."""

import json
import os
import shutil

import pytest
import tiny
from report_fixtures import write_json, write_run
from report_pictures import write_diffusion, write_sweep, write_vae

from genshift.cli import main
from genshift.errors import Refusal
from genshift.presets import get
from genshift.runs.find import source_only_accuracy
from genshift.runs.folder import RunFolder
from genshift.runs.forms import FORMS
from genshift.runs.records import read_record
from genshift.runs.trained_run import preset_of
from genshift.sampling.sampler_settings import swept

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
    "metrics.jsonl": [
        "3\n{}",
        '{"images": "x"}',
        '{"images": -1}',
        '{"seconds": 1}',
        '{"images": 1, "train/loss": "x"}',
    ],
    "oracle.jsonl": ['{"images": 1, "target_accuracy": [1]}', f'{{"images": {LONG}}}\n{{"images": 1}}'],
    "scores.json": [
        *((key, lie) for key in ("n", "checkpoints") for lie in (GONE, 3, "x", [3])),
        ("checkpoints", [{"images": 1}]),
        ("checkpoints.0.diversity", 1e9),
        ("checkpoints.0.checkpoint", "../../elsewhere.safetensors"),
        ("source_only_accuracy", [0.5]),
    ],
    "selection.json": [
        ("images", "x"),
        ("rule", 3),
        ("checkpoint", "../x"),
        ("warnings", "x"),
        ("verdict", {"word": "x"}),
    ],
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
    row |= {
        **dict.fromkeys(
            (
                "entropy",
                "diversity",
                "class_entropy",
                "commonest",
                "information",
                "snd",
                "dev_risk",
                "agreement",
                "atc",
                "doc",
            ),
            0.5,
        )
    }
    counts = {"held_out": 50, "source": 100, "target": 100}
    write_json(adapted / "scores.json", {"n": counts, "protocol": "x", "checkpoints": [row]})
    write_json(adapted / "selection.json", {"rule": "last", "checkpoint": row["checkpoint"], "images": 10_000})
    drawn = write_diffusion(root)
    write_sweep(drawn)
    return {
        "adapted": adapted,
        "drawn": drawn,
        "vae": write_vae(root),
        "good": write_run(root, "own", "a→b", "target", 0, 0.9),
    }


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


def linked(origin, copy):
    """Of checkpoints, which are large and in which nothing is spoilt here, a link is enough."""
    return os.link(origin, copy) if str(origin).endswith(".safetensors") else shutil.copy2(origin, copy)


def test_a_lying_file_is_named_and_the_other_runs_are_told(honest, tmp_path, capfd):
    of = {"sweep.json": honest["drawn"]}
    lies = list(cases())
    assert len(lies) > 150
    shutil.copytree(honest["good"], tmp_path / "good")
    for name, place, value in lies:
        run = tmp_path / "lying"
        shutil.copytree(of.get(name, honest["adapted"]), run, ignore=lambda *_: ["samples"], copy_function=linked)
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


def test_the_page_says_which_run_could_not_be_read(honest, tmp_path, capfd):
    for name in ("good", "adapted"):
        shutil.copytree(honest[name], tmp_path / name)
    (tmp_path / "adapted" / "results.json").write_text('{"source_test_accu')  # torn
    status, said = one_line(capfd, "report", tmp_path, "--out", tmp_path / "page.html")
    assert status == 0 and "note: left out, as it cannot be read: " in said.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"Left out: {tmp_path / 'adapted' / 'results.json'} is not readable JSON" in page
    (tmp_path / "good" / "config.json").write_text("3")
    assert "so it is with all 2 runs" in tiny.refused(capfd, "report", tmp_path, "--out", tmp_path / "page.html")


@pytest.mark.parametrize("name", ["metrics.jsonl", "sweep.json", "scores.json", "oracle.jsonl"])
def test_what_a_page_draws_is_held_against_its_type(name, honest, tmp_path):
    for place, value in ((place, value) for named, place, value in cases() if named == name and place is not None):
        run = shutil.copytree(honest["drawn" if name == "sweep.json" else "adapted"], tmp_path / "lying")
        lie(run / name, place, value)
        with pytest.raises(Refusal, match=name):
            read_record(run)
        shutil.rmtree(run)


def test_a_lying_neighbour_is_left_out_with_a_line(tmp_path, capfd):
    fields = {"source": "a", "target": "b"}
    own, base, lying = (
        write_run(tmp_path / name, "own", "a→b", role, 0, 0.5, fields=fields)
        for name, role in (("1", "dann"), ("2", "source"), ("3", "source"))
    )
    runs = [shutil.move(run, tmp_path / name) for run, name in ((own, "own"), (base, "z"), (lying, "a"))]
    (tmp_path / "a" / "metrics.jsonl").write_text('{"images": []}\n{"images": 1}\n')
    value = source_only_accuracy(RunFolder(runs[0]))
    assert value == pytest.approx(0.98, abs=0.01)
    assert f"left out, as it cannot be read: Line 1 of {tmp_path / 'a'}" in capfd.readouterr().err
    lie(tmp_path / "a" / "config.json", "seed", "0")
    assert source_only_accuracy(RunFolder(runs[0])) == value
    assert f"{tmp_path / 'a' / 'config.json'} is not what" in capfd.readouterr().err


def test_ls_of_a_folder_that_is_not_there_is_refused(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "There is no folder nowhere" in tiny.refused(capfd, "ls", "nowhere")
    assert "none here" in tiny.told(capfd, "ls"), "without a name runs/ may be missing"


@pytest.mark.parametrize("option", ["mean", "size", "select", "source", "flip"])
def test_an_option_of_another_type_in_config_json_is_refused(option):
    preset = get("demo-dann")
    stored = {"family": preset.family, "role": preset.method, "fields": {**preset.options(), option: None}}
    stored |= {key: getattr(preset, key) for key in ("name", "study", "networks", "origins", "published")}
    with pytest.raises(Refusal):
        preset_of({"genshift": "0.2.0", "preset": stored})


@pytest.mark.parametrize("stored", ["[1]", "{}", '{"images": "x", "sampling": {}}', DEEP, LONG])
def test_a_lying_sampling_is_refused(stored, tmp_path):
    (tmp_path / "sampling.json").write_text(stored)
    with pytest.raises(Refusal, match=r"sampling\.json is not"):
        swept(RunFolder(tmp_path))


def test_every_recorded_run_is_still_read():
    root = tiny.HERE.parent / "docs" / "results"
    files = [path for path in root.glob("*/*/*.json") if path.name in FORMS]
    assert len(files) > 400
    for path in files:
        RunFolder(path.parent).read(path.name)


def test_config_json_without_a_set_that_was_learnt_from_is_refused(tmp_path):
    run = write_run(tmp_path, "own", "a→b", "dann", 0, 0.6, fields={"source": "a", "target": "b"})
    lie(run / "config.json", "data", {name: {"name": name, "n": 1, "held_out": 0, "fingerprint": ""} for name in "ab"})
    with pytest.raises(Refusal, match=r"config\.json is not what genshift writes \(data has no 'source'"):
        _ = RunFolder(run).whole_config
