"""What is known of an adapted run without target labels, held against the oracle: the checkpoint that each rule takes,
and the accuracies that the run states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genshift.report.model.grouping import Group
from genshift.report.model.measures import TARGET_ACCURACY
from genshift.runs.records import RunRecord
from genshift.selection.rules import ESTIMATES, RULES, choose
from genshift.selection.verdict import ESTIMATE

VERDICT = "verdict"
STATED = {VERDICT: "the verdict"} | {str(name): words for name, words in ESTIMATES.items()}  # by their columns


@dataclass(frozen=True)
class RuleChoices:
    """A run whose candidates the oracle has measured: `accuracy` of each, by images seen, and what each rule takes."""

    run: RunRecord
    name: str
    accuracy: dict[int, float]
    taken: dict[str, int]

    def regret(self, rule: str) -> float:
        """How far the rule's choice is below the best candidate, as a share in [0, 1]."""
        return max(self.accuracy.values()) - self.accuracy[self.taken[rule]]


@dataclass(frozen=True)
class Estimates:
    """The accuracies that a run states without labels, by their names in STATED, and the oracle's as `truth`; `word`
    is its verdict's."""

    name: str
    truth: float | None
    values: dict[str, float | None]
    word: str

    def error(self, estimate: str) -> float | None:
        """An estimate less the oracle's accuracy on the target's test images."""
        value = self.values[estimate]
        return None if self.truth is None or value is None else value - self.truth


def names_of_runs(runs: Sequence[RunRecord], groups: Sequence[Group]) -> dict[RunRecord, str]:
    """Each run as tables over all studies name it."""
    labels = {run: group.label for group in groups for run in group.runs}
    return {run: f"{run.study}: {run.task}, {labels[run]}, seed {run.seed}" for run in runs}


def rule_choices(names: dict[RunRecord, str]) -> list[RuleChoices]:
    """Of the runs with scores whose every candidate the oracle measured, and that left a rule something to choose."""
    choices = []
    for run, name in names.items():
        seen, oracle = [int(row["images"]) for row in run.scores], run.oracle_curve
        if len(seen) > 1 and set(seen) <= set(oracle):  # one candidate is no choice
            source_only = source_only_accuracy(run, list(names))
            taken = {rule: seen[choose(rule, run.scores, source_only)] for rule in RULES}
            choices.append(RuleChoices(run, name, {images: oracle[images] for images in seen}, taken))
    return choices


def source_only_accuracy(run: RunRecord, runs: Sequence[RunRecord]) -> float | None:
    """Source accuracy of the run that was not adapted: as it was recorded with `run`, else by what those `runs` of the
    page say that lie beside it; None where neither does.

    One of another folder may have had many times the budget, and the rule did not know of it when it chose.
    """
    if run.source_only_accuracy is not None:
        return run.source_only_accuracy
    known = []
    for other in runs:
        if other.method == "source" and _question(other) == _question(run):
            held_out = [row["valid/source_accuracy"] for row in other.metrics if "valid/source_accuracy" in row]
            # Where no curve was kept, the one on test images: it stands within a point or two of it.
            accuracy = held_out[-1] if held_out else other.value("source_test_accuracy")
            known += [(abs((other.budget or 0) - (run.budget or 0)), -accuracy)] if accuracy is not None else []
    return -min(known)[1] if known else None  # of the nearest budget, the highest


def _question(run: RunRecord) -> tuple[object, ...]:
    """What a run and the one that it is held against share: study, sets, seed, and the folder that they lie in."""
    sets = (run.fields.get(key, run.preset.get(key)) for key in ("source", "target"))
    return run.study, run.task, *sets, run.seed, run.folder.resolve().parent


def estimates(names: dict[RunRecord, str]) -> list[Estimates]:
    """Of the runs that state an accuracy."""
    stated = []
    for run, name in names.items():
        values = {VERDICT: run.value(ESTIMATE)} | {str(name): _scored(run, name) for name in ESTIMATES}
        if any(value is not None for value in values.values()):
            verdict: Any = run.choice.get(VERDICT) or {}
            stated.append(Estimates(name, run.value(TARGET_ACCURACY), values, verdict.get("word", "")))
    return stated


def _scored(run: RunRecord, estimate: str) -> float | None:
    """An estimate of the checkpoint that was chosen; of earlier versions, as the results have it."""
    for row in run.scores:
        if row["images"] == run.choice.get("images") and estimate in row:
            return float(row[estimate])
    return run.value(f"estimate/{estimate}")
