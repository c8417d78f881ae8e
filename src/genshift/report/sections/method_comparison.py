"""Methods by task, and one method's settings by task, as tables with what noise allows to say of them."""

from __future__ import annotations

from collections.abc import Iterable

from genshift.report.blocks import Block, Cell, Heading, Prose, Table
from genshift.report.model.formatting import NONE, counted, joined, ours_text
from genshift.report.model.measures import percent
from genshift.report.model.method_comparison import (
    BOUND,
    NOISE,
    Matrix,
    SettingsTable,
    oracle_texts,
    unlike_data,
    within_noise,
)
from genshift.report.model.page_model import PageModel
from genshift.report.model.summary import Row

ORACLE_NOTE = (
    "The highest accuracy of a run's own curve, on the oracle's images, mean over seeds; with it how far below the "
    "checkpoint in use is, on the same images. It is picked by target labels: no accuracy to be had; it never steers."
)
SETTINGS_NOTE = (
    "Accuracy on the target's test images, in percent, with the binomial standard error (se) of one seed, or the "
    "standard deviation over several. All else is as in the preset, whose own setting is marked ○. Bold: the best of a "
    "task."
)

# What a report says of an axis without a table of it.
CLAIMS = {
    "pooling": "hw2 says of its DANN: with its source's five max-poolings at most 40% of SVHN's digits were right, "
    "with fewer over 45%, as pooling loses details; on USPS, whose digits are clear, the number hardly mattered."
}


def methods_by_task(model: PageModel) -> list[Block]:
    """The tables of methods, and apart from each what the oracle would have taken."""
    blocks: list[Block] = []
    for matrix in model.matrices:
        blocks += [Heading(f"Methods by task: {matrix.conditions}"), table(matrix)]
        blocks += [Prose(verdict) for verdict in verdicts(matrix)] + _oracles_best(matrix)
    return blocks


def table(matrix: Matrix) -> Table:
    """One row a method from source-only to trained-on-target, one column a task."""
    body = [[Cell(method), *(_cell(matrix, method, task) for task in matrix.tasks)] for method in matrix.methods]
    return Table(["", *matrix.tasks], [("", body)], _note(matrix))


def _cell(matrix: Matrix, method: str, task: str) -> Cell:
    """An accuracy, with its gain over source-only, marked ≈ where that is within noise."""
    row = matrix.rows.get((method, task))
    if row is None or row.mean is None:
        return Cell(NONE if row is None else ours_text(row), tone="quiet")
    gain, base, text = matrix.gain(method, task), matrix.source_only(task), ""
    if gain is not None and base is not None:
        text = f"{'≈ ' if within_noise(row, base) else ''}{100 * gain:+.2f}".replace("-", "−")
    apart = "" if base is None else unlike_data(row.group.first, base.group.first)
    note = " · ".join(filter(None, [text, counted(len(row.seeds), "seed"), apart]))
    return Cell(ours_text(row), tone="best" if method == matrix.best(task) else "", note=note)


def _note(matrix: Matrix) -> str:
    """How the table is to be read."""
    rows = [row for row in matrix.rows.values() if row.mean is not None]
    note = ["Accuracy on the target's test images, in percent, of runs of equal backbone and budget."]
    bases = {task: matrix.source_only(task) for task in matrix.tasks}
    pairs = [(row, bases[task]) for (_, task), row in matrix.rows.items() if row.mean is not None]
    if any(base is not None and unlike_data(row.group.first, base.group.first) for row, base in pairs):
        note.append("Where a cell names pictures, they were prepared otherwise than source only's, or are others.")
    if any(row.sd is not None for row in rows):
        note.append("± is the standard deviation over the seeds.")
    if any(row.sd is None for row in rows):
        note.append("± with (se) is one seed's binomial standard error; what another seed would change is not known.")
    if any(matrix.gain(method, task) is not None for method, task in matrix.rows):
        note.append(f"The gain is over source only; ≈ is within noise, less than {NOISE:g} standard errors of it.")
    note.append("Marked: the best of a task, the bound that learned from the target's labels aside.")
    return " ".join([*note, *_measured_at(rows)])


def _measured_at(rows: Iterable[Row]) -> list[str]:
    """At which checkpoints the adapted runs were measured."""
    adapted = [run for row in rows if row.method not in ("source", BOUND) for run in row.group.runs if run.evaluated]
    rules = [str(run.choice.get("rule")) for run in adapted if run.choice]
    if not rules:
        return []
    named, rest = joined(sorted(set(rules))), len(adapted) - len(rules)
    text = f"{counted(len(rules), 'adapted run')}: the checkpoint that a rule chose without target labels ({named})"
    return [f"{text}; {rest:,} without a choice: the preset's own." if rest else f"{text}."]


def verdicts(matrix: Matrix) -> list[str]:
    """For each task which methods noise does not tell from the best, and which are below source-only beyond it."""
    verdicts = []
    for task in matrix.tasks:
        rows, base, best = matrix.measured(task), matrix.source_only(task), matrix.best(task)
        if not best:
            continue
        # Who is as good as the best, as far as can be told; and who did harm for certain.
        alike = matrix.as_good(task)
        rest = f"{joined(alike)} {'is' if len(alike) == 1 else 'are'} within noise of it" if alike else "beyond noise"
        harmed = [m for m in rows if base and (matrix.gain(m, task) or 0) < 0 and not within_noise(rows[m], base)]
        below = f" Below source only, beyond noise: {joined(harmed)}." if harmed else ""
        verdicts.append(f"{task}: {best} is best, {rest}.{below}")
    return verdicts


def _oracles_best(matrix: Matrix) -> list[Block]:
    """The best checkpoint of each run by target labels, which nothing may choose by."""
    body = []
    for method in matrix.methods:
        if any(matrix.watched(method, task) for task in matrix.tasks):
            texts = [oracle_texts(matrix, method, task) for task in matrix.tasks]
            cells = [Cell(best, tone="" if regret else "quiet", note=regret) for best, regret in texts]
            body.append([Cell(method), *cells])
    heading = Heading("The oracle's best checkpoint")
    return [heading, Table(["", *matrix.tasks], [("", body)], ORACLE_NOTE)] if body else []


def settings_by_task(model: PageModel) -> list[Block]:
    """A table for each method and axis that was varied."""
    return settings_blocks(model.settings)


def settings_blocks(tables: Iterable[SettingsTable]) -> list[Block]:
    """Each table of settings, with its title."""
    blocks: list[Block] = []
    for settings in tables:
        body = []
        for setting in settings.settings:
            cells = [Cell(setting)]
            for task in settings.tasks:
                row, note = settings.rows.get((setting, task)), ""
                tone = "best" if setting == settings.best(task) else ""
                if row is None or row.mean is None:
                    tone = "quiet"
                else:
                    published = "" if row.published is None else f"published {percent(row.published)}"
                    note = " · ".join(filter(None, [published, counted(len(row.seeds), "seed")]))
                cells.append(Cell(settings.text(setting, task), tone=tone, note=note))
            body.append(cells)
        blocks += [Heading(settings.title), Table(["", *settings.tasks], [("", body)], SETTINGS_NOTE)]
        blocks += [Prose(claim)] if (claim := CLAIMS.get(settings.axis)) else []
        for task in settings.tasks:
            if best := settings.best(task):
                alike = settings.as_good(task)
                verb = "is" if len(alike) == 1 else "are"
                rest = f"{joined(alike)} {verb} within noise of it" if alike else "beyond noise"
                blocks.append(Prose(f"{task}: {best} is best, {rest}."))
    return blocks
