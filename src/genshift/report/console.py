"""Tables for a terminal: what `genshift compare` and `genshift select` print, from the same rows as the page's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from genshift.errors import plain
from genshift.paths import AnyPath
from genshift.report.model.formatting import (
    count_text,
    difference_text,
    floor_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    seeds_text,
)
from genshift.report.model.measures import TARGET_ACCURACY, metric_of, ordered, percent
from genshift.report.model.page_model import PageModel, page_model
from genshift.report.model.run_records import readable_runs
from genshift.report.model.summary import Row
from genshift.runs.find import find_runs
from genshift.runs.results import as_frame
from genshift.selection.rules import RULES, SCORES

if TYPE_CHECKING:
    from pandas import DataFrame

HEAD = (
    *("study", "task", "run", "ours", "published", "difference"),
    *("seeds", "test images", "images seen", "CPU min"),
)
WORDS = 3  # so many leading columns hold words and are aligned left
LEGEND = (
    "Accuracies in percent on the target's test images; ± is the standard deviation over seeds, "
    "or with (se) one seed's binomial standard error."
)
MEASURED_HEAD = (
    *("study", "task", "measure", "run", "ours", "floor", "published", "difference"),
    *("seeds", "n", "images seen", "CPU min"),
)
MEASURED_WORDS = 4
MEASURED_LEGEND = (
    "± is the standard deviation over seeds; of one seed, with (se) its standard error over pictures, with (samples) "
    "its deviation over series of samples. The floor is the same measure of real pictures."
)
SELECTION_LEGEND = (
    "No target label was read. EnsV is over the candidates above; DEV is a risk: less is better. (out) is below the "
    "default rule's floor of source accuracy."
)


class ComparedRow(TypedDict):
    """One measure of one group, ready for JSON; `text` holds the cells that `format_table` prints.

    `mean`, `sd`, `standard_error`, `floor`, `published` and `difference` are as results.json has them: shares in [0, 1]
    for an accuracy.
    """

    study: str
    task: str
    family: str
    role: str
    label: str
    metric: str
    mean: float | None
    sd: float | None
    standard_error: float | None
    floor: float | None
    n: int | None
    seeds: list[int]
    published: float | None
    difference: float | None
    protocols: list[str]
    images: list[int]
    cpu_minutes: float | None
    runs: list[str]
    text: list[str]


class Comparison(list[ComparedRow]):
    """The rows of `compare`."""

    def frame(self) -> DataFrame:
        """A pandas DataFrame: a line a row, numbers as they are, lists in their cells; NaN where there is none.
        Refusal without the extra `pandas`."""
        return as_frame([{name: value for name, value in row.items() if name != "text"} for row in self])


def compare(runs: AnyPath | Iterable[AnyPath]) -> Comparison:
    """`compare_table` of the runs among and below a folder, or several; its `frame()` is for pandas."""
    return Comparison(compare_table(find_runs(runs)))


def compare_table(run_folders: Iterable[Path]) -> list[ComparedRow]:
    """A row for each measure of each group of runs that differ in their seed alone: of adaptation, target accuracy;
    Refusal where no run can be read, and a line for one that cannot."""
    return compared_rows(compared_model(run_folders))


def compared_model(run_folders: Iterable[Path]) -> PageModel:
    """What the runs come to; Refusal where none can be read, and a line for one that cannot."""
    runs, _ = readable_runs(run_folders, curves=False)
    return page_model(runs)


def compared_rows(model: PageModel) -> list[ComparedRow]:
    """The rows of `compare_table`."""
    rows = [row for row in model.rows if row.group.first.of_adaptation]
    for subject in model.subjects:
        if not subject.first.of_adaptation:  # its groups stand below one another, metric by metric
            for metric in ordered(row.metric for row in subject.rows):
                rows += [row for row in subject.rows if row.metric == metric]
    return [_as_json(row) for row in rows]


def _as_json(row: Row) -> ComparedRow:
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
    """In the columns of HEAD, or of MEASURED_HEAD for what is no target accuracy."""
    last = [seeds_text(row), count_text(row.n), images_text(row), minutes_text(row)]
    if row.metric == TARGET_ACCURACY:
        return [row.study, row.task, row.label, ours_text(row), published_text(row), difference_text(row), *last]
    values = [ours_text(row), floor_text(row), published_text(row), difference_text(row)]
    return [row.study, row.task, metric_of(row.metric).head, row.label, *values, *last]


def format_table(rows: Sequence[ComparedRow]) -> str:
    """The rows of `compare_table` as aligned plain text, with lines that say what ± means and how was measured."""
    tables = []
    if adapting := [row["text"] for row in rows if row["metric"] == TARGET_ACCURACY]:
        tables.append([*_aligned(HEAD, adapting, WORDS), "", LEGEND])
    if measured := [row for row in rows if row["metric"] != TARGET_ACCURACY]:
        lines = _aligned(MEASURED_HEAD, [row["text"] for row in measured], MEASURED_WORDS)
        taken = (f"{metric_of(row['metric']).title}: {protocol}." for row in measured for protocol in row["protocols"])
        tables.append([*lines, "", MEASURED_LEGEND, *dict.fromkeys(taken)])
    return "\n\n".join("\n".join(table) for table in tables)


def format_selection(selection: Mapping[str, Any]) -> str:
    """What `genshift.select` returns as aligned plain text: a row a candidate, the rules that take it at its end."""
    candidates, choices, rule = selection["candidates"], selection["choices"], selection["rule"]
    body = []
    for place, row in enumerate(candidates):
        # Source accuracy with its error, then the other scores in the order of the head.
        accuracy = f"{percent(row['source_accuracy'])} ± {percent(row['source_error'])}"
        keys = [*(score.key for name, score in SCORES.items() if name != "source"), "entropy", "diversity"]
        takers = ", ".join(name for name, chosen in choices.items() if chosen == place)
        out = "" if place in selection["above_floor"] else "(out)"
        scores = [f"{row[key]:.4f}" for key in keys]
        body.append([row["run"], f"{row['images']:,}", accuracy, *scores, f"{takers} {out}".strip()])
    head = ["run", "images", *(score.head for score in SCORES.values()), "entropy", "diversity", "taken by"]
    images = candidates[choices[rule]]["images"]
    verdict = (
        f"{selection['run']}: the rule '{rule}' takes the checkpoint of {images:,} images ({RULES[rule]}); "
        "selection.json says so."
    )
    return "\n".join([*_aligned(head, body, 1), "", SELECTION_LEGEND, verdict])


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """A table's lines, ruled below the head; so many leading columns as `words` are aligned left."""
    # As wide as the widest cell; no space at the end of a line, which terminals would wrap.
    table = [[plain(cell) for cell in cells] for cells in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for cells in table:
        left = [text.ljust(width) for text, width in zip(cells[:words], widths[:words], strict=True)]
        right = [text.rjust(width) for text, width in zip(cells[words:], widths[words:], strict=True)]
        lines.append("  ".join([*left, *right]).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
