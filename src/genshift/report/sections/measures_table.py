"""One row a preset, one column a measure: the table of the runs that draw pictures, and of classifiers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genshift.report.model.formatting import seeds_listed, seeds_text, value_text
from genshift.report.model.grouping import Group
from genshift.report.model.measures import FLOOR_NOTE, best, measure_of, ordered, shown, shown_published
from genshift.report.model.summary import NOT_EVALUATED, Row, row_of
from genshift.runs.records import RunRecord

KINDS = {"gan": "GANs", "vae": "VAEs", "diffusion": "Diffusion models"}
DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "as real": "nearest to the floor is best",
    "neither": "",
}
BARS = {"se": "standard error over pictures", "samples": "standard deviation over series of samples"}


@dataclass(frozen=True)
class Comparison:
    """Groups of runs of one kind on one data set, each with every measure that any of them has or was published."""

    groups: tuple[Group, ...]
    metrics: tuple[str, ...]
    rows: tuple[dict[str, Row], ...]

    @property
    def heads(self) -> list[str]:
        return [measure_of(metric).head for metric in self.metrics]

    def floor(self, metric: str) -> str:
        """The floor of all groups, as one number or as a range; '' where there is none."""
        floors = sorted(row[metric].floor or 0.0 for row in self.rows if row[metric].floor is not None)
        return "–".join(dict.fromkeys(shown(metric, floor) for floor in (floors[0], floors[-1]))) if floors else ""

    @property
    def floors(self) -> list[str]:
        return [self.floor(metric) for metric in self.metrics]

    def protocols(self, metric: str) -> list[str]:
        """How the measure was taken; more than one where not all runs were measured alike."""
        return list(dict.fromkeys(said for row in self.rows for said in row[metric].protocols))

    def best(self, metric: str) -> set[int]:
        """The places of the groups with the best mean; none where they were not measured alike."""
        known = {place: row[metric].mean or 0.0 for place, row in enumerate(self.rows) if row[metric].mean is not None}
        floors = [row[metric].floor or 0.0 for row in self.rows if row[metric].floor is not None]
        alike = len(self.protocols(metric)) < 2
        return best(metric, known, statistics.fmean(floors) if floors else None) if alike else set()

    def about(self, place: int) -> Row:
        """A row that says which seeds a group has, what they saw and what they cost."""
        rows = list(self.rows[place].values()) or [row_of(self.groups[place], "–")]
        return max(rows, key=lambda row: len(row.seeds))

    def value(self, place: int, metric: str) -> str:
        """The mean over seeds and its spread; the seeds too, where only some were measured."""
        row = self.rows[place][metric]
        if row.mean is None:
            return "–"
        some = row.seeds != self.about(place).seeds
        return f"{value_text(row)}{f' (seed {seeds_listed(row.seeds)})' if some else ''}"

    def published(self, place: int, metric: str) -> str:
        """The report's figure; '' where it gives none."""
        value = self.rows[place][metric].published
        return "" if value is None else shown_published(metric, value).removesuffix("%")

    def seeds(self, place: int) -> str:
        """How many seeds, and which; or that none was evaluated."""
        if self.about(place).seeds:
            return seeds_text(self.about(place))
        return "–" if any(run.evaluated for run in self.groups[place].runs) else NOT_EVALUATED

    def terms(self) -> list[tuple[str, str]]:
        """How each group drew; each measure with what it is and which way is better; the floor, and what ± means."""
        said = [(group.label, f"drawn with {how}.") for group in self.groups if (how := _drawn(group))]
        said += [(measure_of(metric).title, self._explained(metric)) for metric in self.metrics]
        said += [("floor", FLOOR_NOTE)] if any(self.floors) and self.groups[0].first.draws else []
        bars = self._bars()
        return [*said, ("±", f"{'; '.join(bars)}.")] if bars else said

    def _bars(self) -> list[str]:
        """What the deviations beside values are: over seeds, and of a row with one seed by measure."""
        rows = [(metric, row[metric]) for row in self.rows for metric in self.metrics if row[metric].mean is not None]
        said = ["the standard deviation over seeds"] if any(row.sd is not None for _, row in rows) else []
        for bar, words in BARS.items():
            own = [
                m for m, row in rows if row.sd is None and row.standard_error is not None and measure_of(m).bar == bar
            ]
            titles = ", ".join(dict.fromkeys(measure_of(metric).title for metric in own))
            said += [f"of one seed ({titles}) its {words}"] if own else []
        return said

    def _explained(self, metric: str) -> str:
        measure = measure_of(metric)
        unlike = "not all were measured alike, so none is marked best" if len(self.protocols(metric)) > 1 else ""
        return "; ".join(filter(None, [measure.says, DIRECTIONS[measure.better], unlike])) + "."

    def taken(self) -> list[tuple[str, str]]:
        """Each measure with its protocol; each run's where they are unlike."""
        return [(measure_of(metric).title, said) for metric in self.metrics if (said := self._taken(metric))]

    def _taken(self, metric: str) -> str:
        if len(protocols := self.protocols(metric)) < 2:
            return f"{protocols[0]}." if protocols else ""
        pairs = [(row.label, one) for rows in self.rows for row in [rows[metric]] for one in row.protocols]
        return " ".join(f"{label}: {one}." for label, one in pairs)


def comparison(groups: Sequence[Group]) -> Comparison:
    """The table's content."""
    known = {metric for group in groups for run in group.runs for metric in run.results}
    promised = {metric for group in groups for metric in _published(group.runs[0])}
    metrics = tuple(ordered(known | promised))
    return Comparison(
        tuple(groups), metrics, tuple({metric: row_of(group, metric) for metric in metrics} for group in groups)
    )


def _drawn(group: Group) -> str:
    """How the group's pictures were drawn, each way once; '' where nothing says so."""
    return "; ".join(
        dict.fromkeys(filter(None, (run.protocol("evaluations_per_image").partition("; ")[2] for run in group.runs)))
    )


def _published(run: RunRecord) -> list[str]:
    return [] if run.changed else list(run.published)


def heading(runs: Sequence[RunRecord]) -> str:
    """What generators of one kind are called together, e.g. "GANs of celeba"."""
    return f"{KINDS[runs[0].family]} of {runs[0].task}"
