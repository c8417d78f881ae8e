"""The table that `genshift compare` prints, from the same rows as the page's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genshift.report.model.formatting import (
    difference_text,
    floor_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    seeds_text,
)
from genshift.report.model.grouping import subject_of
from genshift.report.model.measures import TARGET_ACCURACY, metric_of, ordered, percent
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.model.summary import Row
from genshift.runs.find import find_runs
from genshift.selection.rules import RULES, SCORES

HEAD = (
    *("study", "task", "run", "ours", "published", "difference"),
    *("seeds", "test images", "images seen", "CPU min"),
)
WORDS = 3  # so many leading columns hold words and are aligned left
MEASURED_HEAD = (
    *("study", "task", "measure", "run", "ours", "floor", "published", "difference"),
    *("seeds", "n", "images seen", "CPU min"),
)
MEASURED_WORDS = 4


def compare(runs: Iterable[Path | str]) -> list[dict[str, Any]]:
    """`compare_table` of the runs among and below these folders."""
    return compare_table(find_runs(runs))


def compare_table(run_folders: Iterable[Path]) -> list[dict[str, Any]]:
    """One JSON-ready row for each measure of each group of runs that differ in their seed alone: of adaptation, target
    accuracy; Refusal for a broken folder.

    `mean`, `sd`, `standard_error`, `floor`, `published` and `difference` are as results.json has them: shares in [0, 1]
    for an accuracy. `text` holds the cells that `format_table` prints.
    """
    rows = page_model(read_runs(run_folders, curves=False)).rows
    adapting = [row for row in rows if row.metric == TARGET_ACCURACY]
    others = _by_measure(row for row in rows if row.metric != TARGET_ACCURACY)
    return [_as_json(row) for row in [*adapting, *others]]


def _by_measure(rows: Iterable[Row]) -> list[Row]:
    """Runs of one subject stand below one another, measure by measure."""
    subjects: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        subjects.setdefault(subject_of(row.group.first), []).append(row)
    return [
        row
        for subject in subjects.values()
        for metric in ordered(row.metric for row in subject)
        for row in subject
        if row.metric == metric
    ]


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "study": row.study,
        "task": row.task,
        "family": row.group.first.family,
        "role": row.method,
        "label": row.label,
        "metric": row.metric,
        "mean": row.mean,
        "sd": row.sd,
        "standard_error": row.standard_error,
        "floor": row.floor,
        "n": row.n,
        "seeds": list(row.seeds),
        "published": row.published,
        "difference": row.difference,
        "protocols": list(row.protocols),
        "images": list(row.images),
        "cpu_minutes": row.cpu_minutes,
        "runs": [str(run.folder) for run in row.group.runs],
        "text": _cells(row),
    }


def _cells(row: Row) -> list[str]:
    count = f"{row.n:,}" if row.n else "–"
    last = [seeds_text(row), count, images_text(row), minutes_text(row)]
    if row.metric == TARGET_ACCURACY:
        return [row.study, row.task, row.label, ours_text(row), published_text(row), difference_text(row), *last]
    values = [ours_text(row), floor_text(row), published_text(row), difference_text(row)]
    return [row.study, row.task, metric_of(row.metric).head, row.label, *values, *last]


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `compare_table` as aligned plain text, with lines that say what ± means and how was measured."""
    adapting = [row for row in rows if row["metric"] == TARGET_ACCURACY]
    measured = [row for row in rows if row["metric"] != TARGET_ACCURACY]
    parts = [[*_aligned(HEAD, adapting, WORDS), "", LEGEND]] if adapting else []
    if measured:
        parts.append([*_aligned(MEASURED_HEAD, measured, MEASURED_WORDS), "", MEASURED_LEGEND, *_protocols(measured)])
    return "\n\n".join("\n".join(part) for part in parts)


LEGEND = (
    "Accuracies in percent on the target's test images; ± is the standard deviation over seeds, "
    "or with (se) one seed's binomial standard error."
)
MEASURED_LEGEND = (
    "± is the standard deviation over seeds; of one seed, with (se) its standard error over pictures, with (samples) "
    "its deviation over series of samples. The floor is the same measure of real pictures."
)


def _protocols(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How each measure was taken, each way once."""
    said = (f"{metric_of(row['metric']).title}: {protocol}." for row in rows for protocol in row["protocols"])
    return list(dict.fromkeys(said))


def format_selection(found: dict[str, Any]) -> str:
    """What `genshift.select` returns as aligned plain text: a row a candidate, the rules that take it at its end."""
    head = ["run", "images", *(score.head for score in SCORES.values()), "entropy", "diversity", "taken by"]
    rows = [{"text": _candidate_cells(found, place)} for place in range(len(found["candidates"]))]
    path, choice = found["run"], found["candidates"][found["choices"][found["rule"]]]
    return "\n".join(
        [
            *_aligned(head, rows, 1),
            "",
            SELECTION_LEGEND,
            f"{path}: the rule '{found['rule']}' takes the checkpoint of {choice['images']:,} images "
            f"({RULES[found['rule']]}); selection.json says so.",
        ]
    )


SELECTION_LEGEND = (
    "No target label was read. EnsV is over the candidates above; DEV is a risk: less is better. (out) is below the "
    "default rule's floor of source accuracy."
)


def _candidate_cells(found: dict[str, Any], place: int) -> list[str]:
    row = found["candidates"][place]
    accuracy = f"{percent(row['source_accuracy'])} ± {percent(row['source_error'])}"
    scores = [f"{row[score.key]:.4f}" for name, score in SCORES.items() if name != "source"]
    taken = [name for name, chosen in found["choices"].items() if chosen == place]
    out = [] if place in found["above_floor"] else ["(out)"]
    ends = [f"{row[key]:.4f}" for key in ("entropy", "diversity")]
    return [row["run"], f"{row['images']:,}", accuracy, *scores, *ends, " ".join([", ".join(taken), *out]).strip()]


def _aligned(head: Sequence[str], rows: Sequence[dict[str, Any]], words: int) -> list[str]:
    lines = [list(head), *(row["text"] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    printed = ["  ".join(_padded(line, widths, words)).rstrip() for line in lines]
    return [printed[0], "-" * max(map(len, printed)), *printed[1:]]


def _padded(line: Sequence[str], widths: Sequence[int], words: int) -> list[str]:
    return [
        text.ljust(width) if column < words else text.rjust(width)
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
