"""Blocks that sections of more than one kind have: warnings, curves, and tables of measures."""

from __future__ import annotations

from collections.abc import Sequence

from genshift.report.blocks import Block, Cell, Figures, Heading, Notes, Prose, Table, Terms
from genshift.report.figures.adaptation import accuracy_curves, loss_curves, other_curves
from genshift.report.figures.generators import alarm_names
from genshift.report.model.comparison import Comparison
from genshift.report.model.formatting import NONE, images_text, minutes_text
from genshift.report.model.page_model import Subject
from genshift.report.model.summary import NOT_EVALUATED

CURVES = (accuracy_curves, loss_curves, other_curves)
ORACLE_NOTE = "The oracle uses target labels: it is shown here and never steers training or selection."


def summary(subject: Subject) -> list[Block]:
    """What the preset says of itself."""
    return [Prose(subject.first.preset.get("summary") or "")]


def warnings(subject: Subject) -> list[Block]:
    """Warnings of the evaluators, and the alarms that these do not name."""
    lines = list(subject.cautions)
    for group in subject.groups:
        for run in group.runs:
            named = "\n".join(map(str, run.evaluation.get("warnings") or [])).lower()
            for name in alarm_names(run):
                if name not in named:  # an evaluated run's warnings name the alarms that its evaluator saw
                    seen = [row["images"] for row in run.metrics if name in (row.get("alarms") or [])]
                    when = f"at {seen[0]:,}" if len(seen) == 1 else f"between {seen[0]:,} and {seen[-1]:,}"
                    lines.append(f"{group.label}, seed {run.seed}: {name}, {when} images.")
    return [Notes(lines)] if lines else []


def kept_in_part(subject: Subject) -> list[Block]:
    """What a record leaves out of the runs that a page would draw."""
    firsts = [(group.label, group.first) for group in subject.groups]
    lines = [
        f"{label}, seed {run.seed}: {run.evaluation['kept_without']}."
        for label, run in firsts
        if "kept_without" in run.evaluation
    ]
    if alone := [label for label, run in firsts if run.measures_alone]:
        lines.insert(0, f"{', '.join(alone)}: measures alone were kept, and of what these runs drew nothing is shown.")
    return [Prose(line) for line in lines]


def curves(subject: Subject) -> list[Block]:
    """Accuracies, losses and whatever else was logged, of each group's first run."""
    drawn = [kind(group.first, group.label) for kind in CURVES for group in subject.groups]
    figures = [figure for figure in drawn if figure is not None]
    if not figures:
        return []
    blocks: list[Block] = [Heading("Curves")]
    if any(group.first.oracle for group in subject.groups):
        blocks.append(Prose(ORACLE_NOTE))
    return [*blocks, Figures(figures, columns=3)]


# --- measures ---------------------------------------------------------------------------------------------------------


def measures(subject: Subject) -> list[Block]:
    """One row a group, one column a metric, the floors below, and what each metric is."""
    compared = subject.comparison
    body = [_cells(compared, place, note_published=True) for place in range(len(compared.groups))]
    if any(compared.floors):
        # A floor has no seeds and cost nothing.
        body.append([Cell("floor"), *[Cell("")] * 3, *(Cell(floor or NONE, tone="quiet") for floor in compared.floors)])
    blocks: list[Block] = [Table(_head(compared, ""), [("", body)], _note(compared))]
    if compared.metrics:
        blocks.append(Terms(compared.terms(), "What each measure is"))
    return [*blocks, Terms(taken, "How each measure was taken")] if (taken := compared.measured()) else blocks


def recorded_measures(subject: Subject) -> list[Block]:
    """The same without cells in small print: published figures have a row of their own."""
    compared = subject.comparison
    body = []
    for place, group in enumerate(compared.groups):
        body.append(_cells(compared, place))
        published = [compared.published(place, metric) for metric in compared.metrics]
        if any(published):
            body.append(_without_counts(f"{group.label}, published", published))
    if any(compared.floors):
        body.append(_without_counts("floor", compared.floors))
    blocks: list[Block] = [Table(_head(compared, "preset"), [("", body)])]
    if any(cell.tone == "best" for row in body for cell in row):
        blocks.append(Prose("Bold: the best of its column."))
    taken = [(f"{title}, measured", " ".join(protocol.split())) for title, protocol in compared.measured()]
    return [*blocks, Terms([*compared.terms(), *taken])]


def _head(compared: Comparison, first: str) -> list[str]:
    return [first, "seeds", "images seen", "CPU min", *compared.heads]  # what is scrolled off first is not the cost


def _cells(compared: Comparison, place: int, note_published: bool = False) -> list[Cell]:
    """A group's values, and what its runs saw and cost."""
    seeds, row = compared.seeds(place), compared.fullest(place)
    cells = [Cell(compared.groups[place].label), Cell(seeds, tone="quiet" if seeds == NOT_EVALUATED else "")]
    cells += [Cell(images_text(row)), Cell(minutes_text(row))]
    for metric in compared.metrics:
        published = compared.published(place, metric) if note_published else ""
        tone = "best" if place in compared.best(metric) else ""
        cells.append(Cell(compared.value(place, metric), tone=tone, note=f"published {published}" if published else ""))
    return cells


def _without_counts(name: str, values: Sequence[str]) -> list[Cell]:
    return [Cell(name), *[Cell(NONE)] * 3, *(Cell(value or NONE) for value in values)]


def _note(compared: Comparison) -> str:
    """What the marks of the table mean."""
    note = []
    if any(compared.best(metric) for metric in compared.metrics):
        note.append("Bold and underlined: the best of its column.")
    if any(compared.published(place, m) for place in range(len(compared.groups)) for m in compared.metrics):
        note.append("Published is the figure of the report that is reproduced.")
    return " ".join([*note, "CPU minutes are the mean a run, all threads together."])
