"""One method in several ways: tables of a setting by task, such as ADDA's learning rate and its transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from genshift.presets.methods import title_of
from genshift.report.blocks import Block, Cell, Heading, Table
from genshift.report.model.formatting import counted, ours_text
from genshift.report.model.grouping import Group, conditions_of
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.summary import Row, row_of
from genshift.report.sections.method_comparison import equal_conditions, method_options
from genshift.runs.records import RunRecord

AXES = {"learning rate": ("lr",), "transform": ("colour", "mean", "std")}
NOTE = (
    "Accuracy on the target's test images, in percent, with the binomial standard error (se) of one seed, or the "
    "standard deviation over several. All else is as in the preset, whose own setting is marked ○. Bold: the best of a "
    "task."
)


@dataclass(frozen=True)
class Variants:
    """A method's rows by (setting, task), of runs that differ in one axis alone; `own` are the preset's settings."""

    title: str
    settings: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: dict[tuple[str, str], Row]
    own: frozenset[tuple[str, str]]

    def best(self, task: str) -> str:
        """The setting with the highest mean; '' where fewer than two were measured."""
        means = {s: row.mean for (s, at), row in self.rows.items() if at == task and row.mean is not None}
        return max(means, key=lambda setting: means[setting]) if len(means) > 1 else ""

    def text(self, setting: str, task: str) -> str:
        """A cell: accuracy, and a mark where the preset has this setting; – where it was not run."""
        row = self.rows.get((setting, task))
        return "–" if row is None else f"{ours_text(row)}{' ○' if (setting, task) in self.own else ''}"


def variants(runs: Sequence[RunRecord]) -> list[Variants]:
    """A table for each method and axis of which the runs hold more than one setting, at equal backbone and budget, and
    with whatever else was given alike."""
    alike: dict[tuple[str, str], list[Group]] = {}
    for (study, equal), groups in equal_conditions(runs).items():
        for axis, group in product(AXES, groups):
            others = [conditions_of(group.first)[key] for key in method_options(group.first) if key not in AXES[axis]]
            title = f"{study}: {', '.join([title_of(group.method), *others])} by {axis} and task: {equal}"
            alike.setdefault((title, axis), []).append(group)
    found = [_variants(title, AXES[axis], groups) for (title, axis), groups in alike.items()]
    return [each for each in found if len(each.settings) > 1 and len(each.own) < len(each.rows)]


def _variants(title: str, keys: Sequence[str], groups: Sequence[Group]) -> Variants:
    placed = {(_setting(group.first, keys), group.task): group for group in groups}
    own = frozenset(at for at, group in placed.items() if not set(method_options(group.first)) & set(keys))
    values = {setting: [group.first.fields.get(key) for key in keys] for (setting, _), group in placed.items()}
    settings = tuple(sorted(values, key=lambda setting: values[setting]))
    tasks = tuple(dict.fromkeys(task for _, task in placed))
    return Variants(title, settings, tasks, {at: row_of(group, TARGET_ACCURACY) for at, group in placed.items()}, own)


def _setting(run: RunRecord, keys: Sequence[str]) -> str:
    return ", ".join(conditions_of(run)[key] for key in keys if key in conditions_of(run))


def variants_by_task(runs: Sequence[RunRecord]) -> list[Block]:
    """The tables of `variants` as a page shows them."""
    blocks: list[Block] = []
    for each in variants(runs):
        body = [[Cell(s), *(_cell(each, s, task) for task in each.tasks)] for s in each.settings]
        blocks += [Heading(each.title), Table(["", *each.tasks], [("", body)], NOTE)]
    return blocks


def _cell(each: Variants, setting: str, task: str) -> Cell:
    row = each.rows.get((setting, task))
    text = each.text(setting, task)
    if row is None or row.mean is None:
        return Cell(text, tone="quiet")
    published = "" if row.published is None else f"published {percent(row.published)}"
    said = " · ".join(filter(None, [published, counted(len(row.seeds), "seed")]))
    return Cell(text, tone="best" if setting == each.best(task) else "", note=said)
