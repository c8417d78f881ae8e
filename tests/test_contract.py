"""What every preset of adaptation owes: it builds, learns a step, saves, loads, and continues bit for bit.

`test_contract_pictures.py` asks the same of generators and classifiers.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

from genshift.engine.experiment import open_method
from genshift.engine.run import RunFolder
from genshift.presets import PRESETS, Adaptation
from genshift.presets.beyond import CLASSES

pytestmark = pytest.mark.usefixtures("quick")

# Every preset in float32; one of each kind of network and method in bfloat16; one without a moving average.
METHODS = (*(f"{role}-usps-mnistm" for role in CLASSES), "adapt")
KINDS = ("demo-source", "demo-dann", "hw3-source-usps-mnistm", "hw3-dann-usps-mnistm", "hw3-adda-usps-mnistm")
# The methods compared on one backbone are the same in every task but for the data, which are tiny here.
ONCE = [
    name
    for name, preset in PRESETS.items()
    if isinstance(preset, Adaptation) and (preset.study != "adaptation" or name in METHODS)
]
CASES = [
    *(pytest.param(name, {"width": 8} if name in METHODS else {}, id=name) for name in ONCE),
    *(pytest.param(name, {"precision": "bfloat16"}, id=f"{name}-bfloat16") for name in (*KINDS, "cdan-usps-mnistm")),
    pytest.param("demo-dann", {"ema_half_life": 0, "lr_schedule": "cosine"}, id="demo-dann-no-average"),
    pytest.param("hw3-dann-svhn-usps", {"batch_target": 7}, id="unequal-batches"),
]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_run_stopped_and_continued_ends_as_an_undisturbed_one(name, changes, domains, tmp_path):
    """Stopped by Ctrl-C in the middle of a budget; weights, moments, averages and the best are bit-identical."""
    preset = tiny.tiny(name, domains, **changes)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    start = tiny.train(preset, whole)
    assert start is True
    assert tiny.train(preset, parted, observers=[tiny.StopAt(3 * preset.step_images)]) is False
    stopped = tiny.last(parted)
    assert tiny.different(tiny.last(whole), stopped), "the run was not stopped early"
    assert tiny.train(preset, parted) is True
    assert tiny.different(tiny.last(whole), tiny.last(parted)) == []
    assert tiny.different(tiny.best(whole), tiny.best(parted)) == []
    assert all(torch.isfinite(value).all() for value in tiny.last(whole).values())
    saved_model_answers_alike(whole, parted)


def saved_model_answers_alike(*runs: Path) -> None:
    """Loaded twice, and from both runs, a model gives equal predictions, which are no constant."""
    images = tiny.digits(12, 5).images
    answers = [open_method(RunFolder(run))[1].predict(images) for run in (*runs, runs[0])]
    assert all(torch.equal(answers[0], other) for other in answers[1:])
    assert answers[0].std(0).max() > 0


@pytest.mark.parametrize("name", KINDS)
def test_what_is_loaded_answers_as_what_was_trained(name, domains, tmp_path):
    """The last check's predictions, seen by an observer, are those of the checkpoint."""
    seen = {}
    images = tiny.digits(12, 5).images

    def note(count, method):
        seen[count] = method.predict(images)

    preset = tiny.tiny(name, domains)
    tiny.train(preset, tmp_path / "run", observers=[note])
    assert torch.equal(open_method(RunFolder(tmp_path / "run"), "last")[1].predict(images), seen[max(seen)])


@pytest.mark.parametrize("name", KINDS)
def test_the_seed_alone_decides(name, domains, tmp_path):
    preset = tiny.tiny(name, domains)
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        tiny.train(preset, tmp_path / run, seed=seed, images=8)
    one, same, other = (tiny.last(tmp_path / run) for run in "abc")
    assert tiny.different(one, same) == []
    assert {name for name in tiny.different(one, other) if name.endswith("weight")}, "the seed changes nothing"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("demo-source", {}),
        ("demo-dann", {"batch_source": 4, "batch_target": 8}),
        ("hw3-dann-usps-mnistm", {"batch_source": 4, "batch_target": 8}),
        ("hw3-adda-usps-mnistm", {"batch_source": 4, "batch_target": 8}),
    ],
)
def test_two_processes_learn_what_one_does(name, changes, domains, tmp_path):
    """Through torchrun and the command line, in float64: the same weights up to the order of summation."""
    options = {"batch_source": 4, "batch_target": 4, **changes, "precision": "float64", "images": 16, "threads": 1}
    options |= {"source": domains[0], "target": domains[1]}
    flags = [str(word) for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    alone = tiny.command("train", name, *flags, "--out", tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    both = subprocess.run(
        [*launch, "genshift.cli", "train", name, *flags, "--out", str(tmp_path / "two")],
        capture_output=True, text=True, timeout=300, check=False, env=tiny.environment(),
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    one, two = tiny.last(tmp_path / "one"), tiny.last(tmp_path / "two")
    assert one.keys() == two.keys()
    for key, value in one.items():
        if "optimizer/" not in key:
            torch.testing.assert_close(two[key], value, rtol=1e-9, atol=1e-9, msg=key)
    assert RunFolder(tmp_path / "two").config["world"] == 2
    assert tiny.weights(tmp_path / "one")[0].keys() == tiny.weights(tmp_path / "two")[0].keys()
