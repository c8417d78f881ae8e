"""Figures of generators over training: losses, who wins, the two terms of a VAE, and its latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from genshift.errors import Refusal
from genshift.report.blocks import Figure
from genshift.report.figures.adaptation import CLASS_COLOURS
from genshift.report.figures.plotting import (
    GREEN,
    GREY,
    LINES,
    PURPLE,
    SOURCE,
    TARGET,
    curve,
    logged,
    over_images,
    plane,
    spec,
)
from genshift.runs.forms import Stage
from genshift.runs.records import DIFFUSION, RunRecord

LOSSES = {
    "train/loss_d": ("discriminator (D)", SOURCE),
    "train/loss_g": ("generator (G)", "#e07b00"),
    "train/loss_penalty": ("gradient penalty", GREY),
    "train/loss_r1": ("R1", GREEN),
    "train/loss_r2": ("R2", PURPLE),
}
CONTEST = {
    "train/told_apart": ("told apart by D", SOURCE),
    "train/spread": ("spread of samples / real", GREEN),
}
DENOISING = {
    "train/loss": ("loss", SOURCE),
    "train/loss_image": ("squared error of the predicted picture", GREEN),
}
TERMS = {
    "train/loss_reconstruction": ("reconstruction MSE", SOURCE),
    "train/loss_kl": ("KL", PURPLE),
    "train/lam": ("λ, weight of KL", "#e07b00"),
    "train/sigma": ("σ of the decoder", "#e07b00"),
}
CHECKED = {"face_rate": "face rate of the grids", "kernel_distance": "kernel distance of the grids"}
WEIGHTS = ("train/lam", "train/sigma")  # of which one stands between the terms, by the kind of VAE
STAGE_NAMES = ("early", "middle", "final")


def loss_curves(runs: Sequence[tuple[str, RunRecord]]) -> list[Figure]:
    """The losses of D and G of each run, all on the same time axis."""
    return _side_by_side(runs, LOSSES, "losses")


def contest_curves(runs: Sequence[tuple[str, RunRecord]]) -> list[Figure]:
    """What share of pictures D tells apart, and how much samples differ beside real pictures; alarms as crosses."""
    return _side_by_side(runs, CONTEST, "told apart, and spread")


def check_curves(runs: Sequence[tuple[str, RunRecord]]) -> list[Figure]:
    """The face rate and the kernel distance of the grids that training left, of all runs on the same axes."""
    figures = []
    for key, title in CHECKED.items():
        figure = go.Figure()
        for (label, run), colour in zip(runs, cycle(LINES), strict=False):
            rows = [dict(row) for row in run.evaluation.get("over_training") or [] if row.get(key) is not None]
            if rows:
                figure.add_trace(curve(rows, key, colour, escape(label)))
        if figure.data:
            over_images(figure, legend_lines=len(figure.data))
            figure.update_yaxes(**({"range": [-0.02, 1.02]} if "rate" in key else {"rangemode": "tozero"}))
            names = ", ".join(trace.name for trace in figure.data)
            figures.append(Figure(spec(figure), title, f"{title} over images seen: {names}"))
    return figures


def denoising_curves(runs: Sequence[tuple[str, RunRecord]]) -> list[Figure]:
    """The loss of each diffusion model, and the error of its predicted pictures."""
    return _side_by_side([(label, run) for label, run in runs if run.family == DIFFUSION], DENOISING, "losses")


def _side_by_side(
    runs: Sequence[tuple[str, RunRecord]], lines: Mapping[str, tuple[str, str]], what: str
) -> list[Figure]:
    """A figure for each run that logged any of `lines`, all on the same time axis; alarms as crosses."""
    # Runs that stand side by side share one time axis, up to the longest.
    logging = [(label, run) for label, run in runs if set(lines) & set(logged(run.metrics))]
    last = max((row["images"] for _, run in logging for row in run.metrics if "images" in row), default=0)
    figures = []
    for label, run in logging:
        keys = [key for key in lines if key in logged(run.metrics)]
        figure = go.Figure([curve(run.metrics, key, lines[key][1], lines[key][0]) for key in keys])
        for alarm in alarm_names(run):
            # A collapse shows in the spread, all else in the first curve.
            key = "train/spread" if "collapse" in alarm and "train/spread" in keys else keys[0]
            rows = [row for row in run.metrics if alarm in (row.get("alarms") or [])]
            crosses = curve(rows, key, TARGET, f"alarm: {escape(alarm)}")
            figure.add_trace(crosses.update(mode="markers", marker={"symbol": "x", "size": 7, "color": TARGET}))
        over_images(figure, legend_lines=3)
        figure.update_xaxes(range=[0, last])
        if lines is CONTEST:  # shares and ratios mean something only beside nought
            figure.update_yaxes(rangemode="tozero")
        alarms = f"; alarms: {', '.join(alarm_names(run))}" if alarm_names(run) else ""
        alt = f"{what.capitalize()} of {label} over images seen{alarms}"
        figures.append(Figure(spec(figure), f"{label}: {what}", alt))
    return figures


def alarm_names(run: RunRecord) -> list[str]:
    """The alarms that lasted, in the order of their coming."""
    return list(dict.fromkeys(str(name) for row in run.metrics for name in row.get("alarms") or []))


def term_curves(label: str, run: RunRecord) -> Figure | None:
    """A VAE's reconstruction error, KL and the weight between them, one above the other on one time axis.

    None where it logged none of them.
    """
    keys = [key for key in TERMS if key in logged(run.metrics)]
    if not keys:
        return None
    figure = make_subplots(rows=len(keys), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for place, key in enumerate(keys, start=1):
        figure.add_trace(curve(run.metrics, key, TERMS[key][1], TERMS[key][0]), row=place, col=1)
        figure.update_yaxes(row=place, col=1, nticks=5, tickformat="~g")
        known = [row[key] for row in run.metrics if row.get(key) is not None]
        if key in WEIGHTS and min(known) > 0 and max(known) > 30 * min(known):
            figure.update_yaxes(row=place, col=1, type="log", dtick=1)  # hw3's λ jumps over several powers of ten
    over_images(figure, legend_lines=2)
    figure.update_xaxes(title="", rangemode="tozero")
    figure.update_xaxes(title="images seen", row=len(keys), col=1)
    names = ", ".join(TERMS[key][0] for key in keys)
    return Figure(spec(figure), f"{label}: terms of the loss", f"{names} of {label} over images seen", 130 * len(keys))


def stages(label: str, run: RunRecord) -> list[Figure]:
    """t-SNE of the same pictures' latent vectors at each kept stage, coloured by an attribute or by class."""
    kept = run.evaluation.get("stages") or []
    # Only three have names: a run that was stopped early kept fewer.
    names = STAGE_NAMES if len(kept) == len(STAGE_NAMES) else ("",) * len(kept)
    return [_stage(label, run, stage, name) for stage, name in zip(kept, names, strict=True)]


def _stage(label: str, run: RunRecord, stage: Stage, name: str) -> Figure:
    x, y, values = (list(stage.get("x") or []), list(stage.get("y") or []), list(stage.get("label") or []))
    if not len(x) == len(y) == len(values):
        path = run.folder / "evaluation.json"
        raise Refusal(f"'{path}' gives stages of a latent space with columns of unlike lengths: evaluate it again.")
    figure, legend = go.Figure(), _stage_legend(run, values)
    for value, text, colour in legend:
        places = [place for place, v in enumerate(values) if v == value]
        dots = go.Scatter(
            x=[round(x[place], 2) for place in places],
            y=[round(y[place], 2) for place in places],
            name=escape(text),
            mode="markers",
            marker={"color": colour, "size": 5, "opacity": 0.8},
            hovertemplate=f"{escape(text)}<extra></extra>",
        )
        figure.add_trace(dots)
    plane(figure)
    when = f"{name + ', ' if name else ''}{stage['images']:,} images"
    groups = ", ".join(text for _, text, _ in legend)
    alt = f"t-SNE of {len(x):,} held-out pictures' latent vectors, {label}, {when}; coloured: {groups}"
    keyed = [(text, colour) for _, text, colour in legend]
    return Figure(spec(figure), f"{label}, {when}", alt, square=True, legend=keyed)


def _stage_legend(run: RunRecord, values: Sequence[int]) -> list[tuple[int, str, str]]:
    """What each value of the label means, and its colour."""
    attribute = str(run.evaluation.get("attribute") or "attribute").replace("_", " ")
    known = sorted(set(values))
    if attribute != "class" and set(known) <= {0, 1}:  # whether a face has the attribute
        return [(1, attribute, SOURCE), (0, f"not {attribute}", "#e07b00")]
    names = [str(name) for name in run.evaluation.get("classes") or []]
    return [
        (value, names[value] if 0 <= value < len(names) else f"{attribute} {value}", colour)
        for value, colour in zip(known, cycle(CLASS_COLOURS), strict=False)
    ]
