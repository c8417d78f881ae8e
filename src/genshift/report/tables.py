"""Tables for papers: what `genshift compare` shows, as Markdown, LaTeX (booktabs) or CSV, the best marked.

A table of adaptation has a row a method and a column a task, one of generators a row a group and a column a measure; a
published figure stands in parentheses behind ours. Bold is the best of a column and all that noise does not tell from
it: two standard errors of the difference, the seeds' among them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from genshift.errors import plain, unknown
from genshift.report.console import ComparedRow
from genshift.report.model.comparison import DIRECTIONS
from genshift.report.model.formatting import NONE, value_text
from genshift.report.model.measures import metric_of, shown
from genshift.report.model.method_comparison import within_noise
from genshift.report.model.page_model import PageModel, Subject
from genshift.report.model.summary import Row

Format = Literal["markdown", "latex", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)
# Of ComparedRow, what a table of numbers has; lists stand in one cell, with spaces between.
COLUMNS = (
    "study", "task", "family", "role", "label", "metric", "mean", "sd", "standard_error", "n", "seeds", "published",
    "difference", "floor", "images", "cpu_minutes", "runs",
)  # fmt: skip
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "→": r"$\to$", "±": r"$\pm$", "–": "--", "−": "$-$",
    "é": r"\'e", "γ": r"$\gamma$", "λ": r"$\lambda$", "β": r"$\beta$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """A caption, a head of column names, and rows of (text, whether it is bold); the first column holds words."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[tuple[str, bool]]]


def paper_tables(model: PageModel) -> list[PaperTable]:
    """A table of each study's adaptation, and one of each data set's generators of a kind."""
    tables = []
    adapting = [row for row in model.rows if row.group.first.of_adaptation]
    for study in dict.fromkeys(row.study for row in adapting):
        tables.append(_of_adaptation(study, [row for row in adapting if row.study == study]))
    return [*tables, *(_of_measures(subject) for subject in model.subjects if not subject.first.of_adaptation)]


def _of_adaptation(study: str, rows: Sequence[Row]) -> PaperTable:
    """Methods by task. The bound, which learns from the target's labels, is never the best."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    placed = {(row.label, row.task): row for row in rows}
    bold = set()
    for task in tasks:
        known = [row for row in rows if row.task == task and row.mean is not None and row.method != "target"]
        top = max(known, key=lambda row: row.mean or 0.0, default=None)
        if top is not None and len(known) > 1:
            bold |= {(row.label, task) for row in known if row is top or within_noise(row, top)}
    body = []
    for label in dict.fromkeys(row.label for row in rows):
        cells = [(_cell(placed.get((label, task))), (label, task) in bold) for task in tasks]
        body.append([(label, False), *cells])
    caption = f"{study}: accuracy on the target's test images, in percent. {_note(rows)}"
    return PaperTable(caption, ["", *tasks], body)


def _of_measures(subject: Subject) -> PaperTable:
    """Groups by measure, as many as were taken."""
    compared = subject.comparison
    metrics = [name for name in compared.metrics if any(row[name].mean is not None for row in compared.rows)]
    bold = set()
    for metric in metrics:
        rows = {place: row[metric] for place, row in enumerate(compared.rows) if row[metric].mean is not None}
        if all(row.sd is None and row.standard_error is None for row in rows.values()):
            continue  # such as seconds: how much is noise is not known
        for top in compared.best(metric):
            bold |= {(place, metric) for place, row in rows.items() if place == top or within_noise(row, rows[top])}
    body = []
    for place, group in enumerate(compared.groups):
        cells = [(_cell(compared.rows[place][metric]), (place, metric) in bold) for metric in metrics]
        body.append([(group.label, False), *cells])
    if any(compared.floor(metric) for metric in metrics):
        body.append([("real pictures", False), *((compared.floor(metric) or NONE, False) for metric in metrics)])
    every = [row[metric] for row in compared.rows for metric in metrics]
    better = {name: DIRECTIONS[metric_of(name).better].partition(" ")[0] for name in metrics}
    arrows = {"higher": " ↑", "lower": " ↓"}
    head = ["", *(f"{metric_of(name).head}{arrows.get(better[name], '')}" for name in metrics)]
    return PaperTable(f"{subject.first.study}: {subject.first.task}. {_note(every)}", head, body)


def _note(rows: Iterable[Row]) -> str:
    """What ±, parentheses and bold mean, where there are any."""
    rows, notes = list(rows), []
    counts = sorted({len(row.seeds) for row in rows if row.sd is not None})
    if counts:
        notes.append(f"± is the standard deviation over {' or '.join(map(str, counts))} seeds")
    if any(row.sd is None and row.standard_error is not None for row in rows):
        notes.append("± of one seed is its own error")
    if any(row.published is not None for row in rows):
        notes.append("in parentheses the published figure")
    return f"{'; '.join([*notes, 'bold: the best, and what noise does not tell from it']).capitalize()}."


def _cell(row: Row | None) -> str:
    if row is None:
        return NONE
    ours = NONE if row.mean is None else value_text(row)
    return ours if row.published is None else f"{ours} ({shown(row.metric, row.published)})"


# --- as text ----------------------------------------------------------------------------------------------------------


def formatted(model: PageModel, rows: Sequence[ComparedRow], kind: str) -> str:
    """The tables of `model` as text of that kind; of CSV one table of numbers, a line for each of `rows`."""
    match kind:
        case "csv":
            return as_csv(rows)
        case "markdown":
            return "\n".join(map(as_markdown, paper_tables(model)))
        case "latex":
            return "\n".join(map(as_latex, paper_tables(model)))
    raise unknown("format", kind, FORMATS)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """One line a measure of a group; numbers as results.json has them, empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = (row[name] for name in COLUMNS)
        writer.writerow(" ".join(map(str, value)) if isinstance(value, list) else value for value in values)
    return out.getvalue()


def as_markdown(table: PaperTable) -> str:
    """A pipe table, its caption above."""
    lines = [[_markdown(text) for text in table.head], ["---", *["---:"] * (len(table.head) - 1)]]
    lines += [[f"**{_markdown(text)}**" if bold else _markdown(text) for text, bold in row] for row in table.rows]
    return "\n".join([_markdown(table.caption), "", *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def _markdown(text: str) -> str:
    escaped = plain(text)
    for sign in "\\|*_`<":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def as_latex(table: PaperTable) -> str:
    """A table environment for the package booktabs."""
    rows = []
    for row in table.rows:
        rows.append(" & ".join(rf"\textbf{{{_latex(text)}}}" if bold else _latex(text) for text, bold in row))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\toprule",
            rf"{' & '.join(map(_latex, table.head))} \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in plain(text))
