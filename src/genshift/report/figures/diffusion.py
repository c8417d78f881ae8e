"""Figures of a sweep: what guidance, its interval and network evaluations make of a diffusion model's pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from genshift.report.blocks import Figure
from genshift.report.figures.plotting import GREY, LINES, TARGET, spec
from genshift.runs.forms import Sweep, SweepRow

Measured = Literal["accuracy", "frechet"]
COSTS = ("steps", "sampler")  # the axes of a sweep that change the number of network evaluations


@dataclass(frozen=True)
class Axis:
    """What one figure shows: rows over `x`, a line for each name, and the settings of sampling that are varied."""

    title: str
    lines: Mapping[str, Sequence[SweepRow]]
    x: Callable[[SweepRow], float | str]
    settings: tuple[str, ...]

    @property
    def rows(self) -> list[SweepRow]:
        return [row for line in self.lines.values() for row in line]


def sweep_figures(label: str, sweep: Sweep) -> list[Figure]:
    """Accuracy (where there are classes) above Fréchet distance, over each axis that was swept.

    What was chosen is ringed, the real pictures' distance is a dashed line.
    """
    chosen = (sweep.get("best") or {}).get("sampling") or {}
    return [_panels(label, axis, chosen) for axis in axes_of(sweep)]


def axes_of(sweep: Sweep) -> list[Axis]:
    """What was swept: guidance strength, the interval of noise levels where guidance acts, clipping, and network
    evaluations with a line for each sampler."""
    # The newest row of each setting: it may have been measured again.
    rows = {(row["sampling"]["sampler"], row["axis"], row["setting"]): row for row in sweep.get("rows") or []}.values()
    # From weak to strong guidance; a line for each thing that guidance leads away from, unnamed where it is one.
    guided = [row for row in rows if row["axis"] == "guidance"]
    guides = dict.fromkeys(row["sampling"]["guide"] for row in guided)
    guided.sort(key=_strength)
    by_guide = {
        guide if len(guides) > 1 else "": [row for row in guided if row["sampling"]["guide"] == guide]
        for guide in guides
    }
    # From few to many evaluations of each sampler.
    by_evaluations: dict[str, dict[float, SweepRow]] = {}
    for row in rows:
        if row["axis"] in COSTS:
            by_evaluations.setdefault(row["sampling"]["sampler"], {})[row["evaluations"]] = row
    by_sampler = {name: [own[count] for count in sorted(own)] for name, own in by_evaluations.items()}
    axes = [
        Axis("guidance strength", by_guide, _strength, ("guide", "guidance")),
        Axis(
            "guided noise levels t",
            {"": [row for row in rows if row["axis"] == "interval"]},
            _interval,
            ("guidance_from", "guidance_to"),
        ),
        Axis("clipping", {"": [row for row in rows if row["axis"] == "clip"]}, lambda row: row["setting"], ("clip",)),
        Axis("network evaluations", by_sampler, lambda row: float(row["evaluations"]), ("sampler", "steps")),
    ]
    return [axis for axis in axes if axis.rows]


def _strength(row: SweepRow) -> float:
    return float(row["sampling"]["guidance"])


def _interval(row: SweepRow) -> str:
    return f"{row['sampling']['guidance_from']:g}–{row['sampling']['guidance_to']:g}"


def _value(row: SweepRow, key: Measured) -> float:
    """A measure as it is drawn: accuracies in percent."""
    return 100 * (row["accuracy"] or 0.0) if key == "accuracy" else row["frechet"]


def _panels(label: str, axis: Axis, chosen: Mapping[str, Any]) -> Figure:
    """Both measures over one axis, one above the other, or the distance alone."""
    rows, x_of = axis.rows, axis.x
    # From above: accuracy, where every row has one, and distance.
    places: dict[Measured, int] = {"frechet": 1}
    if all(row["accuracy"] is not None for row in rows):
        places = {"accuracy": 1, "frechet": 2}
    last = len(places)
    # A line for each name, in one colour in both panels and once in the legend.
    figure = make_subplots(rows=last, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for (name, line), colour in zip(axis.lines.items(), cycle(LINES), strict=False):
        for key, place in places.items():
            trace = _line(line, x_of, key, colour, name)
            figure.add_trace(trace.update(showlegend=bool(name) and key == "accuracy"), row=place, col=1)
    _ring_and_floor(figure, axis, chosen, places)
    # Axes, and what the figure says in words.
    if last > 1:
        figure.update_yaxes(title="right class, %", nticks=5, row=1, col=1)
    figure.update_yaxes(title="Fréchet distance", nticks=5, rangemode="tozero", row=last, col=1)
    figure.update_xaxes(title=axis.title, row=last, col=1)
    figure.update_layout(showlegend=True, hovermode="closest", margin={"l": 8, "r": 10, "t": 65, "b": 8})
    best = min(rows, key=lambda row: row["frechet"])
    where = x_of(best) if isinstance(x_of(best), str) else f"{x_of(best):g}"
    what = "Accuracy and Fréchet distance" if last > 1 else "Fréchet distance"
    alt = f"{what} of {label} over {axis.title}; the lowest distance, {best['frechet']:.4g}, is at {where}"
    return Figure(spec(figure), f"{label}: {axis.title}", alt, 200 + 140 * (last - 1))


def _ring_and_floor(figure: go.Figure, axis: Axis, chosen: Mapping[str, Any], places: Mapping[Measured, int]) -> None:
    """A ring around what the sweep chose, and the real pictures' distance from end to end."""
    rows = axis.rows
    ringed = [row for row in rows if chosen and all(row["sampling"][k] == chosen.get(k) for k in axis.settings)]
    ring = {"symbol": "circle-open", "size": 15, "color": TARGET, "line": {"width": 2.5}}
    if ringed:
        x = [axis.x(row) for row in ringed]
        for key, place in places.items():
            y = [_value(row, key) for row in ringed]
            mark = go.Scatter(x=x, y=y, mode="markers", marker=ring, name="chosen", hoverinfo="skip")
            figure.add_trace(mark.update(showlegend=key == "frechet"), row=place, col=1)
    # An axis of words, such as intervals, has no ends but its first and last word.
    along = list(dict.fromkeys(axis.x(row) for row in rows))
    numbers = [x for x in along if not isinstance(x, str)]
    ends = [min(numbers), max(numbers)] if numbers else along
    style = {"color": GREY, "width": 1.5, "dash": "dash"}
    floor = go.Scatter(x=ends, y=[rows[0]["floor"]] * len(ends), mode="lines", line=style, name="floor")
    floor.update(hovertemplate="floor %{y:.4g}<extra></extra>")
    figure.add_trace(floor, row=places["frechet"], col=1)


def _line(
    rows: Sequence[SweepRow], x_of: Callable[[SweepRow], float | str], key: Measured, colour: str, name: str
) -> go.Scatter:
    """One measure of some rows, with its error where it has one."""
    hover = []
    for row in rows:
        how = row["sampling"]
        guided = "no guidance" if how["guidance"] == 1 else f"guidance {how['guidance']:g} in t {_interval(row)}"
        text = f"{how['sampler']}, {how['steps']} steps, {guided}; {row['evaluations']:g} evaluations"
        hover.append([escape(text)])
    if key == "accuracy":
        errors = [100 * (row.get("accuracy_error") or 0.0) for row in rows]
    else:
        errors = [row.get("frechet_error") or 0.0 for row in rows]
    return go.Scatter(
        x=[x_of(row) for row in rows],
        y=[float(f"{_value(row, key):.5g}") for row in rows],
        error_y={"array": errors, "thickness": 1.2} if any(errors) else None,
        customdata=hover,
        hovertemplate="%{y:.4g}<br>%{customdata[0]}<extra></extra>",
        mode="lines+markers",
        name=escape(name),
        line={"color": colour, "width": 2},
        marker={"size": 7},
    )
