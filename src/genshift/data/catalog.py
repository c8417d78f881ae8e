"""The data sets by name: those of `genshift.data.sets`, and those that a user's files register. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import genshift.data.sets  # noqa: F401 - every file there registers its sets
from genshift import plugins
from genshift.data.dataset import NAME, SETS, DataSet
from genshift.errors import unknown

CATALOG = SETS


def lookup(name: str | Path) -> DataSet | None:
    """The data set of that name, be it from an installed distribution; None where there is none, as of a path."""
    name = str(name)
    if name not in CATALOG and NAME.fullmatch(name):
        plugins.load_installed(plugins.DATA_SETS, name)
    return CATALOG.get(name)


def entry(name: str) -> DataSet:
    """The data set of that name; raises Refusal, with the nearest valid name, where there is none."""
    data = lookup(name)
    if data is None:
        raise unknown("data set", name, CATALOG, "`genshift ls` lists them; a path to a folder works too.")
    return data
