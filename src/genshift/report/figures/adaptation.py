"""Figures of adaptation runs, and of curves that any run may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any, Literal

import plotly.graph_objects as go

from genshift.errors import Refusal
from genshift.report.blocks import Figure
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
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.summary import Row
from genshift.runs.forms import LogRow, Tsne
from genshift.runs.records import RunRecord

# Petroff 2021, "Accessible color sequences for data visualization": colour-blind readers tell these apart
CLASS_COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
DOMAIN_NAMES = ("source", "target")
DOMAIN_LEGEND = (("source", SOURCE), ("target", TARGET))
UNLABELLED = "unlabelled"
FAINT = "#b8bcc2"  # of points without a label
CURVES = {
    "valid/source_accuracy": ("labelled validation", GREEN),  # of the target, where a model is trained on it
    "valid/source_loss": ("labelled validation", GREEN),
    "train/accuracy": ("labelled training", SOURCE),
    "train/domain_accuracy": ("domain classifier", PURPLE),
    "train/loss_label": ("loss label", SOURCE),
    "train/loss_domain": ("loss domain", PURPLE),
}


def class_names(run: RunRecord) -> list[str]:
    """The classes of an evaluated run, and 'unlabelled' last where some points have none."""
    evaluation = run.evaluation
    names = [str(name) for name in evaluation.get("classes", [])]
    labels = (evaluation.get("tsne") or {}).get("label", [])
    return [*names, UNLABELLED] if any(label is None or label < 0 for label in labels) else names


def class_legend(run: RunRecord) -> list[tuple[str, str]]:
    colours = dict(zip(class_names(run), cycle(CLASS_COLOURS), strict=False))
    return [(name, FAINT if name == UNLABELLED else colour) for name, colour in colours.items()]


@dataclass(frozen=True)
class Points:
    """A latent sample, one entry a point, to two decimals: label -1 is none, domain 0 the source and 1 the target."""

    x: list[float]
    y: list[float]
    label: list[int]
    domain: list[int]

    def where(self, column: Literal["label", "domain"], value: int) -> list[int]:
        """The places of the points with this value."""
        return [place for place, other in enumerate(getattr(self, column)) if other == value]


def tsne_points(run: RunRecord) -> Points:
    """The latent sample of an evaluated run; Refusal where its columns are of unlike lengths."""
    tsne: Tsne = run.evaluation.get("tsne") or {}
    labels = [-1 if label is None else int(label) for label in tsne.get("label", [])]
    x, y = ([round(value, 2) for value in tsne.get("x", [])], [round(value, 2) for value in tsne.get("y", [])])
    points = Points(x, y, labels, tsne.get("domain", []))
    if not len(points.x) == len(points.y) == len(points.label) == len(points.domain):
        path = run.folder / "evaluation.json"
        raise Refusal(f"'{path}' gives t-SNE columns of unlike lengths: evaluate the run again.")
    return points


def tsne_by_class(run: RunRecord, label: str) -> Figure:
    """One trace a class: source points are dots, target points diamonds; source clusters bear their names."""
    points, figure = tsne_points(run), go.Figure()
    for index, (name, colour) in enumerate(class_legend(run)):
        chosen = points.where("label", -1 if name == UNLABELLED else index)
        hover = [DOMAIN_NAMES[points.domain[i]] for i in chosen]
        template = f"class {escape(name)}<br>%{{customdata}}"
        figure.add_trace(_scatter(points, chosen, name, colour, hover, template))
        # A name at the median of its source points, for readers who cannot tell the colours apart.
        of_source = [i for i in chosen if points.domain[i] == 0]
        if of_source and name != UNLABELLED:
            x, y = (sorted(column[i] for i in of_source)[len(of_source) // 2] for column in (points.x, points.y))
            figure.add_annotation(x=x, y=y, text=f"<b>{escape(name)}</b>", showarrow=False, font={"size": 15})
    plane(figure)
    alt = f"t-SNE of the features {label.lower()}, {len(points.x)} images, coloured by class"
    return Figure(spec(figure), f"{label}, by class", alt, square=True)


def tsne_by_domain(run: RunRecord, label: str) -> Figure:
    """Source blue, target red, the same points."""
    points, figure = tsne_points(run), go.Figure()
    names = {i: escape(text) for i, text in enumerate(class_names(run)) if text != UNLABELLED}
    for domain, colour in enumerate((SOURCE, TARGET)):
        chosen = points.where("domain", domain)
        hover = [names.get(points.label[i], UNLABELLED) for i in chosen]
        template = f"class %{{customdata}}<br>{DOMAIN_NAMES[domain]}"
        figure.add_trace(_scatter(points, chosen, DOMAIN_NAMES[domain], colour, hover, template))
    plane(figure)
    alt = f"t-SNE of the features {label.lower()}, {len(points.x)} images, source in blue and target in red"
    return Figure(spec(figure), f"{label}, by domain", alt, square=True, legend=DOMAIN_LEGEND)


def _scatter(
    points: Points, chosen: list[int], name: str, colour: str, hover: Sequence[str], template: str
) -> go.Scatter:
    """`hover` is what a point's label says in the place of `template`'s customdata."""
    # One symbol for all rather than a list, where they are alike: a page holds thousands of points.
    symbols = [("circle", "diamond")[points.domain[i]] for i in chosen]
    return go.Scatter(
        x=[points.x[i] for i in chosen],
        y=[points.y[i] for i in chosen],
        customdata=hover,
        hovertemplate=f"{template}<extra></extra>",
        mode="markers",
        name=escape(name),
        marker={
            "color": colour,
            "size": 5,
            "opacity": 0.8,
            "symbol": symbols[0] if len(set(symbols)) == 1 else symbols,
        },
    )


def confusion_matrix(run: RunRecord, label: str) -> Figure:
    """Counts as text, the share of the true class as colour, recall beside each row's name."""
    counts = run.evaluation["confusion"]
    names = [escape(name) for name in class_names(run) if name != UNLABELLED]
    if len(counts) != len(names) or any(len(row) != len(names) for row in counts):
        raise Refusal(f"'{run.folder / 'evaluation.json'}' gives a confusion matrix that is not one row a class.")
    # A class without a test image has no recall, and must not be divided by.
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    rows = [
        f"{name} · {100 * share[i]:.0f}%" if sum(counts[i]) else f"{name} · –"
        for i, (name, share) in enumerate(zip(names, shares, strict=True))
    ]
    figure = go.Figure(_heat(counts, shares, names, rows))
    figure.update_xaxes(title="predicted", type="category", showgrid=False, fixedrange=True)
    figure.update_yaxes(
        title={"text": "true · recall", "standoff": 8},
        type="category",
        autorange="reversed",
        showgrid=False,
        fixedrange=True,
    )
    total = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(counts))) / max(1, total)
    alt = f"Confusion matrix of {label} over {total:,} target test images, {percent(right)} % on the diagonal"
    return Figure(spec(figure), f"{label}: {percent(right)} % of {total:,}", alt, square=True)


def _heat(counts: list[list[int]], shares: list[list[float]], names: list[str], rows: list[str]) -> go.Heatmap:
    hover = [[f"true {t}, predicted {p}" for p in names] for t in names]
    return go.Heatmap(
        z=[[round(share, 4) for share in row] for row in shares],
        x=names,
        y=rows,
        zmin=0,
        zmax=1,
        text=[[str(n) if n else "" for n in row] for row in counts],  # empty cells stay empty, so that the rest shows
        texttemplate="%{text}",
        customdata=[[[n, h] for n, h in zip(*pair, strict=True)] for pair in zip(counts, hover, strict=True)],
        hovertemplate="%{customdata[1]}<br>%{customdata[0]} images, %{z:.1%} of the row<extra></extra>",
        # Steep at first: a confusion of one in ten is to be seen.
        colorscale=[[0, "#f4f7fb"], [0.15, "#cfe0f5"], [0.5, "#6fa5e0"], [1, "#0b3d91"]],
        showscale=False,
        xgap=1,
        ygap=1,
    )


def loss_curves(run: RunRecord, label: str) -> Figure | None:
    """Every logged loss over images seen; None where none was logged."""
    keys = [key for key in logged(run.metrics) if "loss" in key]
    return _curves(run, keys, f"{label}: losses", f"Losses of {label} over images seen")


def accuracy_curves(run: RunRecord, label: str) -> Figure | None:
    """Labelled validation, the domain classifier with its chance line, and the oracle, over images seen."""
    keys = [key for key in logged(run.metrics) if key.endswith("accuracy")]
    oracle = [row for row in run.oracle if "target_accuracy" in row]
    if not keys and not oracle:
        return None
    figure = go.Figure(_lines(run.metrics, keys))
    if oracle:
        figure.add_trace(curve(oracle, "target_accuracy", TARGET, "target (oracle, never steers)", "dash"))
    if "train/domain_accuracy" in keys:
        # Its accuracy is balanced over the domains: whatever the batches, chance is a half.
        last = max(row["images"] for row in run.metrics if "images" in row)
        ends = [{"images": 0, "chance": 0.5}, {"images": last, "chance": 0.5}]
        chance = curve(ends, "chance", GREY, "chance of the domain classifier", "dot")
        figure.add_trace(chance.update(mode="lines"))
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")  # room for a curve at 100%
    over_images(figure, legend_lines=5)
    alt = f"Accuracies of {label} over images seen"
    return Figure(spec(figure), f"{label}: accuracies", alt, 380)


def other_curves(run: RunRecord, label: str) -> Figure | None:
    """What is neither a loss, an accuracy nor a clock, and changes: a constant stands among the settings."""
    keys = []
    for key in logged(run.metrics):
        if "loss" not in key and not key.endswith("accuracy"):
            # Of four digits: what moves by no more than the rounding of a mean in float32 does not change.
            values = {f"{row[key]:.4g}" for row in run.metrics if row.get(key) is not None}
            keys += [key] if len(values) > 1 else []
    return _curves(run, keys, f"{label}: further curves", f"Further logged values of {label} over images seen")


def coverage_curves(runs: Sequence[tuple[str, RunRecord]]) -> Figure:
    """Accuracy of the surest share of the target's test pictures over that share, a line a run."""
    figure = go.Figure()
    for (label, run), colour in zip(runs, cycle(LINES), strict=False):
        rows = run.evaluation["coverage"]
        x, y = ([round(row[key], 4) for row in rows] for key in ("coverage", "accuracy"))
        hover = [f"confidence {row['least']:.2f} or more" for row in rows]
        line = {"color": colour, "width": 2}
        figure.add_trace(go.Scatter(x=x, y=y, name=escape(label), mode="lines", line=line, text=hover))
    figure.update_xaxes(title="share of pictures, surest first", range=[0, 1], tickformat=".0%")
    figure.update_yaxes(title="of these right", range=[0, 1.02], tickformat=".0%")
    figure.update_layout(showlegend=True, hovermode="x unified", margin={"l": 8, "r": 10, "t": 8, "b": 8})
    alt = "Accuracy of the surest share of the target's test pictures over that share"
    return Figure(spec(figure), "Accuracy against coverage", alt, 340)


def _curves(run: RunRecord, keys: Sequence[str], title: str, alt: str) -> Figure | None:
    if not keys:
        return None
    figure = go.Figure(_lines(run.metrics, keys))
    over_images(figure, legend_lines=2)
    return Figure(spec(figure), title, alt)


def _lines(rows: Sequence[LogRow], keys: Sequence[str]) -> list[go.Scatter]:
    """One line a key; well-known keys keep their colour on every figure, and the others take none of theirs."""
    taken = {CURVES[key][1] for key in keys if key in CURVES}
    spare = cycle([colour for colour in LINES if colour not in taken])
    lines = []
    for key in keys:
        name = escape(key.removeprefix("train/").replace("_", " "))
        name, colour = CURVES[key] if key in CURVES else (name, next(spare))
        lines.append(curve(rows, key, colour, name))
    return lines


def overview(rows: Sequence[Row]) -> Figure | None:
    """Every measured accuracy as a dot with its error bar, the published one as a hollow diamond."""
    measured = [(row, row.mean) for row in rows if row.metric == TARGET_ACCURACY and row.mean is not None]
    if not measured:
        return None
    # A line of height 1 for each row, and one and a half above the first of each task for the task's name.
    figure, heights, height, task = go.Figure(), [], 0.0, ""
    for row, _ in measured:
        if (heading := f"{row.study}: {row.task}") != task:
            task, height = heading, height + 1.5
            text = {"text": f"<b>{escape(task)}</b>", "showarrow": False}
            figure.add_annotation(x=0, xref="paper", xanchor="left", y=height - 0.8, **text)
        heights.append(height)
        height += 1
    # Published figures first, so that ours lie above them.
    placed = list(zip(measured, heights, strict=True))
    if published := [(row.published, at) for (row, _), at in placed if row.published is not None]:
        hollow = {"symbol": "diamond-open", "size": 11, "color": "#e07b00", "line": {"width": 2}}
        figure.add_trace(_marks("published", published, hollow))
    ours = [(mean, at) for (_, mean), at in placed]
    errors = [round(100 * (row.standard_error or 0 if row.sd is None else row.sd), 2) for row, _ in measured]
    dots = _marks("ours", ours, {"size": 9, "color": SOURCE})
    figure.add_trace(dots.update(error_x={"array": errors, "thickness": 1.5}))
    names = [escape(row.label) for row, _ in measured]
    figure.update_yaxes(tickvals=heights, ticktext=names, range=[height - 0.3, 0.2], showgrid=False, zeroline=False)
    figure.update_xaxes(title="target test accuracy, %", range=[0, 101], nticks=6, zeroline=False)
    figure.update_layout(showlegend=True, hovermode="closest", legend={"traceorder": "reversed"})
    alt = "Target test accuracy of every row of the table above, ours and published"
    return Figure(spec(figure), "", alt, int(110 + 30 * height))


def _marks(name: str, values: Sequence[tuple[float, float]], marker: dict[str, Any]) -> go.Scatter:
    """A mark for each (accuracy, height)."""
    return go.Scatter(
        x=[round(100 * accuracy, 2) for accuracy, _ in values],
        y=[at for _, at in values],
        name=name,
        mode="markers",
        marker=marker,
        hovertemplate=f"{name} %{{x:.2f}} %<extra></extra>",
    )
