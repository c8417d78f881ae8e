"""SIGKILL, quickly: three kills of a real training; `benchmarks/kill.py` is the whole measurement."""

import json
from pathlib import Path

import tiny

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@tiny.POSIX
def test_a_run_killed_three_times_ends_as_one_left_alone(domains, tmp_path):
    flags = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4]
    budget = ["--times", 3, "--images", 48, "--preset", "hw3-dann-usps-mnistm", "--out", tmp_path / "kill"]
    done = tiny.python(SCRIPT, *budget, "--", *flags, "--precision", "float32", "--no-evaluate")
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (found, done.stderr)
    assert found["bit_identical"] and found["kills"] == 3 and found["tensors"] > 100
    assert found["kills_in_training"] == 3
