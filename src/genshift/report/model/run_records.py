"""The runs of a page, in the order of its tables. What a run folder holds is read by `runs/records.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from genshift.errors import Refusal
from genshift.presets.methods import METHODS, is_known
from genshift.runs.find import say_left_out
from genshift.runs.records import RunRecord, read_record


def read_runs(folders: Iterable[Path], curves: bool = True) -> list[RunRecord]:
    """Every run of `folders`, sorted by study, task, method, preset and seed; Refusal where there is none, or one
    cannot be read.

    `curves` as in `read_record`.
    """
    return _in_order([read_record(Path(folder), curves) for folder in folders])


def readable_runs(folders: Iterable[Path], curves: bool = True) -> tuple[list[RunRecord], list[str]]:
    """The same of those that can be read, and a sentence for each that cannot, which is printed too; Refusal where no
    run can be read."""
    runs, unread = [], []
    for folder in folders:
        try:
            runs.append(read_record(Path(folder), curves))
        except Refusal as refusal:
            unread.append(str(refusal))
    if unread and not runs:
        others = f" (so it is with all {len(unread)} runs)" if len(unread) > 1 else ""
        raise Refusal(f"{unread[0]}{others}")
    for sentence in unread:
        say_left_out(sentence)
    return _in_order(runs), unread


def _in_order(runs: list[RunRecord]) -> list[RunRecord]:
    """As tables have them."""
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
