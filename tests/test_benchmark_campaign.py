"""`benchmarks/campaign`, quickly: one pair of starts; the whole campaign takes half an hour."""

import json
from pathlib import Path

import tiny

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "campaign"


@tiny.POSIX
def test_of_two_starts_into_one_folder_the_second_is_refused(tmp_path):
    out = tmp_path / "found.json"
    done = tiny.python(SCRIPT, "races", "--count", 1, "--work", tmp_path / "work", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())["races"]
    assert (found["count"], found["violations"], found["table"]) == (1, [], {"train adapt": 1})
