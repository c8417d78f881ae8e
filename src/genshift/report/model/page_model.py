"""Everything that a page says of some runs, computed once: page.py, results_md.py and console.py write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genshift.report.model.comparison import Comparison, comparison
from genshift.report.model.grouping import Group, group_runs, subject_of
from genshift.report.model.label_free import Estimates, RuleChoices, estimates, names_of_runs, rule_choices
from genshift.report.model.method_comparison import Matrix, SettingsTable, matrices, settings_tables
from genshift.report.model.summary import Row, Shortfall, cautions, rows_of, shortfalls
from genshift.runs.records import RunRecord


@dataclass(frozen=True)
class Subject:
    """What one section is about: a task of adaptation, generators of one kind by their data, or one preset.

    `runs` are in the order of tables. `rows` are values over seeds, as `rows_of` has them; `comparison` holds every
    metric of every group.
    """

    runs: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    rows: tuple[Row, ...]
    comparison: Comparison
    cautions: tuple[str, ...]

    @property
    def first(self) -> RunRecord:
        """The run that tells what the subject is."""
        return self.runs[0]

    @property
    def studies(self) -> list[str]:
        return list(dict.fromkeys(run.study for run in self.runs))


def restricted(subject: Subject, groups: Sequence[Group]) -> Subject:
    """The subject with these of its groups alone, in this order."""
    rows = tuple(row for group in groups for row in subject.rows if row.group is group)
    runs = tuple(run for group in groups for run in group.runs)
    return Subject(runs, tuple(groups), rows, comparison(groups), tuple(cautions(groups, rows)))


@dataclass(frozen=True)
class PageModel:
    """What some runs come to. `runs` are in the order of tables, `subjects` in that of their first runs.

    `matrices` hold methods by task, `settings` one method's settings by task, `choices` and `estimates` what is known
    without target labels. `causes` are hand-written: why a row fell short, by its task, method or label. `unread`
    says of other runs why they could not be read.
    """

    runs: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    rows: tuple[Row, ...]
    subjects: tuple[Subject, ...]
    matrices: tuple[Matrix, ...]
    settings: tuple[SettingsTable, ...]
    choices: tuple[RuleChoices, ...]
    estimates: tuple[Estimates, ...]
    cautions: tuple[str, ...]
    shortfalls: tuple[Shortfall, ...]
    causes: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def adapting(self) -> list[RunRecord]:
        return [run for run in self.runs if run.of_adaptation]


def page_model(
    runs: Sequence[RunRecord], causes: Mapping[str, str] | None = None, unread: Sequence[str] = ()
) -> PageModel:
    """Computes all of it, of runs as `read_runs` sorts them; `unread` says of others why they could not be read."""
    # Groups and their values over seeds, from which all else is made.
    groups = group_runs(runs)
    rows = {group: rows_of(group) for group in groups}
    every_row = [row for group in groups for row in rows[group]]
    # What the sections are about.
    subjects = []
    for subject in dict.fromkeys(map(subject_of, runs)):
        own = [group for group in groups if subject_of(group.first) == subject]
        values = [row for group in own for row in rows[group]]
        members = tuple(run for run in runs if subject_of(run) == subject)
        subjects.append(Subject(members, tuple(own), tuple(values), comparison(own), tuple(cautions(own, values))))
    # Tables over all runs.
    names = names_of_runs(runs, groups)
    return PageModel(
        runs=tuple(runs),
        groups=tuple(groups),
        rows=tuple(every_row),
        subjects=tuple(subjects),
        matrices=tuple(matrices(groups)),
        settings=tuple(settings_tables(groups)),
        choices=tuple(rule_choices(names)),
        estimates=tuple(estimates(names)),
        cautions=tuple(cautions(groups, every_row)),
        shortfalls=tuple(shortfalls(every_row)),
        causes=causes or {},
        unread=tuple(unread),
    )
