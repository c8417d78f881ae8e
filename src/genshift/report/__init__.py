"""Reports of runs: the page, results.md, and the tables that `compare` and `select` print.

What happens, in order: `runs/records.py` reads the run folders; `model/` computes once all that is to be said of them;
`contents.py` says which sections and blocks there are and in which document, and `problems.py` in which order the page
answers the two reports; `sections/` builds these blocks, with the drawings of `figures/`; `page.py` (with page.html,
page.css, page.js), `results_md.py` and `console.py` write down. `blocks.py` holds what blocks are. `record.py` keeps of
runs what their page shows; `real_pictures.py` knows which real pictures it may keep, and shows the others from the
reader's own data. But for that, nothing here computes with tensors or opens a checkpoint, and torch is not imported.

A new block is a function in `sections/` and a `Part` in `contents.py` (for a report's runs, in the question of
`problems.py` that it answers); a new kind of runs is a `SectionKind` in `contents.py`. A new metric is an entry of
`model/measures.py`, where its title, its direction and its meaning stand.

The package is also the verb: `genshift.report(folders, out)` writes the page of some runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genshift.paths import AnyPath


class _Verb(ModuleType):
    """This package, callable: importing it puts it where the verb of the same name would stand."""

    def __call__(
        self,
        folders: AnyPath | Iterable[AnyPath],
        out: AnyPath | None = None,
        title: str | None = None,
        **options: Any,
    ) -> Path:
        """Writes a page, a record, or both: `genshift.report.page.report` says what the options are."""
        from genshift.report.page import report

        return report(folders, out, title, **options)


sys.modules[__name__].__class__ = _Verb
