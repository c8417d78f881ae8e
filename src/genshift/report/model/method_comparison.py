"""Methods by task, and one method's settings by task: rows of runs of equal backbone, data and budget alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genshift.presets.base import LATER
from genshift.presets.methods import METHODS, title_of
from genshift.report.model.formatting import NONE, ours_text
from genshift.report.model.grouping import Group, conditions_of
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.summary import Row, row_of
from genshift.runs.records import RunRecord

BOUND = "target"  # learns from the target's own labels: no method is held against it
NOISE = 2.0  # standard errors of a difference: within them, another draw of test images or seeds could turn it round
STUDYS, OWN = "the study's", "the presets' own budget"
BACKBONE = ("width", "size")  # the fields that say which, beside the networks' name
PICTURES = ("colour", "mean", "std", "frame", "fit", "background", "extra")  # the fields that make a set's pictures
BUDGET = ("images", "epochs", "minutes")
# The fields that each axis of a study varies. hw2's poolings need their size.
AXES = {
    "learning rate": ("lr",),
    "transform": ("colour", "mean", "std"),
    "pooling": ("pooling", "size"),
    "loaders": ("loaders", "batch_source", "batch_target"),
}


def within_noise(one: Row, other: Row) -> bool:
    """Whether two means differ by less than NOISE standard errors of their difference.

    Each one's error holds the binomial one of its test images and, of two seeds or more, that of the mean over seeds.
    The test images are the same, which the binomial errors do not know: too much is called noise rather than too
    little. What another seed would change is unknown where there is one.
    """
    errors = []  # of both, which add as independent ones do
    for row in (one, other):
        errors += [row.standard_error or 0.0, 0.0 if row.sd is None else row.sd / math.sqrt(len(row.seeds))]
    return abs((one.mean or 0.0) - (other.mean or 0.0)) < NOISE * math.hypot(*errors)


# --- equal conditions -------------------------------------------------------------------------------------------------


def equal_conditions(groups: Sequence[Group], leave_out: Sequence[str] = ()) -> dict[tuple[str, str], list[Group]]:
    """The groups that adapt by their study, and by backbone and budget in words, but for the fields `leave_out`.

    A preset that is smaller than its study's budget was run whole: it stands with those that the budget cut short.
    """
    adapting = [group for group in groups if group.first.of_adaptation]
    largest: dict[tuple[str, str], int] = {}  # of the budgets that a study cut to its own
    for run in (group.first for group in adapting):
        if _budget(run).startswith(STUDYS):
            key = run.study, backbone_and_budget(run, leave_out)
            largest[key] = max(largest.get(key, 0), run.budget or 0)
    equal: dict[tuple[str, str], list[Group]] = {}
    for group in adapting:
        # Where a preset was run whole, it joins a budget that was cut and holds it, on the same backbone.
        run, place = group.first, (group.study, backbone_and_budget(group.first, leave_out))
        if _budget(run) == OWN:
            backbone = place[1].rpartition("; ")[0]
            cut = [key for key, images in largest.items() if (run.budget or 0) <= images]
            same = [key for key in cut if key[0] == run.study and key[1].rpartition("; ")[0] == backbone]
            place = same[0] if same else place
        equal.setdefault(place, []).append(group)
    return equal


def backbone_and_budget(run: RunRecord, leave_out: Sequence[str] = ()) -> str:
    """In words, e.g. "residual networks, width 64, size 28; the study's cpu budget", but for the fields `leave_out`."""
    named, keys = run.preset.get("networks"), [key for key in BACKBONE if key not in leave_out]
    backbone = [f"{named} networks" if named else "", *(conditions_of(run).get(key, "") for key in keys)]
    return f"{', '.join(filter(None, backbone))}; {_budget(run)}"


def _budget(run: RunRecord) -> str:
    """Minutes or images that were asked for, or whose budget it is: a study's gives each method its own images."""
    if run.budget is None:
        return f"{run.config.get('minutes')} minutes"
    origin, asked = run.origins.get("images", ""), int(run.fields.get("images", 0))
    if origin.startswith(f"ours ({STUDYS}"):
        return origin.removeprefix("ours (").removesuffix(")")
    # The last batch is whole, so that a few images more than asked for are still what was asked for.
    a_step = max(int(run.fields.get(key, 1)) for key in ("batch_source", "batch_target"))
    if origin.startswith("yours") or not asked <= run.budget < asked + a_step:
        return f"{run.budget:,} images"
    return OWN


def method_options(run: RunRecord) -> list[str]:
    """The options that were given for another value than the preset's, but for data, backbone and budget."""
    apart = (*BACKBONE, *BUDGET, "source", "target")
    return [key for key in run.changed if key in conditions_of(run) and key not in apart]


def _with_options(group: Group, leave_out: Sequence[str] = ()) -> str:
    """The method's title, and the options that were given for it."""
    given = [conditions_of(group.first)[key] for key in method_options(group.first) if key not in leave_out]
    return ", ".join([title_of(group.method), *given])


# --- methods by task --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """Rows of equal conditions by (method, task); a pair that was not run has none.

    `conditions` says in words what is equal. Where a method learned from its pictures prepared in another way than
    source-only's, or from others, its cell says so.
    """

    conditions: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: dict[tuple[str, str], Row]

    def measured(self, task: str) -> dict[str, Row]:
        """The rows of a task that were evaluated, by method."""
        rows = {method: self.rows.get((method, task)) for method in self.methods}
        return {method: row for method, row in rows.items() if row is not None and row.mean is not None}

    def source_only(self, task: str) -> Row | None:
        """The row that gains are counted from: of several, the one without settings of its own."""
        return next((row for row in self.measured(task).values() if row.method == "source"), None)

    def gain(self, method: str, task: str) -> float | None:
        """Accuracy above source-only's, as a share; None for source-only itself, and where either is unknown."""
        row, base = self.measured(task).get(method), self.source_only(task)
        return None if row is None or base is None or row is base else (row.mean or 0.0) - (base.mean or 0.0)

    def best(self, task: str) -> str:
        """The method of the highest mean, the bound aside; '' where fewer than two were measured."""
        means = {method: row.mean or 0.0 for method, row in self.measured(task).items() if row.method != BOUND}
        return max(means, key=lambda method: means[method]) if len(means) > 1 else ""

    def as_good(self, task: str) -> list[str]:
        """The methods that noise does not tell from the best, that one aside."""
        rows, best = self.measured(task), self.best(task)
        others = [method for method in rows if best and method != best and rows[method].method != BOUND]
        return [method for method in others if within_noise(rows[best], rows[method])]

    def watched(self, method: str, task: str) -> list[tuple[RunRecord, dict[int, float]]]:
        """The runs that the oracle watched, each with its curve: accuracy by images seen."""
        row = self.rows.get((method, task))
        return [(run, run.oracle_curve) for run in (row.group.runs if row else ()) if run.oracle_curve]


def matrices(groups: Sequence[Group]) -> list[Matrix]:
    """One table for each study, backbone and budget that holds two methods or more of which one adapts, and more than
    one task's three methods, which that task's own table shows."""
    tables = [_matrix(conditions, members) for (_, conditions), members in equal_conditions(groups).items()]
    kept = []
    for table in tables:
        methods = {row.method for row in table.rows.values()}
        if len(methods) > 1 and methods - {"source", BOUND} and (len(table.tasks) > 1 or len(methods) > 3):
            kept.append(table)
    return kept


def _matrix(conditions: str, groups: Sequence[Group]) -> Matrix:
    rows: dict[tuple[str, str], Row] = {}
    by_task: dict[str, list[Group]] = {}
    for group in groups:
        by_task.setdefault(group.task, []).append(group)
    for task, members in by_task.items():
        # Two groups of one name are told apart by their whole labels.
        names = [_with_options(group) for group in members]
        for name, group in zip(names, members, strict=True):
            rows[name if names.count(name) == 1 else group.label, task] = row_of(group, TARGET_ACCURACY)
    # As the table of methods has them; one that is not there stands after source-only.
    places = list(METHODS)
    methods = {name: row.method for (name, _), row in rows.items()}
    order = sorted(methods, key=lambda m: (places.index(methods[m]) if methods[m] in places else 1, m))
    return Matrix(conditions, tuple(order), tuple(dict.fromkeys(task for _, task in rows)), rows)


def unlike_data(run: RunRecord, base: RunRecord) -> str:
    """How the pictures that a run learned from are other ones than the base's, in words; '' where they are the same."""
    # By the sets' names: the bound has for its source what is the others' target.
    known = {entry.name: entry for part, entry in base.data.items() if part != "held_out"}
    pairs = [(own, known[own.name]) for part, own in run.data.items() if part != "held_out" and own.name in known]
    if all(own.fingerprint == other.fingerprint for own, other in pairs):
        return ""
    one, expected = conditions_of(run), conditions_of(base)
    words = [one[key] for key in PICTURES if key in one and one[key] != expected.get(key)]
    words += [f"{own.n:,} images of {own.name}" for own, other in pairs if own.n is not None and own.n != other.n]
    # The bound's digest differs by the labels alone, which it has of the others' sealed target.
    return ", ".join(words) or ("" if run.method == BOUND else "other pictures")


def oracle_texts(matrix: Matrix, method: str, task: str) -> tuple[str, str]:
    """The best accuracy, and how far below it the checkpoint in use is, where that is known."""
    watched = matrix.watched(method, task)
    if not watched:
        return NONE, ""
    bests, regrets = [], []
    for run, curve in watched:
        bests.append(max(curve.values()))
        if run.choice:
            used = int(run.choice.get("images", -1))
        else:  # -1: the folder does not say which was best on held-out images
            used = -1 if run.fields.get("select") == "best" else max(curve)
        if used in curve:
            regrets.append(bests[-1] - curve[used])
    known = len(regrets) == len(bests)
    return percent(statistics.fmean(bests)), f"in use: {100 * statistics.fmean(regrets):.2f} below" if known else ""


# --- one method's settings by task ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SettingsTable:
    """A method's rows by (setting, task), of runs that differ in one axis alone, such as its learning rate; `own` are
    the preset's settings. axis: a key of AXES."""

    axis: str
    title: str
    settings: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: dict[tuple[str, str], Row]
    own: frozenset[tuple[str, str]]

    def best(self, task: str) -> str:
        """The setting with the highest mean; '' where fewer than two were measured."""
        means = {s: row.mean for (s, at), row in self.rows.items() if at == task and row.mean is not None}
        return max(means, key=lambda setting: means[setting]) if len(means) > 1 else ""

    def as_good(self, task: str) -> list[str]:
        """The settings that noise does not tell from the best, that one aside; none where there is no best."""
        measured = {s: row for (s, at), row in self.rows.items() if at == task and row.mean is not None}
        best = self.best(task)
        return [s for s, row in measured.items() if best and s != best and within_noise(measured[best], row)]

    def text(self, setting: str, task: str) -> str:
        """A cell: accuracy, and a mark where the preset has this setting; – where it was not run."""
        row = self.rows.get((setting, task))
        return NONE if row is None else f"{ours_text(row)}{' ○' if (setting, task) in self.own else ''}"


def settings_tables(groups: Sequence[Group]) -> list[SettingsTable]:
    """A table for each method and axis of which the runs hold more than one setting, at equal backbone and budget, and
    with whatever else was given alike."""
    alike: dict[tuple[str, str], list[Group]] = {}
    for axis, keys in AXES.items():
        for (study, equal), members in equal_conditions(groups, leave_out=keys).items():
            for group in members:
                title = f"{study}: {_with_options(group, leave_out=keys)} by {axis} and task: {equal}"
                alike.setdefault((title, axis), []).append(group)
    tables = [_settings_table(axis, title, members) for (title, axis), members in alike.items()]
    return [table for table in tables if len(table.settings) > 1 and len(table.own) < len(table.rows)]


def _settings_table(axis: str, title: str, groups: Sequence[Group]) -> SettingsTable:
    keys = AXES[axis]
    placed: dict[tuple[str, str], Group] = {}
    for group in groups:
        # What is as it was before it was an option is no condition, and here it is one of the settings.
        conditions = {key: f"{key} {LATER[key]}" for key in keys if key in LATER} | conditions_of(group.first)
        placed[", ".join(conditions[key] for key in keys if key in conditions), group.task] = group
    # A preset's own setting is one in which no option of this axis was given.
    own = frozenset(at for at, group in placed.items() if not set(method_options(group.first)) & set(keys))
    values = {
        setting: [group.first.fields.get(key, LATER.get(key)) for key in keys] for (setting, _), group in placed.items()
    }
    # By value, not by their words: 1e-05 before 0.001.
    settings = tuple(sorted(values, key=lambda setting: values[setting]))
    tasks = tuple(dict.fromkeys(task for _, task in placed))
    rows = {at: row_of(group, TARGET_ACCURACY) for at, group in placed.items()}
    return SettingsTable(axis, title, settings, tasks, rows, own)
