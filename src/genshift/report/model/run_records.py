"""The runs of a page, in the order of its tables. What a run folder holds is read by `runs/records.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from genshift.errors import Refusal
from genshift.presets.methods import METHODS, is_known
from genshift.runs.records import RunRecord, read_record


def read_runs(folders: Iterable[Path], curves: bool = True) -> list[RunRecord]:
    """Every run of `folders`, sorted by study, task, method, preset and seed; Refusal where there is none.

    `curves` as in `read_record`.
    """
    runs = [read_record(Path(folder), curves) for folder in folders]
    if not runs:
        raise Refusal("There is no run to report on: expected at least one run folder; `genshift ls` lists them.")
    for method in {run.method for run in runs if run.of_adaptation}:
        is_known(method)  # what an installed one is called and cites stands in the table from now on
    places = {name: place for place, name in enumerate(METHODS)}

    def order(run: RunRecord) -> tuple[str, str, int, str, str, int, str, int]:
        """Source only first and trained on target last, methods between as their table has them; a preset as it is
        before its variants."""
        changed = run.changed if run.draws else []
        method = (places.get(run.method, 1), run.method, run.name)
        return (run.study, run.task, *method, len(changed), ", ".join(changed), run.seed)

    return sorted(runs, key=order)
