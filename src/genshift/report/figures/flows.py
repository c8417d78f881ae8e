"""How a method's networks are joined, as a drawing: what learns, what stands still, and by which loss."""

from __future__ import annotations

import plotly.graph_objects as go

from genshift.report.blocks import Figure
from genshift.report.figures.plotting import GREY, SOURCE, TARGET, plane, spec

HALF_WIDTH, HALF_HEIGHT = 0.75, 0.32
LEARNS, FROZEN = "solid", "dot"
# Each phase's title, boxes (place, text, colour, border) and arrows between places; x counts columns, y rows.
ADDA = (
    ("1. pre-training", 8.2, (
        ((0, 0.5), "source", SOURCE, LEARNS), ((2, 0.5), "M<sub>s</sub>", SOURCE, LEARNS),
        ((4, 0.5), "C", SOURCE, LEARNS), ((6, 0.5), "class loss", GREY, LEARNS),
    ), (((0, 0.5), (2, 0.5)), ((2, 0.5), (4, 0.5)), ((4, 0.5), (6, 0.5)))),
    ("2. adaptation: D tells apart, M<sub>t</sub> learns to mislead it", 4.6, (
        ((0, 1), "source", SOURCE, LEARNS), ((2, 1), "M<sub>s</sub>", SOURCE, FROZEN),
        ((0, 0), "target", TARGET, LEARNS), ((2, 0), "M<sub>t</sub>", TARGET, LEARNS),
        ((4, 0.5), "D", GREY, LEARNS), ((6, 0.5), "domain loss", GREY, LEARNS),
    ), (((0, 1), (2, 1)), ((0, 0), (2, 0)), ((2, 1), (4, 0.5)), ((2, 0), (4, 0.5)), ((4, 0.5), (6, 0.5)))),
    ("3. test", 1.8, (
        ((0, 0.5), "target", TARGET, LEARNS), ((2, 0.5), "M<sub>t</sub>", TARGET, FROZEN),
        ((4, 0.5), "C", SOURCE, FROZEN), ((6, 0.5), "class", GREY, LEARNS),
    ), (((0, 0.5), (2, 0.5)), ((2, 0.5), (4, 0.5)), ((4, 0.5), (6, 0.5)))),
)  # fmt: skip
ALT = (
    "ADDA in three phases: the source's extractor and the classifier learn from labels; then, with the source's "
    "extractor frozen, the discriminator learns to tell both extractors' features apart and the target's extractor "
    "learns to mislead it; at the test target images go through the target's extractor and the frozen classifier."
)


def adda_flow() -> Figure:
    """ADDA's phases below each other, drawn by us; a dotted border stands still."""
    figure = go.Figure()
    for title, base, boxes, arrows in ADDA:
        top = base + max(y for (_, y), *_ in boxes)
        figure.add_annotation(x=-HALF_WIDTH, y=top + 0.75, text=title, showarrow=False, xanchor="left")
        for (x, y), text, colour, dash in boxes:
            sides = {"x0": x - HALF_WIDTH, "x1": x + HALF_WIDTH}
            levels = {"y0": base + y - HALF_HEIGHT, "y1": base + y + HALF_HEIGHT}
            figure.add_shape(type="rect", line={"color": colour, "width": 2, "dash": dash}, **sides, **levels)
            figure.add_annotation(x=x, y=base + y, text=text, showarrow=False)
        for (x0, y0), (x1, y1) in arrows:
            ends = {"ax": x0 + HALF_WIDTH, "ay": base + y0, "x": x1 - HALF_WIDTH, "y": base + y1}
            figure.add_annotation(axref="x", ayref="y", showarrow=True, arrowhead=2, arrowcolor=GREY, text="", **ends)
    # Shapes alone have no axes: an unseen curve spans them.
    figure.add_trace(go.Scatter(x=[-1, 7], y=[1, 10], mode="markers", marker={"opacity": 0}, hoverinfo="skip"))
    plane(figure)
    figure.update_xaxes(showline=False, range=[-1, 7], fixedrange=True)
    figure.update_yaxes(showline=False, range=[1, 10], fixedrange=True, scaleanchor=None)
    return Figure(spec(figure), "ADDA: who learns from what; dotted: frozen", ALT, 420)
