"""The section of generators of one kind on one data set: GANs side by side, or VAEs, or diffusion models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genshift.report.blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Heading,
    Notes,
    Picture,
    Pictures,
    Prose,
    Section,
    Table,
    Terms,
)
from genshift.report.figures import generators as figures
from genshift.report.figures.pictures import picture
from genshift.report.model.formatting import images_text, joined, minutes_text
from genshift.report.model.grouping import Group, group_runs
from genshift.report.model.measures import measure_of, percent, shown
from genshift.report.model.summary import NOT_EVALUATED, cautions
from genshift.report.sections import diffusion
from genshift.report.sections.measures_table import Comparison, comparison, heading
from genshift.report.sections.provenance import provenance
from genshift.runs.records import RunRecord

PANEL = "reconstructions"  # the picture that panel_mse belongs to
PUBLISHED_PANEL = "The report's ten test pictures have errors from 0.008 to 0.020, their mean is {mean:.4g}."
HEADLINES = ("frechet", "fid", "reconstruction_mse")


def generators(runs: Sequence[RunRecord]) -> Section:
    """Measures, pictures, curves; of VAEs the latent space, of diffusion models the sweep."""
    groups = group_runs(runs)
    compared = comparison(groups)
    blocks: list[Block] = [Prose(_finding(compared)), *notes(runs), *measures_table(compared)]
    blocks += diffusion.procedure(groups) + _class_by_class(groups) + _pictures(groups) + _snapshots(groups)
    blocks += diffusion.sweeps(groups) + _curves(groups) + _stages(groups)
    studies = list(dict.fromkeys(run.study for run in runs))
    return Section(f"{joined(studies)}: {heading(runs)}", blocks + provenance(groups))


def notes(runs: Sequence[RunRecord]) -> list[Block]:
    """Warnings of the evaluators, and the alarms that these do not name."""
    lines = [*cautions(runs), *(line for group in group_runs(runs) for line in _alarms(group))]
    return [Notes(lines)] if lines else []


def _alarms(group: Group) -> list[str]:
    return [
        f"{group.label}, seed {run.seed}: {name}, {_when(run, name)}."
        for run in group.runs
        for name in figures.alarm_names(run)
        if not any(name in str(warning).lower() for warning in run.evaluation.get("warnings") or [])
    ]


def _when(run: RunRecord, name: str) -> str:
    seen = [row["images"] for row in run.metrics if name in (row.get("alarms") or [])]
    return f"at {seen[0]:,} images" if len(seen) == 1 else f"between {seen[0]:,} and {seen[-1]:,} images"


# --- the table --------------------------------------------------------------------------------------------------------


def measures_table(compared: Comparison) -> list[Block]:
    """One row a group, one column a measure, the floors below, and what each measure is."""
    body = [_row(compared, place) for place in range(len(compared.groups))]
    if any(compared.floors):
        body.append([Cell("floor"), *(Cell(floor or "–", tone="quiet") for floor in compared.floors), *[Cell("")] * 3])
    head = ["", *compared.heads, "seeds", "images seen", "CPU min"]
    note = f"{_marks(compared)}CPU minutes are the mean a run, all threads together."
    blocks: list[Block] = [Table(head, [("", body)], note)]
    if compared.metrics:
        blocks.append(Terms(compared.terms()))
    return [*blocks, Terms(taken, "How each measure was taken")] if (taken := compared.taken()) else blocks


def _row(compared: Comparison, place: int) -> list[Cell]:
    about = compared.about(place)
    cells = [_value(compared, place, metric) for metric in compared.metrics]
    seeds = compared.seeds(place)
    counts = [Cell(seeds, tone="quiet" if seeds == NOT_EVALUATED else ""), Cell(images_text(about))]
    return [Cell(compared.groups[place].label), *cells, *counts, Cell(minutes_text(about))]


def _value(compared: Comparison, place: int, metric: str) -> Cell:
    published = compared.published(place, metric)
    tone = "best" if place in compared.best(metric) else ""
    return Cell(compared.value(place, metric), tone=tone, note=f"published {published}" if published else "")


def _marks(compared: Comparison) -> str:
    best = any(compared.best(metric) for metric in compared.metrics)
    published = any(
        compared.published(place, metric) for place in range(len(compared.groups)) for metric in compared.metrics
    )
    said = ["Bold and underlined: the best of its column." if best else ""]
    said.append("Published is the figure of the report that is reproduced." if published else "")
    return "".join(f"{sentence} " for sentence in said if sentence)


def _finding(compared: Comparison) -> str:
    """Who has the best headline measure, and how far it is from the next."""
    for metric in HEADLINES:
        places = compared.best(metric) if metric in compared.metrics else set()
        if len(places) == 1:
            return _leads(compared, metric, *places)
    return compared.groups[0].first.preset.get("summary") or ""


def _leads(compared: Comparison, metric: str, place: int) -> str:
    means = {k: row[metric].mean for k, row in enumerate(compared.rows) if row[metric].mean is not None}
    best = means.pop(place) or 0.0
    rival = min(means, key=lambda k: means[k] or 0.0)
    other = means[rival] or 0.0
    share = f", {1 - best / other:.0%} below {compared.groups[rival].label}" if other else ""
    floor = f"; the floor is {compared.floor(metric)}" if compared.floor(metric) else ""
    name = compared.groups[place].label
    return f"{name} has the lowest {measure_of(metric).title}, {compared.value(place, metric)}{share}{floor}."


def _class_by_class(groups: Sequence[Group]) -> list[Block]:
    """Each class's accuracy and distance beside those of real pictures."""
    told = [group for group in groups if group.first.evaluation.get("by_class")]
    if not told:
        return []
    head = ["class", "right class, %", "of real pictures, %", "Fréchet", "floor", "pictures"]
    bodies = [(group.label, [_class_row(row) for row in group.first.evaluation["by_class"]]) for group in told]
    note = (
        "Right class: the share that the classifier takes for the class that was asked for, a mean over the series of "
        "samples. A class has few pictures, so its distance is above that of all classes: read it beside its floor."
    )
    return [Heading("Accuracy and distance of each class"), Table(head, bodies, note)]


def _class_row(row: Mapping[str, Any]) -> list[Cell]:
    shares = [row.get("accuracy"), row.get("real_accuracy")]
    distances = [row.get("frechet"), row.get("floor")]
    cells = ["–" if share is None else percent(share) for share in shares]
    cells += ["–" if distance is None else shown("frechet", distance) for distance in distances]
    return [Cell(str(row["class"])), *map(Cell, cells), Cell(f"{row['n']:,}")]


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(groups: Sequence[Group]) -> list[Block]:
    """Every kind of picture once, of all groups side by side."""
    kinds: dict[str, list[tuple[Group, dict[str, Any]]]] = {}
    for group in groups:
        for entry in _entries(group, "pictures"):
            kinds.setdefault(entry["file"], []).append((group, entry))
    blocks: list[Block] = []
    for found in kinds.values():
        title = str(found[0][1].get("title") or found[0][1]["file"])
        said = list(dict.fromkeys(str(entry.get("caption") or "") for _, entry in found))
        shared = said[0] if len(said) == 1 else ""
        shown = [_picture(group, entry, title, shared) for group, entry in found]
        blocks += [Heading(title), *([Prose(shared)] if shared else []), Pictures(shown)]
        blocks += _published_panel([group for group, entry in found if PANEL in entry["file"]])
    return blocks


def _picture(group: Group, entry: dict[str, Any], title: str, shared: str) -> Picture:
    caption = "" if shared else str(entry.get("caption") or "")
    errors = (group.first.evaluation.get("panel_mse") or []) if PANEL in entry["file"] else []
    if errors:
        caption = f"{caption} MSE below each; their mean is {sum(errors) / len(errors):.4f}.".strip()
    under = entry.get("under") or [f"{error:.4f}" for error in errors]
    return picture(group.first, entry["file"], group.label, caption, f"{title} of {group.label}", under)


def _published_panel(groups: Sequence[Group]) -> list[Block]:
    means = {group.runs[0].published.get("reconstruction_mse") for group in groups}
    return [Prose(PUBLISHED_PANEL.format(mean=mean)) for mean in means if mean is not None]


def _snapshots(groups: Sequence[Group]) -> list[Block]:
    """The same noise at the first, the middle and the last check of each group."""
    strips: list[Block] = []
    for group in groups:
        kept = _entries(group, "snapshots")
        chosen = [kept[place] for place in sorted({0, len(kept) // 2, len(kept) - 1})] if kept else []
        shown = [_snapshot(group, entry) for entry in chosen]
        strips += [Pictures(shown, columns=3)] if shown else []
    return [Heading("Over training"), Prose("The same noise at every stage."), *strips] if strips else []


def _snapshot(group: Group, entry: dict[str, Any]) -> Picture:
    title = f"{group.label}, {int(entry.get('images', 0)):,} images"
    return picture(group.first, entry["file"], title, alt=f"Samples of {title}")


def _entries(group: Group, part: str) -> list[dict[str, Any]]:
    """The entries of a list of evaluation.json that name a file."""
    found: Any = group.first.evaluation.get(part) or []
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("file"), str)]


# --- figures ----------------------------------------------------------------------------------------------------------


def _curves(groups: Sequence[Group]) -> list[Block]:
    drawn = [(group.label, group.first) for group in groups]
    rows = [figures.loss_curves(drawn), figures.contest_curves(drawn), figures.denoising_curves(drawn)]
    rows.append([figure for label, run in drawn if (figure := figures.term_curves(label, run))])
    blocks: list[Block] = [Figures(row) for row in rows if row]
    return [Heading("Curves"), *blocks] if blocks else []


def _stages(groups: Sequence[Group]) -> list[Block]:
    blocks: list[Block] = []
    for group in groups:
        drawn: list[Figure] = figures.stages(group.label, group.first)
        blocks += [Figures(drawn, columns=3)] if drawn else []
    note = "t-SNE of the same held-out pictures' latent vectors over training; distances have no unit."
    return [Heading("Latent space"), Prose(note), *blocks] if blocks else []
