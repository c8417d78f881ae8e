"""How far a task's adapted models can be trusted: their verdicts, the signs behind them, and confidence held against
the truth where it is known."""

from __future__ import annotations

from typing import Any

from genshift.report.blocks import Block, Cell, Figures, Heading, Prose, Table, Terms
from genshift.report.figures.adaptation import coverage_curves
from genshift.report.model.formatting import NONE
from genshift.report.model.grouping import Group
from genshift.report.model.measures import percent
from genshift.report.model.page_model import Subject
from genshift.runs.records import RunRecord
from genshift.selection.verdict import SIGNS, Evidence, sentence

# What each sign of the evidence is, in the order of the table.
MEANINGS = {
    "right on the source": "accuracy on held-out source pictures",
    "thresholded confidence": "share of pictures above the confidence that tells right from wrong on the source (ATC)",
    "optimal transport": "how little predictions contradict the source's class shares (COT)",
    "the disagreement bound": "source accuracy less what a critic can contradict on the target alone (DIS²)",
    "steady": "pictures that keep their class under small shifts, scales and contrasts, beside held-out source ones",
    "neighbours agree": "pictures whose nearest source pictures are of the class that is said, beside held-out ones",
    "near": "pictures no farther from the source's than 95% of its held-out ones",
    "mixed": "twice the error of a linear probe that tells the domains: 0% told apart, 100% mixed",
    "class shares": "overlap of the predicted classes' shares with the source's",
}


def verdicts(subject: Subject) -> list[Block]:
    """The verdict on each adapted model, what a user's own labels say, and its evidence, of the first seed; nothing
    where no run has any."""
    known = [group for group in subject.groups if _said(group.first)]
    if not known:
        return []
    blocks: list[Block] = [Heading("Can it be trusted?")]
    for group in known:
        named = f"{group.label}. " if len(subject.groups) > 1 else ""
        blocks += [Prose(named + line) for line in _said(group.first)]
    evident = {group.label: _signs(evidence) for group in known if (evidence := _evidence(group.first))}
    if evident:
        body = [[Cell(name), *(Cell(signs[name]) for signs in evident.values())] for name in MEANINGS]
        terms = [(name, f"{meaning}.") for name, meaning in MEANINGS.items()]
        blocks += [Table(["", *evident], [("", body)]), Terms(terms, "What each sign is")]
    return blocks


def coverage(subject: Subject) -> list[Block]:
    """Accuracy of the surest share of the target's test pictures, where their labels are known."""
    known = [group for group in subject.groups if group.first.evaluation.get("coverage")]
    if not known:
        return []
    body = [[Cell(text) for text in (group.label, *_calibration(group))] for group in known]
    note = (
        "Expected calibration error, in points, on the target's test pictures: of confidence as `predict` tells it, at "
        "the verdict's temperature, and of the network's own softmax. The first seed."
    )
    lead = "What is gained by leaving doubtful pictures to a human: accuracy of the surest ones alone."
    drawing = coverage_curves([(group.label, group.first) for group in known])
    table = Table(["", "as told", "raw"], [("", body)], note)
    return [Heading("Accuracy against coverage"), Prose(lead), Figures([drawing], columns=1), table]


def _said(run: RunRecord) -> list[str]:
    """A run's verdict and its audit, a sentence each, where it has them."""
    verdict: Any = run.choice.get("verdict")
    lines = [] if verdict is None else [sentence(verdict)]
    if (audit := run.results.get("audit/accuracy")) is not None:
        lines.append(f"By labels of yours, {percent(audit.value)}% are named rightly ({audit.protocol}).")
    return lines


def _evidence(run: RunRecord) -> Evidence | None:
    rows = [row for row in run.scores if row["images"] == run.choice.get("images")]
    return rows[0].get("evidence") if rows else None


def _signs(evidence: Evidence) -> dict[str, str]:
    """One run's evidence as MEANINGS names it, in percent."""

    def beside(own: float, source: float) -> str:
        return f"{percent(own)} / {percent(source)}"

    return {
        "right on the source": percent(evidence["source"]),
        **{name: percent(sign(evidence)) for name, sign in SIGNS.items()},
        "steady": beside(evidence["steady"], evidence["steady_source"]),
        "neighbours agree": beside(evidence["neighbours"], evidence["neighbours_source"]),
        "near": percent(evidence["near"]),
        "mixed": percent(evidence["mixed"]),
        "class shares": percent(evidence["shares"]),
    }


def _calibration(group: Group) -> list[str]:
    values = [group.first.value(name) for name in ("oracle/calibration_error", "oracle/calibration_error_raw")]
    return [NONE if value is None else percent(value) for value in values]
