"""Which checkpoint each rule takes of an adapted run without target labels, held against what the oracle says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genshift.report.model.grouping import Group
from genshift.runs.records import RunRecord
from genshift.selection.rules import RULES, choose


@dataclass(frozen=True)
class RuleChoices:
    """A run whose candidates the oracle has measured: `accuracy` of each, by images seen, and what each rule takes."""

    run: RunRecord
    label: str
    accuracy: dict[int, float]
    taken: dict[str, int]

    @property
    def best(self) -> float:
        return max(self.accuracy.values())

    def regret(self, rule: str) -> float:
        """How far the rule's choice is below the best candidate, as a share in [0, 1]."""
        return self.best - self.accuracy[self.taken[rule]]


def rule_choices(groups: Sequence[Group]) -> list[RuleChoices]:
    """Of the runs with scores whose every candidate the oracle measured, and that left a rule something to choose."""
    runs = [run for group in groups for run in group.runs]
    choices = []
    for group in groups:
        for run in group.runs:
            seen, oracle = [int(row["images"]) for row in run.scores], run.oracle_curve
            if len(seen) > 1 and set(seen) <= set(oracle):
                source_only = source_only_accuracy(run, runs)
                taken = {rule: seen[choose(rule, run.scores, source_only)] for rule in RULES}
                choices.append(RuleChoices(run, group.label, {images: oracle[images] for images in seen}, taken))
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
        alike = other.method == "source" and _question(other) == _question(run)
        if alike and (accuracy := _accuracy_on_source(other)) is not None:
            known.append((abs((other.budget or 0) - (run.budget or 0)), -accuracy))
    return -min(known)[1] if known else None  # of the nearest budget, the highest


def _question(run: RunRecord) -> tuple[object, ...]:
    """What a run and the one that it is held against share: study, sets, seed, and the folder that they lie in."""
    sets = (run.fields.get(key, run.preset.get(key)) for key in ("source", "target"))
    return run.study, run.task, *sets, run.seed, run.folder.resolve().parent


def _accuracy_on_source(run: RunRecord) -> float | None:
    """The last on held-out source images; where no curve was kept the one on test images, which stands within a point
    or two of it."""
    held_out = [float(row["valid/source_accuracy"]) for row in run.metrics if "valid/source_accuracy" in row]
    return held_out[-1] if held_out else run.value("source_test_accuracy")
