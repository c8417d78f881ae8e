"""The data sets by name: those of `genshift.data.sets`, and those that a user's files register. Imports no torch."""

from __future__ import annotations

import genshift.data.sets  # noqa: F401 - every file there registers its sets
from genshift.data.dataset import SETS, DataSet
from genshift.errors import unknown

CATALOG = SETS


def entry(name: str) -> DataSet:
    """The data set of that name; raises Refusal, with the nearest valid name, where there is none."""
    if name not in CATALOG:
        raise unknown("data set", name, CATALOG, "`genshift ls` lists them; a path to a folder works too.")
    return CATALOG[name]
