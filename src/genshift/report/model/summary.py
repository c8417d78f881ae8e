"""The one place that turns runs into figures of merit: values over seeds, what fell short, and what to be warned of.

The page, the console table and docs/results.md all count and average here, so they cannot disagree.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genshift.metrics.binomial import standard_error
from genshift.report.model.grouping import Group
from genshift.report.model.measures import TARGET_ACCURACY, metric_of, ordered, percent, shown, worse
from genshift.runs.records import RunRecord

NOT_EVALUATED = "not evaluated yet"
NO_LABELS = "no target labels"
NOT_MEASURED = "not measured"
NOT_KEPT = "not kept in its record"
FAILED = "could not be measured"  # a warning says why
NO_T_SNE = "evaluated without a t-SNE, which `genshift evaluate RUN` draws"
T_SNE = "t-SNE"


@dataclass(frozen=True)
class Row:
    """One measured value over the seeds of a group.

    `mean` is None before evaluation; `sd` (n − 1 in the denominator) needs two seeds; `standard_error` is the
    binomial one of the test images for a target accuracy, else the first seed's std of results.json, where it is known
    what that is (a standard error, or the deviation over series of samples: `Metric.bar`). `floor` is the mean of the
    seeds' floors; `protocols` say how the values were measured.
    """

    study: str
    task: str
    method: str
    label: str
    metric: str
    mean: float | None
    sd: float | None
    seeds: tuple[int, ...]
    n: int | None
    standard_error: float | None
    published: float | None
    images: tuple[int, ...]
    cpu_minutes: float | None
    group: Group
    floor: float | None = None
    protocols: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return None if self.mean is None or self.published is None else self.mean - self.published


def rows_of(group: Group) -> list[Row]:
    """Target accuracy, for a group that adapts; for any other a row for each metric."""
    if group.runs[0].of_adaptation:
        return [row_of(group, TARGET_ACCURACY)]
    metrics = ordered(metric for run in group.runs for metric in run.results)
    return [row_of(group, metric) for metric in metrics or ["–"]]


def row_of(group: Group, metric: str) -> Row:
    """One measure of a group, measured or not."""
    measured = [(run, value) for run in group.runs if (value := run.value(metric)) is not None]
    runs, values = [run for run, _ in measured], [value for _, value in measured]
    mean = statistics.fmean(values) if values else None
    counted = runs or group.runs  # a run that still trains says nothing of what the mean cost
    return Row(
        study=group.study,
        task=group.task,
        method=group.method,
        label=group.label,
        metric=metric,
        mean=mean,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(run.seed for run in runs),
        n=runs[0].count(metric) if runs else None,
        standard_error=_standard_error(runs[0], metric, mean) if runs else None,
        published=published_of(group.runs[0], metric),
        images=tuple(sorted({run.images for run in counted if run.images is not None})),
        cpu_minutes=_mean_of_known(run.cpu_minutes for run in counted),
        group=group,
        floor=_mean_of_known(run.floor(metric) for run in runs),
        protocols=tuple(dict.fromkeys(run.protocol(metric) for run in runs if run.protocol(metric))),
    )


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _standard_error(first: RunRecord, metric: str, mean: float | None) -> float | None:
    """The first run's own error; of a target accuracy, and of one without, the binomial one of the mean."""
    if not metric_of(metric).bar:
        return None
    std, n = first.results[metric].std, first.count(metric)
    if metric == TARGET_ACCURACY or (std is None and metric.endswith("accuracy")):
        return standard_error(mean, n) if mean is not None and n else None
    return std


def published_of(run: RunRecord, metric: str) -> float | None:
    """The report's figure of a preset as it was published."""
    if run.draws and run.changed:  # another experiment than the one that was published
        return None
    return run.published.get("target_accuracy" if metric == TARGET_ACCURACY else metric)


def why_missing(runs: Sequence[RunRecord], measure: str) -> str:
    """Why none of a group's runs shows `measure`, the target's accuracy or T_SNE."""
    run = next((run for run in runs if run.evaluated or run.evaluation), None)
    if run is None:
        return NOT_EVALUATED
    if run.measures_alone:
        return NOT_KEPT
    # A measure that was refused left a sentence, with the names of what it would have been before its first full stop.
    refused = [warning.partition(". ")[0] for warning in run.evaluation.get("warnings", [])]
    if any(names.startswith("Not measured: ") and measure in names for names in refused):
        return FAILED
    if measure == T_SNE:
        return NO_T_SNE if "tsne" not in run.evaluation else "a domain had no images to draw"
    return NO_LABELS


# --- what to be warned of ---------------------------------------------------------------------------------------------


def cautions(groups: Sequence[Group], rows: Sequence[Row]) -> list[str]:
    """What a reader must know before trusting a table: evaluators' warnings, adapted below source-only."""
    lines = []
    for group in groups:
        for run in group.runs:
            name = run.name if run.of_adaptation else group.label
            lines += [f"{name}, seed {run.seed}: {warning}" for warning in run.evaluation.get("warnings", [])]
    # The same folder named twice, or copied: a deviation over it would be too small.
    for group in groups:
        seeds = [run.seed for run in group.runs]
        if twins := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            lines.append(f"{group.task}, {group.label}: seed {twins[0]} was given more than once and counts each time.")
    return lines + [short.text for short in shortfalls(rows) if short.kind == "below source only"]


@dataclass(frozen=True)
class Shortfall:
    """A row that is below what it should reach."""

    row: Row
    kind: str  # "below published" or "below source only"
    text: str


def shortfalls(rows: Sequence[Row]) -> list[Shortfall]:
    """Rows below their published figure, and adapted rows below source-only of the same task."""
    short = []
    for row in rows:
        if row.mean is None:
            continue
        where = f"{row.task}, {row.label}"
        if row.published is not None and worse(row.metric, row.mean, row.published):
            text = _below_published(row.metric, row.mean, row.published)
            short.append(Shortfall(row, "below published", f"{where}: {text}"))
        base = _source_only_accuracy(row, rows)
        if base is not None and row.mean < base:
            text = f"{where}: {percent(row.mean)} %, below source only at {percent(base)} %"
            short.append(Shortfall(row, "below source only", text))
    return short


def _below_published(name: str, ours: float, published: float) -> str:
    if name == TARGET_ACCURACY:
        return f"{percent(ours)} %, below the published {percent(published)} %"
    metric = metric_of(name)
    one, other = (shown(name, value) + (" %" if metric.percent else "") for value in (ours, published))
    return f"{metric.title} {one}, {'below' if metric.better == 'higher' else 'above'} the published {other}"


def _source_only_accuracy(row: Row, rows: Sequence[Row]) -> float | None:
    """The source-only accuracy to hold an adapted row against: of the nearest budget, the highest."""
    if row.metric != TARGET_ACCURACY or row.method in ("source", "target", ""):
        return None
    base = [r for r in rows if (r.study, r.task, r.method) == (row.study, row.task, "source") and r.mean is not None]
    # A longer training raises source-only's accuracy too.
    gaps = [abs(sum(r.images) - sum(row.images)) for r in base]
    return max((r.mean or 0.0 for r, gap in zip(base, gaps, strict=True) if gap == min(gaps)), default=None)
