"""What a diffusion model's section has besides a generator's: its sweep, and how the report drew."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genshift.metrics.binomial import interval, standard_error
from genshift.report.blocks import Block, Cell, Figures, Heading, Prose, Table
from genshift.report.figures.diffusion import sweep_figures
from genshift.report.model.formatting import NONE
from genshift.report.model.measures import percent
from genshift.report.model.method_comparison import NOISE
from genshift.report.model.page_model import Subject
from genshift.runs.forms import SkipRow
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


ALLOWED = 15  # minutes for 1,000 digits, in hw2
CLAIM = (
    "hw2: guidance in every step takes far longer than the 15 minutes allowed for 1,000 digits, and none is poorer, so "
    "that each step leaves it out at random."
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


def skips(subject: Subject) -> list[Block]:
    """Right class, cost and distance by the share of steps that leave guidance out, of every run that has them."""
    blocks: list[Block] = []
    for group in subject.groups:
        run = next((run for run in group.runs if run.sweep.get("skips", {}).get("rows")), None)
        if run is not None:
            table = run.sweep["skips"]
            rows = sorted(table["rows"], key=lambda row: row["skip"])
            head = ["guidance left out in", "right class, %", "95% interval", "network passes a picture",
                    "seconds a picture", "1,000 digits, minutes", "Fréchet", "floor"]  # fmt: skip
            of = f"{group.label}, seed {run.seed}, after {table['images']:,} images"
            taken = [of, table.get("protocol", ""), f"judged by {table['features']}", table.get("machine", "")]
            note = f"{'; '.join(filter(None, taken))}; the interval is Wilson's."
            body = [("", [_skip_cells(row) for row in rows])]
            blocks += [Table(head, body, note), Prose(_skip_verdict(rows))]
    return [Heading("Guidance left out at random"), Prose(CLAIM), *blocks] if blocks else []


def _skip_cells(row: SkipRow) -> list[Cell]:
    right, between = NONE, NONE
    if (share := row["accuracy"]) is not None:
        low, high = interval(share, row["n"])
        right, between = percent(share), f"{100 * low:.1f} to {100 * high:.1f}"
    texts = [f"{row['skip']:.0%} of the steps", right, between, f"{row['evaluations']:,g}"]
    texts += [f"{row['seconds_per_image']:.3g}", f"{_minutes(row):,.3g}"]
    return [Cell(text) for text in [*texts, f"{row['frechet']:.4g}", f"{row['floor']:.4g}"]]


def _minutes(row: SkipRow) -> float:
    """What 1,000 pictures would take at this rate."""
    return row["seconds_per_image"] * 1000 / 60


def _skip_verdict(rows: Sequence[SkipRow]) -> str:
    """What the least and the largest share say of the report's claim."""
    full, none = rows[0], rows[-1]
    least, most = f"{full['skip']:.0%}", f"{none['skip']:.0%}"
    times = _minutes(full) / ALLOWED
    text = f"Left out in {least} of the steps, 1,000 digits would take {_minutes(full):,.3g} minutes here, {times:.3g} "
    text += f"times the {ALLOWED} allowed; in {most}, {_minutes(none):,.3g} minutes."
    at_least, at_most = full["accuracy"], none["accuracy"]
    if len(rows) < 2 or at_least is None or at_most is None:
        return text
    error = math.hypot(standard_error(at_least, full["n"]), standard_error(at_most, none["n"]))
    gain = at_least - at_most
    if abs(gain) < NOISE * error:
        return f"{text} Right class does not tell {least} from {most}: the difference is within noise."
    better, worse = (least, most) if gain > 0 else (most, least)
    return f"{text} Right class is {100 * abs(gain):.1f} points higher at {better} than at {worse}, beyond noise."


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
