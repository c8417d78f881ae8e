"""Figures of a sweep: what guidance, its interval and network evaluations make of a diffusion model's pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from genshift.report.blocks import Figure
from genshift.report.figures.plotting import GREY, LINES, TARGET, spec

Found = Mapping[str, Any]
COSTS = ("steps", "sampler")  # the axes of a sweep that change the number of network evaluations


def sweep_figures(label: str, sweep: Found) -> list[Figure]:
    """Accuracy (where classes were told apart) above Fréchet distance: over guidance strength, over the interval of
    noise levels where guidance acts, and over network evaluations with a line for each sampler.

    What was chosen is ringed, the real pictures' distance is a dashed line. An axis that was not swept has no figure.
    """
    rows = list(sweep.get("rows") or [])
    chosen = (sweep.get("best") or {}).get("sampling") or {}
    strengths, intervals = _of_axes(rows, "guidance"), _of_axes(rows, "interval")
    guided = {"same": lambda row: _same(row, chosen, "guide", "guidance")}
    within = {"same": lambda row: _same(row, chosen, "guidance_from", "guidance_to")}
    cost = {"same": lambda row: _same(row, chosen, "sampler", "steps")}
    found = [
        _panels(label, "guidance strength", _by_guide(strengths), _strength, **guided),
        _panels(label, "guided noise levels t", {"": intervals}, _interval, **within),
        _panels(label, "network evaluations", _by_sampler(_of_axes(rows, *COSTS)), _evaluations, **cost),
    ]
    return [figure for figure in found if figure is not None]


# --- which rows -------------------------------------------------------------------------------------------------------


def _of_axes(rows: Sequence[Found], *axes: str) -> list[Found]:
    """The rows of some axes, the newest of each setting."""
    newest = {(row["sampling"]["sampler"], row["axis"], row["setting"]): row for row in rows if row["axis"] in axes}
    return list(newest.values())


def _by_guide(rows: Sequence[Found]) -> dict[str, list[Found]]:
    """The rows of what guidance leads away from, from weak to strong guidance; unnamed where it is one thing."""
    guides = dict.fromkeys(row["sampling"]["guide"] for row in rows)
    ordered = sorted(rows, key=_strength)
    return {
        guide if len(guides) > 1 else "": [row for row in ordered if row["sampling"]["guide"] == guide]
        for guide in guides
    }


def _by_sampler(rows: Sequence[Found]) -> dict[str, list[Found]]:
    """The rows of each sampler, from few to many evaluations."""
    found: dict[str, dict[float, Found]] = {}
    for row in rows:
        found.setdefault(row["sampling"]["sampler"], {})[row["evaluations"]] = row
    return {name: [own[count] for count in sorted(own)] for name, own in found.items()}


def _same(row: Found, chosen: Found, *names: str) -> bool:
    return bool(chosen) and all(row["sampling"][name] == chosen.get(name) for name in names)


def _strength(row: Found) -> float:
    return float(row["sampling"]["guidance"])


def _interval(row: Found) -> str:
    return f"{row['sampling']['guidance_from']:g}–{row['sampling']['guidance_to']:g}"


def _evaluations(row: Found) -> float:
    return float(row["evaluations"])


# --- how they are drawn -----------------------------------------------------------------------------------------------


def _panels(
    label: str,
    axis: str,
    lines: Mapping[str, Sequence[Found]],
    x_of: Callable[[Found], Any],
    same: Callable[[Found], bool],
) -> Figure | None:
    """Both measures over one axis, a line for each name; None without rows."""
    rows = [row for line in lines.values() for row in line]
    if not rows:
        return None
    told = all(row["accuracy"] is not None for row in rows)
    last = 2 if told else 1
    figure = make_subplots(rows=last, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for (name, line), colour in zip(lines.items(), cycle(LINES), strict=False):
        if told:
            figure.add_trace(_line(line, x_of, "accuracy", colour, name), row=1, col=1)
        figure.add_trace(_line(line, x_of, "frechet", colour, name).update(showlegend=False), row=last, col=1)
    _mark(figure, [row for row in rows if same(row)], x_of, last)
    _floor(figure, rows, x_of, last)
    if told:
        figure.update_yaxes(title="right class, %", nticks=5, row=1, col=1)
    figure.update_yaxes(title="Fréchet distance", nticks=5, rangemode="tozero", row=last, col=1)
    figure.update_xaxes(title=axis, row=last, col=1)
    figure.update_layout(showlegend=True, hovermode="closest", margin={"l": 8, "r": 10, "t": 65, "b": 8})
    return Figure(spec(figure), f"{label}: {axis}", _alt(label, axis, rows, x_of, told), 200 + 140 * (last - 1))


def _line(rows: Sequence[Found], x_of: Callable[[Found], Any], key: str, colour: str, name: str) -> go.Scatter:
    """One measure of some rows, with its error where it has one; accuracies in percent."""
    times = 100 if key == "accuracy" else 1
    errors = [row.get(f"{key}_error") for row in rows]
    bars = {"array": [times * (error or 0.0) for error in errors], "thickness": 1.2} if any(errors) else None
    return go.Scatter(
        x=[x_of(row) for row in rows],
        y=[float(f"{times * row[key]:.5g}") for row in rows],
        error_y=bars,
        customdata=[[escape(_in_words(row))] for row in rows],
        hovertemplate="%{y:.4g}<br>%{customdata[0]}<extra></extra>",
        mode="lines+markers",
        name=escape(name),
        showlegend=bool(name),
        line={"color": colour, "width": 2},
        marker={"size": 7},
    )


def _mark(figure: go.Figure, rows: Sequence[Found], x_of: Callable[[Found], Any], last: int) -> None:
    """A ring around what the sweep chose."""
    ring = {"symbol": "circle-open", "size": 15, "color": TARGET, "line": {"width": 2.5}}
    for place, key, times in ((1, "accuracy", 100), (last, "frechet", 1)):
        if rows and not (key == "accuracy" and last == 1):
            found = {"x": [x_of(row) for row in rows], "y": [times * row[key] for row in rows]}
            mark = go.Scatter(**found, mode="markers", marker=ring, name="chosen", hoverinfo="skip")
            figure.add_trace(mark.update(showlegend=key == "frechet"), row=place, col=1)


def _floor(figure: go.Figure, rows: Sequence[Found], x_of: Callable[[Found], Any], last: int) -> None:
    """The real pictures' distance, from end to end."""
    places = list(dict.fromkeys(x_of(row) for row in rows))
    ends = places if isinstance(places[0], str) else [min(places), max(places)]
    line = {"color": GREY, "width": 1.5, "dash": "dash"}
    floor = go.Scatter(x=ends, y=[rows[0]["floor"]] * len(ends), mode="lines", line=line, name="floor")
    figure.add_trace(floor.update(hovertemplate="floor %{y:.4g}<extra></extra>"), row=last, col=1)


def _in_words(row: Found) -> str:
    how = row["sampling"]
    guided = "no guidance" if how["guidance"] == 1 else f"guidance {how['guidance']:g} in t {_interval(row)}"
    return f"{how['sampler']}, {how['steps']} steps, {guided}; {row['evaluations']:g} evaluations"


def _alt(label: str, axis: str, rows: Sequence[Found], x_of: Callable[[Found], Any], told: bool) -> str:
    best = min(rows, key=lambda row: row["frechet"])
    what = "Accuracy and Fréchet distance" if told else "Fréchet distance"
    where = x_of(best) if isinstance(x_of(best), str) else f"{x_of(best):g}"
    return f"{what} of {label} over {axis}; the lowest distance, {best['frechet']:.4g}, is at {where}"
