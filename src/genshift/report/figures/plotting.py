"""What every plotly figure of the page is made with. Colours of text and grid belong to page.css, so that themes and
paper work."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from genshift.runs.forms import LogRow

# The domains keep their colours on every figure, on a light page as on a dark one.
SOURCE, TARGET, PURPLE, GREEN = "#1f6fd1", "#d6322c", "#832db6", "#1b8a5a"
GREY = "#8b9099"
LINES = (SOURCE, "#e07b00", GREEN, PURPLE, "#8a6d3b", "#5b6770")
CLOCKS = {"images", "seconds", "cpu_seconds"}  # what others are drawn over, or cost
NO_NUMBERS = {"alarms"}  # names, drawn as crosses on a curve


def logged(rows: Sequence[LogRow]) -> list[str]:
    """Logged names in order of appearance, without the clocks and what is no number."""
    return list(dict.fromkeys(key for row in rows for key in row if key not in CLOCKS | NO_NUMBERS))


def curve(rows: Sequence[LogRow], key: str, colour: str, name: str, dash: str = "solid") -> go.Scatter:
    """One logged value over images seen; rows without it are left out."""
    here = [row for row in rows if row.get(key) is not None and "images" in row]
    return go.Scatter(
        x=[row["images"] for row in here],
        # Five digits are finer than a screen, and half the bytes; JSON has no infinity.
        y=[float(f"{row[key]:.5g}") if math.isfinite(row[key]) else None for row in here],
        name=name,
        # A line through one point cannot be seen.
        mode="lines+markers" if len(here) < 3 else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        hovertemplate="%{y:.4g}",
    )


def over_images(figure: go.Figure, legend_lines: int) -> None:
    """Room for the same number of legend lines everywhere, so that neighbouring figures line up."""
    figure.update_xaxes(title="images seen", rangemode="tozero", tickformat="~s", nticks=6)
    # A legend's line is 19 pixels high at the font size of `spec`.
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
    # Plotly's own margins would be 80 pixels wide, much of a phone.
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
