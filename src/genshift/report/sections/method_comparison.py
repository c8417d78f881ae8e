"""Methods by task: the table of adaptation, of runs of equal backbone, data and budget alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genshift.presets.methods import METHODS, title_of
from genshift.report.blocks import Block, Cell, Heading, Prose, Table
from genshift.report.model.formatting import counted, joined, ours_text
from genshift.report.model.grouping import Group, conditions_of, group_runs
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.summary import Row, row_of
from genshift.runs.records import RunRecord

BOUND = "target"  # learns from the target's own labels: no method is held against it
NOISE = 2.0  # standard errors of a difference: within them, another draw of test images or seeds could turn it round
ORACLE_NOTE = (
    "The highest accuracy of a run's own curve, on the oracle's images, mean over seeds; with it how far below the "
    "checkpoint in use is, on the same images. It is picked by target labels: no accuracy to be had; it never steers."
)
STUDYS, OWN = "the study's", "the presets' own budget"
BACKBONE = ("width", "size")
BUDGET = ("images", "epochs", "minutes")


@dataclass(frozen=True)
class Matrix:
    """Rows of equal conditions by (method, task); a pair that was not run has none.

    `conditions` says in words what is equal. A task that was run on unlike data has a column for each.
    """

    conditions: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: dict[tuple[str, str], Row]

    def measured(self, task: str) -> dict[str, Row]:
        """The rows of a task that were evaluated, by method."""
        found = {method: self.rows.get((method, task)) for method in self.methods}
        return {method: row for method, row in found.items() if row is not None and row.mean is not None}

    def source_only(self, task: str) -> Row | None:
        """The row that gains are counted from: of several, the one without settings of its own."""
        return next((row for row in self.measured(task).values() if row.method == "source"), None)

    def gain(self, method: str, task: str) -> float | None:
        """Accuracy above source-only's, as a share; None for source-only itself, and where either is unknown."""
        row, base = self.measured(task).get(method), self.source_only(task)
        return None if row is None or base is None or row is base else (row.mean or 0.0) - (base.mean or 0.0)

    def best(self, task: str) -> str:
        """The method of the highest mean, the bound aside; '' where fewer than two were measured."""
        found = {method: row.mean or 0.0 for method, row in self.measured(task).items() if row.method != BOUND}
        return max(found, key=lambda method: found[method]) if len(found) > 1 else ""

    def as_good(self, task: str) -> list[str]:
        """The methods that noise does not tell from the best, that one aside."""
        found, best = self.measured(task), self.best(task)
        others = [method for method in found if best and method != best and found[method].method != BOUND]
        return [method for method in others if within_noise(found[best], found[method])]


def within_noise(one: Row, other: Row) -> bool:
    """Whether two means differ by less than NOISE standard errors of their difference.

    Each one's error holds the binomial one of its test images and, of two seeds or more, that of the mean over seeds.
    The test images are the same, which the binomial errors do not know: too much is called noise rather than too
    little. What another seed would change is unknown where there is one.
    """
    return abs((one.mean or 0.0) - (other.mean or 0.0)) < NOISE * math.hypot(_error(one), _error(other))


def _error(row: Row) -> float:
    of_seeds = 0.0 if row.sd is None else row.sd / math.sqrt(len(row.seeds))
    return math.hypot(row.standard_error or 0.0, of_seeds)


# --- equal conditions -----------------------------------------------------------------------------------------------


def matrices(runs: Sequence[RunRecord]) -> list[Matrix]:
    """One table for each study, backbone and budget that holds two methods or more of which one adapts."""
    found = [_matrix(said, groups) for (_, said), groups in equal_conditions(runs).items()]
    return [each for each in found if _compares(each)]


def equal_conditions(runs: Sequence[RunRecord]) -> dict[tuple[str, str], list[Group]]:
    """The groups of adapting runs by their study, and by backbone and budget in words.

    A preset that is smaller than its study's budget was run whole: it stands with those that the budget cut short.
    """
    groups = group_runs([run for run in runs if run.adapts])
    cut: dict[tuple[str, str], int] = {}
    for run in (group.first for group in groups):
        if _budget(run).startswith(STUDYS):
            key = run.study, conditions(run)
            cut[key] = max(cut.get(key, 0), run.budget or 0)
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        found.setdefault(_place(group.first, cut), []).append(group)
    return found


def _place(run: RunRecord, cut: dict[tuple[str, str], int]) -> tuple[str, str]:
    own = run.study, conditions(run)
    if _budget(run) == OWN:
        within = [key for key, most in cut.items() if _alike(run, key) and (run.budget or 0) <= most]
        return within[0] if within else own
    return own


def _alike(run: RunRecord, key: tuple[str, str]) -> bool:
    return key[0] == run.study and key[1].rpartition("; ")[0] == conditions(run).rpartition("; ")[0]


def _compares(matrix: Matrix) -> bool:
    """Whether there is more to see than in the table of one task's three roles."""
    roles = {row.method for row in matrix.rows.values()}
    return len(roles) > 1 and bool(roles - {"source", BOUND}) and (len(matrix.tasks) > 1 or len(roles) > 3)


def conditions(run: RunRecord) -> str:
    """Backbone and budget in words, e.g. "residual networks, width 64, size 28; the study's cpu budget"."""
    named = run.preset.get("networks")
    backbone = [f"{named} networks" if named else "", *(conditions_of(run).get(key, "") for key in BACKBONE)]
    return f"{', '.join(filter(None, backbone))}; {_budget(run)}"


def _budget(run: RunRecord) -> str:
    """Minutes or images that were asked for, or whose budget it is: a study's gives each method its own images."""
    if run.budget is None:
        return f"{run.config.get('minutes')} minutes"
    origin, asked = str(run.origins.get("images", "")), int(run.fields.get("images", 0))
    if origin.startswith(f"ours ({STUDYS}"):
        return origin.removeprefix("ours (").removesuffix(")")
    a_step = max(int(run.fields.get(key, 1)) for key in ("batch_source", "batch_target"))
    if origin.startswith("yours") or not asked <= run.budget < asked + a_step:
        return f"{run.budget:,} images"
    return OWN


def _matrix(said: str, groups: Sequence[Group]) -> Matrix:
    rows: dict[tuple[str, str], Row] = {}
    for task, members in _columns(groups).items():
        names = [_method(group) for group in members]
        for name, group in zip(names, members, strict=True):
            rows[name if names.count(name) == 1 else group.label, task] = row_of(group, TARGET_ACCURACY)
    places = list(METHODS)
    roles = {method: row.method for (method, _), row in rows.items()}
    order = sorted(roles, key=lambda m: (places.index(roles[m]) if roles[m] in places else 1, m))
    return Matrix(said, tuple(order), tuple(dict.fromkeys(task for _, task in rows)), rows)


def _method(group: Group) -> str:
    """The role, and the options that were given for it."""
    return ", ".join(
        [title_of(group.method), *(conditions_of(group.first)[key] for key in method_options(group.first))]
    )


def method_options(run: RunRecord) -> list[str]:
    """The options that were given for another value than the preset's, but for data, backbone and budget."""
    return [
        key for key in run.changed if key in conditions_of(run) and key not in (*BACKBONE, *BUDGET, "source", "target")
    ]


def _columns(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each task and data. The bound knows no source: it stands beside all that share its target."""
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.method != BOUND:
            found.setdefault((group.task, _prints(group.first)), []).append(group)
    for group in groups:
        if group.method == BOUND:
            target = _print(group.first, "target")
            shared = [key for key, members in found.items() if key[0] == group.task and target in key[1]]
            for key in shared or [(group.task, _prints(group.first))]:
                found.setdefault(key, []).append(group)
    tasks = [task for task, _ in found]
    return {task if tasks.count(task) == 1 else f"{task} ({prints})": own for (task, prints), own in found.items()}


def _prints(run: RunRecord) -> str:
    """The data that a run learned from."""
    return ", ".join(_print(run, part) for part in run.data if part != "held_out")


def _print(run: RunRecord, part: str) -> str:
    known = run.data.get(part)
    return conditions_of(run).get(f"{part} data") or f"{part} {known.fingerprint if known else None}"


# --- tables ---------------------------------------------------------------------------------------------------------


def methods_by_task(runs: Sequence[RunRecord]) -> list[Block]:
    """The tables of `matrices`, and apart from each what the oracle would have taken."""
    blocks: list[Block] = []
    for matrix in matrices(runs):
        blocks += [Heading(f"Methods by task: {matrix.conditions}"), table(matrix)]
        blocks += [Prose(said) for said in verdicts(matrix)] + oracles_best(matrix)
    return blocks


def table(matrix: Matrix) -> Table:
    """One row a method from source-only to trained-on-target, one column a task."""
    body = [[Cell(method), *(_cell(matrix, method, task) for task in matrix.tasks)] for method in matrix.methods]
    return Table(["", *matrix.tasks], [("", body)], note(matrix))


def _cell(matrix: Matrix, method: str, task: str) -> Cell:
    row = matrix.rows.get((method, task))
    if row is None or row.mean is None:
        return Cell("–" if row is None else ours_text(row), tone="quiet")
    said = filter(None, [gain_text(matrix, method, task), counted(len(row.seeds), "seed")])
    return Cell(ours_text(row), tone="best" if method == matrix.best(task) else "", note=" · ".join(said))


def gain_text(matrix: Matrix, method: str, task: str) -> str:
    """Points above source-only, marked ≈ where they are within noise; '' where there is no gain to speak of."""
    gain, base, row = matrix.gain(method, task), matrix.source_only(task), matrix.rows.get((method, task))
    if gain is None or base is None or row is None:
        return ""
    return f"{'≈ ' if within_noise(row, base) else ''}{100 * gain:+.2f}".replace("-", "−")


def note(matrix: Matrix) -> str:
    """How the table is to be read."""
    rows = [row for row in matrix.rows.values() if row.mean is not None]
    said = ["Accuracy on the target's test images, in percent, of runs of equal backbone, data and budget."]
    if any(row.sd is not None for row in rows):
        said.append("± is the standard deviation over the seeds.")
    if any(row.sd is None for row in rows):
        said.append("± with (se) is one seed's binomial standard error; what another seed would change is not known.")
    if any(matrix.gain(method, task) is not None for method, task in matrix.rows):
        said.append(f"The gain is over source only; ≈ is within noise, less than {NOISE:g} standard errors of it.")
    said.append("Marked: the best of a task, the bound that learned from the target's labels aside.")
    return " ".join([*said, *_measured_at(rows)])


def _measured_at(rows: Iterable[Row]) -> list[str]:
    """At which checkpoints the adapted runs were measured."""
    adapted = [run for row in rows if row.method not in ("source", BOUND) for run in row.group.runs if run.evaluated]
    rules = [str(run.choice.get("rule")) for run in adapted if run.choice]
    if not rules:
        return []
    named, rest = joined(sorted(set(rules))), len(adapted) - len(rules)
    said = f"{counted(len(rules), 'adapted run')}: the checkpoint that a rule chose without target labels ({named})"
    return [f"{said}; {rest:,} without a choice: the preset's own." if rest else f"{said}."]


def verdicts(matrix: Matrix) -> list[str]:
    """For each task which methods noise does not tell from the best, and which are below source-only beyond it."""
    said = []
    for task in matrix.tasks:
        found, base, best = matrix.measured(task), matrix.source_only(task), matrix.best(task)
        if not best:
            continue
        alike = matrix.as_good(task)
        rest = f"{joined(alike)} {'is' if len(alike) == 1 else 'are'} within noise of it" if alike else "beyond noise"
        harmed = [m for m in found if base and (matrix.gain(m, task) or 0) < 0 and not within_noise(found[m], base)]
        below = f" Below source only, beyond noise: {joined(harmed)}." if harmed else ""
        said.append(f"{task}: {best} is best, {rest}.{below}")
    return said


def oracles_best(matrix: Matrix) -> list[Block]:
    """The best checkpoint of each run by target labels, which nothing may choose by."""
    body = [[Cell(method), *(_oracle_cell(matrix, method, t) for t in matrix.tasks)] for method in with_curves(matrix)]
    heading = Heading("The oracle's best checkpoint")
    return [heading, Table(["", *matrix.tasks], [("", body)], ORACLE_NOTE)] if body else []


def _oracle_cell(matrix: Matrix, method: str, task: str) -> Cell:
    best, said = oracle_texts(matrix, method, task)
    return Cell(best, tone="" if said else "quiet", note=said)


def with_curves(matrix: Matrix) -> list[str]:
    """The methods that the oracle watched."""
    return [method for method in matrix.methods if any(_curves(matrix, method, task) for task in matrix.tasks)]


def _curves(matrix: Matrix, method: str, task: str) -> list[tuple[RunRecord, dict[int, float]]]:
    """Each seed's run and its curve: accuracy by images seen."""
    row = matrix.rows.get((method, task))
    found = [
        (run, {int(r["images"]): float(r["target_accuracy"]) for r in run.oracle if "target_accuracy" in r})
        for run in (row.group.runs if row else ())
    ]
    return [(run, curve) for run, curve in found if curve]


def oracle_texts(matrix: Matrix, method: str, task: str) -> tuple[str, str]:
    """The best accuracy, and how far below it the checkpoint in use is, where that is known."""
    curves = _curves(matrix, method, task)
    if not curves:
        return "–", ""
    bests = [max(curve.values()) for _, curve in curves]
    used = [curve.get(_used(run, curve)) for run, curve in curves]
    regrets = [best - value for best, value in zip(bests, used, strict=True) if value is not None]
    said = f"in use: {100 * statistics.fmean(regrets):.2f} below" if len(regrets) == len(bests) else ""
    return percent(statistics.fmean(bests)), said


def _used(run: RunRecord, curve: dict[int, float]) -> int:
    """Images that the checkpoint in use had seen; -1 where the folder does not say (the best on held-out images)."""
    if run.choice:
        return int(run.choice.get("images", -1))
    return -1 if run.fields.get("select") == "best" else max(curve)
