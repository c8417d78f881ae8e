"""Figures and the page. The package is also the verb: `genshift.report(folders, out)` writes the page of some runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


class _Verb(ModuleType):
    """This package, callable: importing it puts it where the verb of the same name would stand."""

    def __call__(self, folders: Iterable[Path | str], out: Path | str, title: str | None = None) -> Path:
        from genshift.report.page import report

        return report(folders, out, title)


sys.modules[__name__].__class__ = _Verb
