"""What every plotly figure of the page is made with. Colours of text and grid belong to page.css, so that themes and
paper work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

SOURCE, TARGET, PURPLE, GREEN = "#1f6fd1", "#d6322c", "#832db6", "#1b8a5a"
GREY = "#8b9099"
LINES = (SOURCE, "#e07b00", GREEN, PURPLE, "#8a6d3b", "#5b6770")
CLOCKS = {"images", "seconds", "cpu_seconds"}
NO_NUMBERS = {"alarms"}


def logged(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Logged names in order of appearance, without the clocks and what is no number."""
    return list(dict.fromkeys(key for row in rows for key in row if key not in CLOCKS | NO_NUMBERS))


def curve(rows: Sequence[dict[str, Any]], key: str, colour: str, name: str, dash: str = "solid") -> go.Scatter:
    """One logged value over images seen; rows without it are left out."""
    here = [row for row in rows if row.get(key) is not None and "images" in row]
    return go.Scatter(
        x=[row["images"] for row in here],
        y=[float(f"{row[key]:.5g}") if math.isfinite(row[key]) else None for row in here],
        name=name,
        mode="lines+markers" if len(here) < 3 else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        hovertemplate="%{y:.4g}",
    )


def over_images(figure: go.Figure, legend_lines: int) -> None:
    """Room for the same number of legend lines everywhere, so that neighbouring figures line up."""
    figure.update_xaxes(title="images seen", rangemode="tozero", tickformat="~s", nticks=6)
    margin = {"l": 8, "r": 10, "t": 8 + 19 * legend_lines, "b": 8}
    figure.update_layout(showlegend=True, hovermode="x unified", margin=margin)


def plane(figure: go.Figure) -> None:
    """A t-SNE plane has no units: no ticks, one scale for both axes."""
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "showline": True, "mirror": True}
    figure.update_xaxes(**hidden)
    figure.update_yaxes(**hidden, scaleanchor="x")
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 4, "r": 4, "t": 4, "b": 4})


def spec(figure: go.Figure) -> str:
    """The figure as JSON, transparent and without plotly's default template."""
    margin = figure.layout.margin.to_plotly_json() or {"l": 8, "r": 10, "t": 8, "b": 8}
    figure.update_layout(
        template=None,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin=margin,
        font={"family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        modebar={"bgcolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(automargin=True, ticks="", title_font_size=12)
    figure.update_yaxes(automargin=True, ticks="", title_font_size=12)
    return figure.to_json()
