"""What a diffusion model's section has besides a generator's: its sweep, and how the report drew."""

from __future__ import annotations

from genshift.report.blocks import Block, Figures, Heading, Prose
from genshift.report.figures.diffusion import sweep_figures
from genshift.report.model.page_model import Subject
from genshift.runs.records import DIFFUSION, RunRecord

REPORT = "hw2-diffusion"
PROCEDURE = (
    "hw2 gives no figure for its diffusion model, but says how it drew: with 1,000 ancestral steps. Computing the "
    "branch without a label beside the other at every step took far longer than the 15 minutes that were allowed for "
    "1,000 digits, and leaving it out drew worse, so it was left out at random, with a probability that the report "
    "does not name."
)
NOT_SWEPT = "{labels}: not swept. The command genshift sweep RUN --features CLASSIFIER measures these settings."
HOW = (
    "One axis after the other, each from the best setting so far. A ring marks what was chosen, which sampling and "
    "evaluation then use; bars are standard errors, the floor is the distance of as many real pictures. The pictures "
    "compared here are of a seed of their own."
)


def denoises(subject: Subject) -> bool:
    """Whether the runs are of diffusion models."""
    return subject.first.family == DIFFUSION


def of_report(subject: Subject) -> bool:
    """Whether the report's preset is among the runs."""
    return any(run.name == REPORT for run in subject.runs)


def procedure(subject: Subject) -> list[Block]:
    """How hw2 drew."""
    return [Prose(PROCEDURE)]


def sweeps(subject: Subject) -> list[Block]:
    """Figures of every diffusion model's sweep, and the command for those that have none."""
    blocks: list[Block] = []
    missing = []
    for group in subject.groups:
        swept = next((run for run in group.runs if run.sweep.get("rows")), None)
        if swept is None and not group.first.measures_alone:  # else nobody knows
            missing.append(group.label)
        elif swept is not None:
            blocks += [
                Prose(_sweep_text(group.label, swept)),
                Figures(sweep_figures(group.label, swept.sweep), columns=3),
            ]
    how = [Prose(HOW)] if blocks else []
    rest = [Prose(NOT_SWEPT.format(labels=", ".join(missing)))] if missing else []
    return [Heading("Guidance, steps and samplers"), *how, *blocks, *rest] if blocks or rest else []


def _sweep_text(label: str, run: RunRecord) -> str:
    """What the sweep was measured with, and what it chose."""
    sweep = run.sweep
    text = [
        f"{label}, seed {run.seed}: {sweep['n']:,} pictures a setting beside {sweep['reference']}, in the features of "
        f"{sweep['features']}."
    ]
    chosen = (sweep.get("best") or {}).get("why")
    text.append(f"Chosen: {chosen}" if chosen else "The sweep was not finished: the same command continues it.")
    if run.images is not None and sweep["images"] != run.images:
        text.append(f"It was of the state after {sweep['images']:,} images, and the run now stands at {run.images:,}.")
    return " ".join(text)
