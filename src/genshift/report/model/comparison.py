"""Groups of runs of one kind, metric by metric: the table of the runs that draw pictures, and of classifiers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genshift.report.model.formatting import NONE, seeds_text, value_text
from genshift.report.model.grouping import Group
from genshift.report.model.measures import FLOOR_NOTE, best, metric_of, ordered, shown, shown_published
from genshift.report.model.summary import NOT_EVALUATED, NOT_MEASURED, Row, row_of

DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "as real": "nearest to the floor is best",
    "neither": "",
}
BARS = {"se": "standard error over pictures", "samples": "standard deviation over series of samples"}


@dataclass(frozen=True)
class Comparison:
    """Groups of runs of one kind on one data set, each with every metric that any of them has or was published.

    A group is named by its place; `rows` holds its values by metric.
    """

    groups: tuple[Group, ...]
    metrics: tuple[str, ...]
    rows: tuple[dict[str, Row], ...]

    @property
    def heads(self) -> list[str]:
        return [metric_of(metric).head for metric in self.metrics]

    def floor(self, metric: str) -> str:
        """The floor of all groups, as one number or as a range; '' where there is none."""
        floors = sorted(row[metric].floor or 0.0 for row in self.rows if row[metric].floor is not None)
        return "–".join(dict.fromkeys(shown(metric, floor) for floor in (floors[0], floors[-1]))) if floors else ""

    @property
    def floors(self) -> list[str]:
        return [self.floor(metric) for metric in self.metrics]

    def protocols(self, metric: str) -> list[str]:
        """How the metric was measured; more than one where not all runs were measured alike."""
        return list(dict.fromkeys(protocol for row in self.rows for protocol in row[metric].protocols))

    def best(self, metric: str) -> set[int]:
        """The places of the groups with the best mean; none where they were not measured alike."""
        if len(self.protocols(metric)) > 1:  # a judge's distance says nothing beside another judge's
            return set()
        means = {place: row[metric].mean or 0.0 for place, row in enumerate(self.rows) if row[metric].mean is not None}
        floors = [row[metric].floor or 0.0 for row in self.rows if row[metric].floor is not None]
        return best(metric, means, statistics.fmean(floors) if floors else None)

    def fullest(self, place: int) -> Row:
        """The row of a group that most seeds were measured for: it says what they saw and what they cost."""
        rows = list(self.rows[place].values()) or [row_of(self.groups[place], NONE)]
        return max(rows, key=lambda row: len(row.seeds))

    def value(self, place: int, metric: str) -> str:
        """The mean over seeds and its spread; the seeds too, where only some were measured."""
        row = self.rows[place][metric]
        if row.mean is None:  # where the report has a figure, a reader looks for ours
            return NONE if row.published is None else NOT_MEASURED
        if row.seeds == self.fullest(place).seeds:  # which the last columns name
            return value_text(row)
        return f"{value_text(row)} (seed {', '.join(map(str, row.seeds))})"

    def published(self, place: int, metric: str) -> str:
        """The report's figure; '' where it gives none."""
        value = self.rows[place][metric].published
        return "" if value is None else shown_published(metric, value).removesuffix("%")

    def seeds(self, place: int) -> str:
        """How many seeds, and which; or that none was evaluated."""
        if self.fullest(place).seeds:
            return seeds_text(self.fullest(place))
        return NONE if any(run.evaluated for run in self.groups[place].runs) else NOT_EVALUATED

    def terms(self) -> list[tuple[str, str]]:
        """How each group drew; each metric with what it is and which way is better; the floor, and what ± means."""
        terms = []
        # How pictures were drawn: what the protocol of the network's evaluations says after their definition.
        for group in self.groups:
            ways = (run.protocol("evaluations_per_image").partition("; ")[2] for run in group.runs)
            if how := "; ".join(dict.fromkeys(filter(None, ways))):
                terms.append((group.label, f"drawn with {how}."))
        # What each metric is.
        for name in self.metrics:
            metric = metric_of(name)
            unlike = "not all were measured alike, so none is marked best" if len(self.protocols(name)) > 1 else ""
            meaning = filter(None, [metric.meaning, DIRECTIONS[metric.better], unlike])
            terms.append((metric.title, f"{'; '.join(meaning)}."))
        if any(self.floors) and self.groups[0].first.draws:
            terms.append(("floor", FLOOR_NOTE))
        # What the deviations beside values are: over seeds, and of a row with one seed by metric.
        rows = [(metric, row[metric]) for row in self.rows for metric in self.metrics if row[metric].mean is not None]
        bars = ["the standard deviation over seeds"] if any(row.sd is not None for _, row in rows) else []
        alone = [metric_of(name) for name, row in rows if row.sd is None and row.standard_error is not None]
        for bar, words in BARS.items():
            titles = ", ".join(dict.fromkeys(metric.title for metric in alone if metric.bar == bar))
            bars += [f"of one seed ({titles}) its {words}"] if titles else []
        return [*terms, ("±", f"{'; '.join(bars)}.")] if bars else terms

    def measured(self) -> list[tuple[str, str]]:
        """Each metric with its protocol; each run's where they are unlike."""
        terms = []
        for metric in self.metrics:
            protocols = self.protocols(metric)
            lines = [f"{protocol}." for protocol in protocols]
            if len(protocols) > 1:
                lines = [f"{row[metric].label}: {one}." for row in self.rows for one in row[metric].protocols]
            terms += [(metric_of(metric).title, " ".join(lines))] if lines else []
        return terms


def comparison(groups: Sequence[Group]) -> Comparison:
    """Every metric that the runs hold, and every one that was published of their presets."""
    measured = {metric for group in groups for run in group.runs for metric in run.results}
    # A published figure has a column even where nothing was measured yet, but not of a preset that was changed.
    presets = [group.runs[0] for group in groups]
    published = {metric for preset in presets if not preset.changed for metric in preset.published}
    metrics = tuple(ordered(measured | published))
    rows = tuple({metric: row_of(group, metric) for metric in metrics} for group in groups)
    return Comparison(tuple(groups), metrics, rows)
