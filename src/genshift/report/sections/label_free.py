"""Which rule should a user trust? Choices and estimates made without labels held against the oracle, over all runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import plotly.graph_objects as go

from genshift.report.blocks import Block, Cell, Choice, Figure, Figures, Heading, Option, Prose, Table, Terms
from genshift.report.figures.plotting import LINES, TARGET, curve, over_images, spec
from genshift.report.model.formatting import NONE, counted
from genshift.report.model.label_free import STATED, VERDICT, Estimates, RuleChoices
from genshift.report.model.measures import percent
from genshift.report.model.page_model import PageModel
from genshift.selection.rules import BEST, DEFAULT_RULE, MARGIN, RULES, SCORES, Score

RULES_TITLE = "Which rule should a user trust?"
CURVES_NOTE = (
    "The dashed line is the oracle, on the axis at the left. Each score is on an axis of its own, from its worst "
    "candidate below to its best above (DEV is turned over, for it is a risk); a star is the candidate that it takes."
)


# --- rules ------------------------------------------------------------------------------------------------------------


def regrets(model: PageModel) -> list[Block]:
    """How far below the oracle each rule's choices are."""
    mean = statistics.fmean(choices.regret(DEFAULT_RULE) for choices in model.choices)
    lead = (
        "An adapted run's checkpoints are chosen among without a target label. The default rule leaves out those that "
        f"are more than {100 * MARGIN:g} points (and a standard error) below the best on held-out source images, or "
        f"that take the target for few classes, then those that agree with the mean of all by over {100 * MARGIN:g} "
        f"points less than the most does, and takes the best {SCORES[BEST].head} of the rest: on average "
        f"{percent(mean)} points below what the oracle would take. The oracle is computed apart, and never chooses."
    )
    # One row a rule: mean and worst regret over the runs, in points, and where it was worst.
    runs = model.choices
    lost = {rule: [choices.regret(rule) for choices in runs] for rule in RULES}
    least = min(map(statistics.fmean, lost.values()))
    body = []
    for rule, values in lost.items():
        mean, worst = statistics.fmean(values), max(values)
        where = runs[values.index(worst)].name if worst else NONE
        best = "best" if mean == least else ""
        body.append([Cell(rule), Cell(percent(mean), tone=best), Cell(percent(worst)), Cell(where)])
    # How many images the oracle looked at, as one number or as a range.
    images = sorted({int(row["n"]) for choices in runs for row in choices.run.oracle if "n" in row})
    count = f" on {'–'.join(f'{n:,}' for n in dict.fromkeys((images[0], images[-1])))} target images" if images else ""
    note = (
        f"Points of target accuracy{count}, below the best of a run's own candidates; less is better. Over "
        f"{counted(len(runs), 'run')}. The best was picked by the same labels, so a regret of a point or two may be "
        "chance."
    )
    return [Prose(lead), Table(["rule", "mean regret", "worst regret", "worst on"], [("", body)], note)]


def rules_and_scores(model: PageModel) -> list[Block]:
    """What each rule takes; and the curves of every run's scores, one task at a time where there are several."""
    tasks: dict[str, list[Figure]] = {}
    for choices in model.choices:
        tasks.setdefault(f"{choices.run.study}: {choices.run.task}", []).append(score_curves(choices))
    options = [Option(task, [Figures(drawn)]) for task, drawn in tasks.items()]
    shown = [Choice(options)] if len(options) > 1 else options[0].blocks
    return [Terms(tuple(RULES.items())), Heading("Scores beside the oracle"), Prose(CURVES_NOTE), *shown]


def score_curves(choices: RuleChoices) -> Figure:
    """Every score over images seen, scaled to its own range, beside the oracle's accuracy."""
    oracle = [{"images": images, "accuracy": value} for images, value in sorted(choices.accuracy.items())]
    figure = go.Figure(curve(oracle, "accuracy", TARGET, "target (oracle, never steers)", "dash"))
    for (rule, score), colour in zip(SCORES.items(), LINES, strict=False):
        figure.add_trace(_scaled(choices, score, choices.taken[rule], colour))
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    # The scores share an axis that is not shown: each was scaled to its own range.
    figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "range": [-0.05, 1.05], "visible": False})
    over_images(figure, legend_lines=4)
    alt = f"Label-free scores of {choices.name} over images seen, beside the oracle's target accuracy"
    return Figure(spec(figure), choices.name, alt, 380)


def _scaled(choices: RuleChoices, score: Score, taken: int, colour: str) -> go.Scatter:
    """A score from its worst candidate to its best, with a star at the one that its rule takes."""
    raw = [float(row[score.key]) for row in choices.run.scores]
    images = [int(row["images"]) for row in choices.run.scores]
    worst, best = (min(raw), max(raw)) if score.sign > 0 else (max(raw), min(raw))
    return go.Scatter(
        x=images,
        # A score that never changes has no range, and is drawn level.
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


def estimates_title(model: PageModel) -> str:
    known = any(run.truth is not None for run in model.estimates)
    return "How far off is the estimated accuracy?" if known else "Estimated accuracy"


def estimates(model: PageModel) -> list[Block]:
    """The accuracies that runs state without labels, and how far from the oracle they are where there is one."""
    known = [run for run in model.estimates if run.truth is not None]
    lead = (
        "An adapted run states which accuracy to expect on its target, without a target label: its verdict. It is made "
        "of independent signs, some of which stand beside it."
    )
    if not known:
        return [Prose(f"{lead} No target label says here how far off it is."), _estimates_table(model.estimates)]
    errors = [abs(error) for run in known if (error := run.error(VERDICT)) is not None]
    if errors:
        told = f"{counted(len(errors), 'run')} whose truth is known it was off by {percent(statistics.fmean(errors))}"
        lead += f" Over {told} points on average."
    return [Prose(lead), _error_table(known), _estimates_table(model.estimates)]


def _error_table(runs: Sequence[Estimates]) -> Table:
    """One row an estimate: mean, largest and signed mean error over the runs, in points."""
    body = []
    for estimate, description in STATED.items():
        errors = [error for run in runs if (error := run.error(estimate)) is not None]
        if not errors:
            continue
        sizes = [abs(error) for error in errors]
        values = [statistics.fmean(sizes), max(sizes), statistics.fmean(errors)]
        body.append([Cell(description), Cell(str(len(errors))), *(Cell(percent(value)) for value in values)])
    note = "Points of accuracy; of the last column, above 0 is too hopeful."
    return Table(["estimate", "runs", "mean error", "largest error", "mean, signed"], [("", body)], note)


def _estimates_table(runs: Sequence[Estimates]) -> Table:
    """One row a run: the oracle's accuracy, and each estimate."""
    body = []
    for run in runs:
        values = [run.truth, *(run.values[estimate] for estimate in STATED)]
        told = [Cell(NONE if value is None else percent(value)) for value in values]
        body.append([Cell(run.name), Cell(run.word or NONE), *told])
    note = "In percent: the oracle on the target's test images, the estimates on target training images."
    return Table(["run", "word", "oracle", *STATED], [("", body)], note)
