"""The slow step skips nothing silently: what it needs is there."""

import shutil
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needs(extra):
    """The distributions of an extra, and of those of our own that it names."""
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            yield from (name for other in requirement.extras for name in needs(other))
        else:
            yield requirement.name


def test_every_distribution_of_the_extra_is_installed():
    absent = []
    for name in needs("slow"):
        try:
            version(name)
        except PackageNotFoundError:
            absent.append(name)
    assert not absent, f"pip install -e '.[slow]' installs {', '.join(absent)}"


def test_a_browser_is_installed():
    """Without one, tests that need it would be skipped."""
    assert any(map(shutil.which, ("chromium", "google-chrome", "chromium-browser")))
