"""The one place that turns run folders into figures of merit.

The page, the console table and docs/results.md all count, group and average here, so they cannot disagree.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genshift.report.model.grouping import Group, group_runs
from genshift.report.model.measures import TARGET_ACCURACY, measure_of, ordered, percent, shown, worse
from genshift.runs.records import RunRecord

NOT_EVALUATED = "not evaluated yet"
NO_LABELS = "no target labels"


@dataclass(frozen=True)
class Row:
    """One measured value over the seeds of a group.

    `mean` is None before evaluation; `sd` (n − 1 in the denominator) needs two seeds; `standard_error` is the
    binomial one of the test images for a target accuracy, else the first seed's std of results.json, where it is known
    what that is (a standard error, or the deviation over series of samples: `Measure.bar`). `floor` is the mean of the
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


def summarise(runs: Sequence[RunRecord]) -> list[Row]:
    """One row a group for target accuracy; for a run that does not adapt, one row a metric."""
    return [row_of(group, metric) for group in group_runs(runs) for metric in _metrics(group)]


def _metrics(group: Group) -> list[str]:
    if group.runs[0].adapts:
        return [TARGET_ACCURACY]
    return ordered(metric for run in group.runs for metric in run.results) or ["–"]


def row_of(group: Group, metric: str) -> Row:
    """One measure of a group, measured or not."""
    measured = [(run, value) for run in group.runs if (value := run.value(metric)) is not None]
    values = [value for _, value in measured]
    mean = statistics.fmean(values) if values else None
    counts = [run.count(metric) for run, _ in measured]
    counted = [run for run, _ in measured] or group.runs  # a run that still trains says nothing of what the mean cost
    minutes = [run.cpu_minutes for run in counted if run.cpu_minutes is not None]
    return Row(
        study=group.study,
        task=group.task,
        method=group.method,
        label=group.label,
        metric=metric,
        mean=mean,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(run.seed for run, _ in measured),
        n=counts[0] if counts else None,
        standard_error=_error(measured, metric, mean),
        published=_published(group.runs[0], metric),
        images=tuple(sorted({run.images for run in counted if run.images is not None})),
        cpu_minutes=statistics.fmean(minutes) if minutes else None,
        group=group,
        floor=statistics.fmean(floors) if (floors := _known(run.floor(metric) for run, _ in measured)) else None,
        protocols=tuple(dict.fromkeys(said for run, _ in measured if (said := run.protocol(metric)))),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _error(measured: Sequence[tuple[RunRecord, float]], metric: str, mean: float | None) -> float | None:
    """The first run's own error; of a target accuracy, and of one without, the binomial one of the mean."""
    if not measured or not measure_of(metric).bar:
        return None
    first = measured[0][0]
    given = first.results[metric].std
    if metric == TARGET_ACCURACY or (given is None and metric.endswith("accuracy")):
        return _binomial(mean, first.count(metric))
    return None if given is None else float(given)


def _binomial(share: float | None, n: int | None) -> float | None:
    return math.sqrt(max(0.0, share * (1 - share)) / n) if share is not None and n else None


def _published(run: RunRecord, metric: str) -> float | None:
    if run.draws and run.changed:  # another experiment than the one that was published
        return None
    return run.published.get("target_accuracy" if metric == TARGET_ACCURACY else metric)


def cautions(runs: Sequence[RunRecord]) -> list[str]:
    """What a reader must know before trusting a table: evaluators' warnings, adapted below source-only."""
    groups = group_runs(runs)
    said = [
        f"{run.name if run.adapts else group.label}, seed {run.seed}: {text}"
        for group in groups
        for run in group.runs
        for text in run.evaluation.get("warnings", [])
    ]
    for group in groups:
        seeds = [run.seed for run in group.runs]
        if twins := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            said.append(f"{group.task}, {group.label}: seed {twins[0]} was given more than once and counts each time.")
    rows = summarise(runs)
    return said + [short.text for short in shortfalls(rows) if short.kind == "below source only"]


@dataclass(frozen=True)
class Shortfall:
    """A row that is below what it should reach."""

    row: Row
    kind: str  # "below published" or "below source only"
    text: str


def shortfalls(rows: Sequence[Row]) -> list[Shortfall]:
    """Rows below their published figure, and adapted rows below source-only of the same task."""
    found = []
    for row in rows:
        if row.mean is None:
            continue
        where = f"{row.task}, {row.label}"
        if row.published is not None and worse(row.metric, row.mean, row.published):
            found.append(Shortfall(row, "below published", f"{where}: {_below_published(row)}"))
        base = _source_only(row, rows)
        if base is not None and row.mean < base:
            text = f"{where}: {percent(row.mean)} %, below source only at {percent(base)} %"
            found.append(Shortfall(row, "below source only", text))
    return found


def _below_published(row: Row) -> str:
    assert row.mean is not None and row.published is not None
    if row.metric == TARGET_ACCURACY:
        return f"{percent(row.mean)} %, below the published {percent(row.published)} %"
    measure = measure_of(row.metric)
    ours, theirs = (shown(row.metric, v) + (" %" if measure.percent else "") for v in (row.mean, row.published))
    return f"{measure.title} {ours}, {'below' if measure.better == 'higher' else 'above'} the published {theirs}"


def _source_only(row: Row, rows: Sequence[Row]) -> float | None:
    """The source-only accuracy to hold an adapted row against: of the nearest budget, the highest."""
    if row.metric != TARGET_ACCURACY or row.method in ("source", "target", ""):
        return None
    base = [r for r in rows if (r.study, r.task, r.method) == (row.study, row.task, "source") and r.mean is not None]
    gaps = [abs(sum(r.images) - sum(row.images)) for r in base]
    return max((r.mean or 0.0 for r, gap in zip(base, gaps, strict=True) if gap == min(gaps)), default=None)
