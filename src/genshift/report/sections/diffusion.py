"""What a diffusion model's section has besides a generator's: its sweep, and how the report drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genshift.report.blocks import Block, Figures, Heading, Prose
from genshift.report.figures.diffusion import sweep_figures
from genshift.report.model.grouping import Group
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


def procedure(groups: Sequence[Group]) -> list[Block]:
    """How hw2 drew, where its preset is among the runs."""
    return [Prose(PROCEDURE)] if any(group.first.name == REPORT for group in groups) else []


def sweeps(groups: Sequence[Group]) -> list[Block]:
    """Figures of every diffusion model's sweep, and the command for those that have none."""
    denoising = [group for group in groups if group.first.family == DIFFUSION]
    swept = [(group, run) for group in denoising if (run := _swept(group)) is not None]
    missing = [group.label for group in denoising if _swept(group) is None]
    if not denoising:
        return []
    blocks: list[Block] = [Heading("Guidance, steps and samplers"), *([Prose(HOW)] if swept else [])]
    for group, run in swept:
        assert run.sweep is not None
        blocks += [Prose(_said(group, run, run.sweep)), Figures(sweep_figures(group.label, run.sweep), columns=3)]
    return [*blocks, *([Prose(NOT_SWEPT.format(labels=", ".join(missing)))] if missing else [])]


def _swept(group: Group) -> RunRecord | None:
    """The first run of a group whose sweep has come to a row."""
    return next((run for run in group.runs if run.sweep.get("rows")), None)


def _said(group: Group, run: RunRecord, sweep: Mapping[str, Any]) -> str:
    """What the sweep was measured with, and what it chose."""
    said = [
        f"{group.label}, seed {run.seed}: {sweep['n']:,} pictures a setting beside {sweep['reference']}, in the "
        f"features of {sweep['features']}."
    ]
    chosen = (sweep.get("best") or {}).get("why")
    said.append(f"Chosen: {chosen}" if chosen else "The sweep was not finished: the same command continues it.")
    if run.images is not None and sweep["images"] != run.images:
        said.append(f"It was of the state after {sweep['images']:,} images, and the run now stands at {run.images:,}.")
    return " ".join(said)
