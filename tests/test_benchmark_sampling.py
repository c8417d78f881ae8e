"""`benchmarks/sampling.py`, quickly: tiny networks and few steps; the figures it prints are those it measured."""

import json
from pathlib import Path

import faces_tiny
import pytest
import tiny
import torch

from genshift.evaluation.feature_distance import classifier_space
from genshift.runs.folder import RunFolder
from genshift.sampling.trained_generator import open_generator

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "sampling.py"
SMALL = {
    **tiny.SAMPLED_PLAINLY,
    "size": 16,
    "width": 16,
    "patch": 4,
    "steps": 3,
    "guidance": 1.5,
    "lr_warmup": 0,
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    data = faces_tiny.write_portraits(root / "portraits")
    made = {
        "ours": tiny.of_pictures("digits-diffusion", data, **SMALL),
        "judge": tiny.of_pictures("faces-attributes", data, size=16, width=8, answers="classes"),
    }
    for name, preset in made.items():
        assert tiny.train(preset, root / name, images=8)
    numbers = ["--count", 5, "--count-ancestral", 4, "--steps", 7, "--threads", 1, "--json", root / "found.json"]
    done = tiny.python(SCRIPT, root / "ours", "--features", root / "judge", *numbers)
    assert done.returncode == 0, done.stderr
    return root, done.stdout, json.loads((root / "found.json").read_text())


def test_every_procedure_is_a_line_with_its_evaluations(found):
    _, printed, written = found
    rows = {row["procedure"]: row for row in written["rows"]}
    assert list(rows) == [
        "ours",
        "7 ancestral steps, guidance 3",
        "7 ancestral steps, guidance 3 skipped at 50%",
        "7 ancestral steps, guidance as ours",
        "ours, as many",
    ]
    ours, both, skipped, fair, again = rows.values()
    assert [row["evaluations"] for row in (ours, both, fair, again)] == [6, 14, 14, 6]
    assert 7 <= skipped["evaluations"] <= 14
    assert [row["n"] for row in rows.values()] == [5, 4, 4, 4, 4]
    assert fair["sampling"]["guidance"] == ours["sampling"]["guidance"] == 1.5 and both["sampling"]["guidance"] == 3.0
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in rows.values())
    assert all(line in printed for line in rows) and "right class" in printed


def test_accuracy_is_the_share_of_the_pictures_that_were_asked_for(found):
    root, _, written = found
    generator = open_generator(RunFolder(root / "ours"))
    method, classes = generator.method, generator.classes
    space = classifier_space(root / "judge")
    answers = space.classify(method.sample(5, seed=0))
    asked = torch.tensor([space.classes.index(classes[i % len(classes)]) for i in range(5)])
    assert written["rows"][0]["accuracy"] == pytest.approx((answers == asked).double().mean().item())
