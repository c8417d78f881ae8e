"""The changelog's table of imports leads where it says, and the version is one everywhere."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import genshift

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
TABLE = CHANGELOG.partition("| 0.1.0 | 0.2.0 |")[2].partition("\n\n")[0].splitlines()[2:]
ROWS = [re.findall(r"`(genshift[\w.]*): ([\w, ]+)`", line) for line in TABLE]


@pytest.mark.parametrize("row", [row for row in ROWS if row], ids=lambda row: f"{row[0][0]}: {row[0][1]}")
def test_what_moved_is_where_the_table_says(row):
    (old, old_names), (new, new_names) = row
    module = importlib.import_module(new)
    assert all(hasattr(module, name) for name in new_names.split(", "))
    try:
        former = importlib.import_module(old)
    except ImportError:
        return
    assert not any(hasattr(former, name) for name in old_names.split(", ")), "it did not move"


def test_the_table_is_read():
    assert len(TABLE) > 40 and sum(map(bool, ROWS)) >= len(TABLE) - 1


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project["version"] == genshift.__version__
    assert f"\nversion: {genshift.__version__}\n" in citation and f"## [{genshift.__version__}]" in CHANGELOG
