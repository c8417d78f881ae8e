"""The table that `genshift compare` prints, from the same rows as the page's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genshift.report.summary import (
    TARGET_ACCURACY,
    Row,
    difference_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    read_runs,
    seeds_text,
    summarise,
)

HEAD = (
    "study",
    "task",
    "run",
    "ours",
    "published",
    "difference",
    "seeds",
    "test images",
    "images seen",
    "CPU min",
)
WORDS = 3  # so many leading columns hold words and are aligned left


def compare_table(run_folders: Iterable[Path]) -> list[dict[str, Any]]:
    """One JSON-ready row for each group of runs that differ in their seed alone; Refusal for a broken folder.

    `mean`, `sd`, `standard_error`, `published` and `difference` are shares in [0, 1] for an accuracy. `text`
    holds the cells that `format_table` prints.
    """
    return [_as_json(row) for row in summarise(read_runs(run_folders, curves=False))]


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "study": row.study,
        "task": row.task,
        "role": row.role,
        "label": row.label,
        "metric": row.metric,
        "mean": row.mean,
        "sd": row.sd,
        "standard_error": row.standard_error,
        "n": row.n,
        "seeds": list(row.seeds),
        "published": row.published,
        "difference": row.difference,
        "images": list(row.images),
        "cpu_minutes": row.cpu_minutes,
        "runs": [str(run.folder) for run in row.group.runs],
        "text": _cells(row),
    }


def _cells(row: Row) -> list[str]:
    name = row.label if row.metric == TARGET_ACCURACY else f"{row.label} {row.metric}"
    count = f"{row.n:,}" if row.n else "–"
    measured = [ours_text(row), published_text(row), difference_text(row), seeds_text(row), count]
    return [row.study, row.task, name, *measured, images_text(row), minutes_text(row)]


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `compare_table` as aligned plain text, with a line that says what ± means."""
    lines = [list(HEAD), *(row["text"] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    printed = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    return "\n".join([printed[0], "-" * max(map(len, printed)), *printed[1:], "", LEGEND])


LEGEND = (
    "Accuracies in percent on the target's test images; ± is the standard deviation over seeds, "
    "or with (se) one seed's binomial standard error."
)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(width) if column < WORDS else text.rjust(width)
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
