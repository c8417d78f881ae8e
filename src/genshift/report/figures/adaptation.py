"""Figures of adaptation runs, and of curves that any run may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

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


def tsne_points(run: RunRecord) -> dict[str, list[Any]]:
    """x, y, label and domain of the latent sample, of one length; Refusal where they are not."""
    tsne: Mapping[str, Any] = run.evaluation.get("tsne") or {}
    points = {key: list(tsne.get(key, [])) for key in ("x", "y", "label", "domain")}
    if len({len(values) for values in points.values()}) != 1:
        path = run.folder / "evaluation.json"
        raise Refusal(f"'{path}' gives t-SNE columns of unlike lengths: evaluate the run again.")
    points["label"] = [-1 if label is None else int(label) for label in points["label"]]
    return points


def tsne_by_class(run: RunRecord, label: str) -> Figure:
    """One trace a class: source points are dots, target points diamonds; source clusters bear their names."""
    points, figure = tsne_points(run), go.Figure()
    for index, (name, colour) in enumerate(class_legend(run)):
        chosen = _where(points["label"], -1 if name == UNLABELLED else index)
        told = [DOMAIN_NAMES[points["domain"][i]] for i in chosen]
        template = f"class {escape(name)}<br>%{{customdata}}"
        figure.add_trace(_scatter(points, chosen, name, colour, told, template))
        _name_cluster(figure, points, [i for i in chosen if points["domain"][i] == 0], name)
    plane(figure)
    alt = f"t-SNE of the features {label.lower()}, {len(points['x'])} images, coloured by class"
    return Figure(spec(figure), f"{label}, by class", alt, square=True)


def tsne_by_domain(run: RunRecord, label: str) -> Figure:
    """Source blue, target red, the same points."""
    points, figure = tsne_points(run), go.Figure()
    names = {i: escape(text) for i, text in enumerate(class_names(run)) if text != UNLABELLED}
    for domain, colour in enumerate((SOURCE, TARGET)):
        chosen = _where(points["domain"], domain)
        told = [names.get(points["label"][i], UNLABELLED) for i in chosen]
        template = f"class %{{customdata}}<br>{DOMAIN_NAMES[domain]}"
        figure.add_trace(_scatter(points, chosen, DOMAIN_NAMES[domain], colour, told, template))
    plane(figure)
    alt = f"t-SNE of the features {label.lower()}, {len(points['x'])} images, source in blue and target in red"
    return Figure(spec(figure), f"{label}, by domain", alt, square=True, legend=DOMAIN_LEGEND)


def _where(values: Sequence[int], wanted: int) -> list[int]:
    return [i for i, value in enumerate(values) if value == wanted]


def _scatter(
    points: dict[str, list[Any]], chosen: list[int], name: str, colour: str, told: Sequence[str], template: str
) -> go.Scatter:
    """`told` is what a point's hover says in the place of `template`'s customdata."""
    symbols = [("circle", "diamond")[points["domain"][i]] for i in chosen]
    return go.Scatter(
        x=[round(points["x"][i], 2) for i in chosen],
        y=[round(points["y"][i], 2) for i in chosen],
        customdata=told,
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


def _name_cluster(figure: go.Figure, points: dict[str, list[Any]], chosen: list[int], name: str) -> None:
    """Writes `name` at the median of the chosen points, for readers who cannot tell the colours apart."""
    if not chosen or name == UNLABELLED:
        return
    x, y = (sorted(points[axis][i] for i in chosen)[len(chosen) // 2] for axis in "xy")
    figure.add_annotation(x=x, y=y, text=f"<b>{escape(name)}</b>", showarrow=False, font={"size": 15})


def confusion_matrix(run: RunRecord, label: str) -> Figure:
    """Counts as text, the share of the true class as colour, recall beside each row's name."""
    counts = run.evaluation["confusion"]
    names = [escape(name) for name in class_names(run) if name != UNLABELLED]
    if len(counts) != len(names) or any(len(row) != len(names) for row in counts):
        raise Refusal(f"'{run.folder / 'evaluation.json'}' gives a confusion matrix that is not one row a class.")
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
        text=[[str(n) if n else "" for n in row] for row in counts],
        texttemplate="%{text}",
        customdata=[[[n, h] for n, h in zip(*pair, strict=True)] for pair in zip(counts, hover, strict=True)],
        hovertemplate="%{customdata[1]}<br>%{customdata[0]} images, %{z:.1%} of the row<extra></extra>",
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
        figure.add_trace(_chance_line(run.metrics))
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    over_images(figure, legend_lines=5)
    alt = f"Accuracies of {label} over images seen"
    return Figure(spec(figure), f"{label}: accuracies", alt, 380)


def _chance_line(rows: Sequence[dict[str, Any]]) -> go.Scatter:
    """The domain classifier's accuracy is balanced over the domains: whatever the batches, chance is a half."""
    last = max(row["images"] for row in rows if "images" in row)
    ends = [{"images": 0, "chance": 0.5}, {"images": last, "chance": 0.5}]
    return curve(ends, "chance", GREY, "chance of the domain classifier", "dot").update(mode="lines")


def other_curves(run: RunRecord, label: str) -> Figure | None:
    """What is neither a loss, an accuracy nor a clock, and changes: a constant stands among the settings."""
    keys = [key for key in logged(run.metrics) if "loss" not in key and not key.endswith("accuracy")]
    keys = [key for key in keys if _changes(run.metrics, key)]
    return _curves(run, keys, f"{label}: further curves", f"Further logged values of {label} over images seen")


def _changes(rows: Sequence[dict[str, Any]], key: str) -> bool:
    """Whether a value moves by more than the rounding of a mean in float32."""
    return len({f"{row[key]:.4g}" for row in rows if row.get(key) is not None}) > 1


def _curves(run: RunRecord, keys: Sequence[str], title: str, alt: str) -> Figure | None:
    if not keys:
        return None
    figure = go.Figure(_lines(run.metrics, keys))
    over_images(figure, legend_lines=2)
    return Figure(spec(figure), title, alt)


def _lines(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[go.Scatter]:
    """One line a key; well-known keys keep their colour on every figure, and the others take none of theirs."""
    taken = {CURVES[key][1] for key in keys if key in CURVES}
    spare = cycle([colour for colour in LINES if colour not in taken])
    return [curve(rows, key, CURVES[key][1] if key in CURVES else next(spare), _curve_name(key)) for key in keys]


def _curve_name(key: str) -> str:
    return CURVES[key][0] if key in CURVES else escape(key.removeprefix("train/").replace("_", " "))


def overview(rows: Sequence[Row]) -> Figure | None:
    """Every measured accuracy as a dot with its error bar, the published one as a hollow diamond."""
    measured = [row for row in rows if row.metric == TARGET_ACCURACY and row.mean is not None]
    if not measured:
        return None
    figure, ticks, place, task = go.Figure(), [], 0.0, ""
    ours: list[tuple[float, Row]] = []
    for row in measured:
        if (heading := f"{row.study}: {row.task}") != task:
            task, place = heading, place + 1.5
            figure.add_annotation(
                x=0,
                xref="paper",
                xanchor="left",
                y=place - 0.8,
                text=f"<b>{escape(task)}</b>",
                showarrow=False,
            )
        ticks.append(escape(row.label))
        ours.append((place, row))
        place += 1
    _dots(figure, ours)
    figure.update_yaxes(
        tickvals=[at for at, _ in ours],
        ticktext=ticks,
        range=[place - 0.3, 0.2],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title="target test accuracy, %", range=[0, 101], nticks=6, zeroline=False)
    figure.update_layout(showlegend=True, hovermode="closest", legend={"traceorder": "reversed"})
    alt = "Target test accuracy of every row of the table above, ours and published"
    return Figure(spec(figure), "", alt, int(110 + 30 * place))


def _dots(figure: go.Figure, ours: Sequence[tuple[float, Row]]) -> None:
    known = [(at, row) for at, row in ours if row.published is not None]
    if known:
        hollow = {"symbol": "diamond-open", "size": 11, "color": "#e07b00", "line": {"width": 2}}
        figure.add_trace(_marks("published", [(at, row.published or 0.0) for at, row in known], hollow))
    dots = _marks("ours", [(at, row.mean or 0.0) for at, row in ours], {"size": 9, "color": SOURCE})
    errors = [round(100 * (row.standard_error or 0 if row.sd is None else row.sd), 2) for _, row in ours]
    figure.add_trace(dots.update(error_x={"array": errors, "thickness": 1.5}))


def _marks(name: str, values: Sequence[tuple[float, float]], marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[round(100 * value, 2) for _, value in values],
        y=[at for at, _ in values],
        name=name,
        mode="markers",
        marker=marker,
        hovertemplate=f"{name} %{{x:.2f}} %<extra></extra>",
    )
