"""Which rule should a user trust? Label-free choices held against the oracle, over all runs of a page."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from genshift.report.blocks import Block, Cell, Choice, Figure, Figures, Heading, Option, Prose, Section, Table, Terms
from genshift.report.figures.plotting import LINES, TARGET, curve, over_images, spec
from genshift.report.model.formatting import counted
from genshift.report.model.grouping import group_runs
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.run_records import Run
from genshift.runs.find import source_only_accuracy
from genshift.runs.folder import RunFolder
from genshift.selection.rules import (
    BEST,
    DEFAULT,
    ESTIMATE,
    ESTIMATES,
    MARGIN,
    OFF,
    RULES,
    SCORES,
    Score,
    choose,
)

TITLE = "Which rule should a user trust?"


@dataclass(frozen=True)
class Judged:
    """A run whose candidates the oracle has measured: `accuracy` of each, by images seen, and what each rule takes."""

    run: Run
    label: str
    accuracy: dict[int, float]
    taken: dict[str, int]

    @property
    def best(self) -> float:
        return max(self.accuracy.values())

    def regret(self, rule: str) -> float:
        """How far the rule's choice is below the best candidate, as a share in [0, 1]."""
        return self.best - self.accuracy[self.taken[rule]]


def trust(runs: Sequence[Run]) -> list[Section]:
    """The section, where any run has scored candidates and an oracle curve over them; and the one on estimates."""
    found = judged(runs)
    if not found:
        return estimates(runs)
    blocks = [*regrets(found), Terms(tuple(RULES.items()))]
    blocks += [Heading("Scores beside the oracle"), Prose(CURVES_NOTE), _by_task(found)]
    return [Section(TITLE, blocks), *estimates(runs)]


def in_tables(runs: Sequence[Run]) -> list[Section]:
    """What of `trust` is words and tables."""
    found = judged(runs)
    return [*([Section(TITLE, regrets(found))] if found else []), *estimates(runs)]


def regrets(found: Sequence[Judged]) -> list[Block]:
    """How far below the oracle each rule's choices are."""
    return [Prose(_lead(found)), regret_table(found)]


def _by_task(found: Sequence[Judged]) -> Block:
    """The curves of every run, one task at a time where there are several."""
    tasks: dict[str, list[Figure]] = {}
    for each in found:
        tasks.setdefault(f"{each.run.study}: {each.run.task}", []).append(score_curves(each))
    shown = {task: Figures(drawn) for task, drawn in tasks.items()}
    return Choice([Option(task, [drawn]) for task, drawn in shown.items()]) if len(shown) > 1 else shown.popitem()[1]


def judged(runs: Sequence[Run]) -> list[Judged]:
    """The runs with scores whose every candidate the oracle measured, and that left a rule something to choose."""
    labels = {id(run): group.label for group in group_runs(runs) for run in group.runs}
    return [found for run in runs if run.scores and (found := _judged(run, labels[id(run)]))]


def _judged(run: Run, label: str) -> Judged | None:
    oracle = {row["images"]: float(row["target_accuracy"]) for row in run.oracle if "target_accuracy" in row}
    seen = [int(row["images"]) for row in run.scores]
    if len(seen) < 2 or not set(seen) <= set(oracle):
        return None
    source_only = source_only_accuracy(RunFolder(run.folder))
    taken = {rule: seen[choose(rule, run.scores, source_only)] for rule in RULES}
    return Judged(run, label, {images: oracle[images] for images in seen}, taken)


def regret_table(found: Sequence[Judged]) -> Table:
    """One row a rule: mean and worst regret over the runs, in points, and where it was worst."""
    means = {rule: statistics.fmean(each.regret(rule) for each in found) for rule in RULES}
    body = [_regret_cells(rule, found, best=mean == min(means.values())) for rule, mean in means.items()]
    head = ["rule", "mean regret", "worst regret", "worst on"]
    return Table(head, [("", body)], _table_note(found))


def _regret_cells(rule: str, found: Sequence[Judged], best: bool) -> list[Cell]:
    regrets = [each.regret(rule) for each in found]
    worst = max(regrets)
    where = _named(found[regrets.index(worst)]) if worst else "–"
    mean = Cell(percent(statistics.fmean(regrets)), tone="best" if best else "")
    return [Cell(rule), mean, Cell(percent(worst)), Cell(where)]


def _table_note(found: Sequence[Judged]) -> str:
    images = sorted({int(row["n"]) for each in found for row in each.run.oracle if "n" in row})
    count = f" on {'–'.join(f'{n:,}' for n in dict.fromkeys((images[0], images[-1])))} target images" if images else ""
    return (
        f"Points of target accuracy{count}, below the best of a run's own candidates; less is better. Over "
        f"{counted(len(found), 'run')}. The best was picked by the same labels, so a regret of a point or two may be "
        "chance."
    )


def _lead(found: Sequence[Judged]) -> str:
    mean = statistics.fmean(each.regret(DEFAULT) for each in found)
    return (
        "An adapted run's checkpoints are chosen among without a target label. The default rule leaves out those that "
        f"are more than {100 * MARGIN:g} points (and a standard error) below the best on held-out source images, or "
        f"that take the target for few classes, then those that agree with the mean of all by over {100 * MARGIN:g} "
        f"points less than the most does, and takes the best {SCORES[BEST].head} of the rest: on average "
        f"{percent(mean)} points below what the oracle would take. The oracle is computed apart, and never chooses."
    )


def _named(each: Judged) -> str:
    return _name(each.run, each.label)


def _name(run: Run, label: str) -> str:
    return f"{run.study}: {run.task}, {label}, seed {run.seed}"


CURVES_NOTE = (
    "The dashed line is the oracle, on the axis at the left. Each score is on an axis of its own, from its worst "
    "candidate below to its best above (DEV is turned over, for it is a risk); a star is the candidate that it takes."
)


def score_curves(each: Judged) -> Figure:
    """Every score over images seen, scaled to its own range, beside the oracle's accuracy."""
    figure = go.Figure(curve(_oracle_rows(each), "accuracy", TARGET, "target (oracle, never steers)", "dash"))
    for (rule, score), colour in zip(SCORES.items(), LINES, strict=False):
        figure.add_trace(_scaled(each, score, each.taken[rule], colour))
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "range": [-0.05, 1.05], "visible": False})
    over_images(figure, legend_lines=4)
    alt = f"Label-free scores of {_named(each)} over images seen, beside the oracle's target accuracy"
    return Figure(spec(figure), _named(each), alt, 380)


def _oracle_rows(each: Judged) -> list[dict[str, float]]:
    return [{"images": images, "accuracy": value} for images, value in sorted(each.accuracy.items())]


def _scaled(each: Judged, score: Score, taken: int, colour: str) -> go.Scatter:
    raw = [float(row[score.key]) for row in each.run.scores]
    images = [int(row["images"]) for row in each.run.scores]
    worst, best = (min(raw), max(raw)) if score.sign > 0 else (max(raw), min(raw))
    return go.Scatter(
        x=images,
        y=[0.5 if best == worst else round((value - worst) / (best - worst), 4) for value in raw],
        customdata=[float(f"{value:.5g}") for value in raw],
        name=score.head,
        yaxis="y2",
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={
            "symbol": ["star" if count == taken else "circle" for count in images],
            "size": [12 if count == taken else 3 for count in images],
        },
        hovertemplate="%{customdata:.4g}",
    )


# --- estimates of the accuracy ----------------------------------------------------------------------------------------


def estimates(runs: Sequence[Run]) -> list[Section]:
    """The accuracies that runs state without labels, and how far from the oracle they are where there is one."""
    found = [run for run in runs if run.value(f"estimate/{ESTIMATE}") is not None]
    known = [run for run in found if _off(run, ESTIMATE) is not None]
    said = (
        "An adapted run states which accuracy to expect on its target, without a target label, by "
        f"{ESTIMATES[ESTIMATE]}."
    )
    if not known:
        said += f" No target label says here how far off that is; {OFF}."
        return [Section("Estimated accuracy", [Prose(said), truth_table(found)])] if found else []
    mean = statistics.fmean(abs(_off(run, ESTIMATE) or 0.0) for run in known)
    said += f" Over {counted(len(known), 'run')} whose truth is known it was off by {percent(mean)} points on average."
    return [Section(ESTIMATES_TITLE, [Prose(said), error_table(known), truth_table(found)])]


ESTIMATES_TITLE = "How far off is the estimated accuracy?"


def _off(run: Run, name: str) -> float | None:
    """An estimate less the oracle's accuracy on the target's test images."""
    truth, guess = run.value(TARGET_ACCURACY), run.value(f"estimate/{name}")
    return None if truth is None or guess is None else guess - truth


def error_table(found: Sequence[Run]) -> Table:
    """One row an estimate: mean, largest and signed mean error over the runs, in points."""
    body = []
    for name, says in ESTIMATES.items():
        errors = [error for run in found if (error := _off(run, name)) is not None]
        sizes = [abs(error) for error in errors] or [0.0]
        values = [percent(statistics.fmean(sizes)), percent(max(sizes)), percent(statistics.fmean(errors or [0.0]))]
        body.append([Cell(says), *map(Cell, values)])
    note = "Points of accuracy; of the third column, above 0 is too hopeful."
    return Table(["estimate", "mean error", "largest error", "mean, signed"], [("", body)], note)


def truth_table(found: Sequence[Run]) -> Table:
    """One row a run: the oracle's accuracy, and each estimate."""
    labels = {id(run): group.label for group in group_runs(found) for run in group.runs}
    body = [[Cell(_name(run, labels[id(run)])), *map(Cell, _values(run))] for run in found]
    note = "In percent: the oracle on the target's test images, the estimates on target training images."
    return Table(["run", "oracle", *ESTIMATES], [("", body)], note)


def _values(run: Run) -> list[str]:
    values = [run.value(name) for name in (TARGET_ACCURACY, *(f"estimate/{name}" for name in ESTIMATES))]
    return ["–" if value is None else percent(value) for value in values]
