"""Which blocks show which runs. A new kind of run is one builder and one line in SECTIONS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genshift.report.blocks import Block, Cell, Choice, Figure, Figures, Heading, Option, Prose, Section, Table
from genshift.report.figures import adaptation as figures
from genshift.report.figures.thumbnails import thumbnails
from genshift.report.model.formatting import (
    difference_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    seeds_text,
)
from genshift.report.model.grouping import Group, group_runs, subject_of
from genshift.report.model.measures import TARGET_ACCURACY, percent
from genshift.report.model.summary import NO_LABELS, NOT_EVALUATED, Row, summarise
from genshift.report.sections.generators import generators, measures_table, notes
from genshift.report.sections.measures_table import comparison
from genshift.report.sections.provenance import provenance
from genshift.report.sections.selection import trust
from genshift.runs.records import RunRecord

SIDE_BY_SIDE = 4  # ways of one task, drawn large; more of them are chosen from
CURVES = (figures.accuracy_curves, figures.loss_curves, figures.other_curves)
GLANCE = (
    "Each way's first seed: t-SNE of its features coloured by class, the same by domain (source blue, target red), and "
    "the confusion matrix on the target's test images (rows are true classes). Press one to see it in full. The oracle "
    "uses target labels: it is shown and never steers training or selection."
)
Builder = Callable[[Sequence[RunRecord]], Section]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """One section a task, a kind of generators of one data set, or a preset of another kind, each by the first builder
    that takes its runs; last what all runs tell of choosing without target labels."""
    subjects: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in sorted(runs, key=_kind):
        subjects.setdefault(subject_of(run), []).append(run)
    return [*(_builder(members[0])(members) for members in subjects.values()), *trust(runs)]


def _kind(run: RunRecord) -> int:
    """The place of the builder that takes a run: sections come in the order of SECTIONS."""
    return next(place for place, (takes, _) in enumerate(SECTIONS) if takes(run))


def _builder(run: RunRecord) -> Builder:
    return SECTIONS[_kind(run)][1]


def adaptation(runs: Sequence[RunRecord]) -> Section:
    """Source-only, adapted and trained-on-target runs of one task, side by side."""
    groups, rows = group_runs(runs), summarise(runs)
    blocks: list[Block] = [Prose(_finding(rows)), *notes(runs), *_seed_table(rows)]
    if len(groups) > SIDE_BY_SIDE:
        blocks += _one_by_one(groups)
    else:
        blocks += _latent_space(groups) + _confusions(groups) + _curves(groups)
    return Section(f"{runs[0].study}: {runs[0].task}", blocks + provenance(groups))


def generic(runs: Sequence[RunRecord]) -> Section:
    """A run of another kind, such as a classifier: its results, curves, networks and settings."""
    groups = group_runs(runs)
    blocks: list[Block] = [Prose(runs[0].preset.get("summary") or "")]
    blocks += [*notes(runs), *measures_table(comparison(groups)), *_curves(groups)]
    return Section(f"{runs[0].study}: {runs[0].name}", blocks + provenance(groups))


SECTIONS: list[tuple[Callable[[RunRecord], bool], Builder]] = [
    (lambda run: run.adapts, adaptation),
    (lambda run: run.draws, generators),
    (lambda run: True, generic),
]


def results_table(rows: Sequence[Row]) -> Table:
    """The headline table of adaptation: one body a task, one row a role."""
    bodies: dict[str, list[list[Cell]]] = {}
    for row in rows:
        bodies.setdefault(f"{row.study}: {row.task}", []).append(_result_cells(row))
    head = ["", "ours", "published", "difference", "seeds", "test images", "images seen", "CPU min"]
    return Table(head, list(bodies.items()), _table_note(rows))


def _result_cells(row: Row) -> list[Cell]:
    tone = _tone(row)
    return [
        Cell(row.label),
        Cell(ours_text(row), tone="quiet" if row.mean is None else ""),
        Cell(published_text(row)),
        Cell(difference_text(row), tone=tone),
        Cell(seeds_text(row)),
        Cell(f"{row.n:,}" if row.n else "–"),
        Cell(images_text(row)),
        Cell(minutes_text(row)),
    ]


def _tone(row: Row) -> str:
    """Green at or above published, red below; a source-only model is a floor, so neither."""
    if row.difference is None or row.method == "source":
        return ""
    return "good" if row.difference >= 0 else "bad"


def _table_note(rows: Sequence[Row]) -> str:
    said = ["Accuracy on the target's test images, in percent."]
    if any(row.sd is not None for row in rows):
        said.append("± is the standard deviation over the seeds.")
    if any(row.sd is None and row.standard_error is not None for row in rows):
        said.append("± with (se) is one seed's binomial standard error over its test images.")
    if any(row.published is not None for row in rows):
        said.append("Published is the figure of the report that is reproduced.")
    said.append("CPU minutes are the mean a run, all threads together.")
    return " ".join(said)


def _finding(rows: Sequence[Row]) -> str:
    """What this task came to, in a sentence or two."""
    known = [row for row in rows if row.mean is not None]
    bases, bests = ([row for row in known if row.method == role] for role in ("source", "target"))
    adapted = [row for row in known if row.method not in ("source", "target")]
    if not bases or not adapted:
        return "Source only learns from labelled source images; adapted models see unlabelled target images too."
    base = max(row.mean or 0 for row in bases)
    said = [f"{row.label} reaches {percent(row.mean or 0)} %." for row in bases]
    for row in _told(adapted):
        gain = 100 * ((row.mean or 0) - base)
        said.append(
            f"{row.label} reaches {percent(row.mean or 0)} %, {abs(gain):.1f} points {_side(gain)} source only."
        )
    if bests:
        best = max(row.mean or 0 for row in bests)
        said.append(f"Training on the target's own labels gives {percent(best)} %.")
    return " ".join(said)


def _told(adapted: Sequence[Row]) -> Sequence[Row]:
    """All of a few ways to adapt; of many the best, for the table above holds the rest."""
    return adapted if len(adapted) < SIDE_BY_SIDE else [max(adapted, key=lambda row: row.mean or 0.0)]


def _side(gain: float) -> str:
    return "above" if gain >= 0 else "below"


def _seed_table(rows: Sequence[Row]) -> list[Block]:
    """Each seed's accuracy with its own binomial error; nothing where there is one seed."""
    seeds = sorted({seed for row in rows for seed in row.seeds})
    if len(seeds) < 2:
        return []
    body = [[Cell(row.label), *(Cell(_of_seed(row, seed)) for seed in seeds)] for row in rows]
    note = "± is each seed's binomial standard error. The figures below are drawn from the first seed."
    return [Table(["", *(f"seed {seed}" for seed in seeds)], [("", body)], note)]


def _of_seed(row: Row, seed: int) -> str:
    run = next((run for run in row.group.runs if run.seed == seed and run.value(row.metric) is not None), None)
    return ours_text(summarise([run])[0]).replace(" (se)", "") if run else "–"


def _one_by_one(groups: Sequence[Group]) -> list[Block]:
    """Every way at a glance, and in full the one that is chosen; first the best of those that adapt."""
    options = [Option(_with_accuracy(group), _in_full(group), thumbnails(group.first, group.label)) for group in groups]
    adapting = [place for place, group in enumerate(groups) if group.method not in ("source", "target")]
    shown = max(adapting, key=lambda place: groups[place].first.value(TARGET_ACCURACY) or 0.0, default=0)
    return [Heading("Latent space, confusion and curves"), Prose(GLANCE), Choice(options, shown)]


def _with_accuracy(group: Group) -> str:
    value = group.first.value(TARGET_ACCURACY)
    return group.label if value is None else f"{group.label}: {percent(value)} %"


def _in_full(group: Group) -> list[Block]:
    pair = _pair(group) if group.method != "target" and _has(group, "tsne") else []
    rest = [figures.confusion_matrix(group.first, group.label)] if _has(group, "confusion") else []
    rest += [figure for kind in CURVES if (figure := kind(group.first, group.label))]
    latent = [Figures(pair, figures.class_legend(group.first))] if pair else []
    return [*latent, *([Figures(rest, columns=3)] if rest else [])]


def _latent_space(groups: Sequence[Group]) -> list[Block]:
    """t-SNE before (source-only) and after adaptation, by class and by domain."""
    shown = [group for group in groups if group.method != "target"]
    drawn = [group for group in shown if _has(group, "tsne")]
    missing = _missing(shown, drawn, "evaluated without a t-SNE")
    if not drawn:
        return [Heading("Latent space"), *missing]
    pairs = [figure for group in drawn for figure in _pair(group)]
    return [
        Heading("Latent space"),
        Prose(_sample_note(drawn)),
        Figures(pairs, figures.class_legend(drawn[0].first)),
        *missing,
    ]


def _pair(group: Group) -> list[Figure]:
    name = _before_or_after(group)
    return [figures.tsne_by_class(group.first, name), figures.tsne_by_domain(group.first, name)]


def _before_or_after(group: Group) -> str:
    return (
        group.label.replace("Source only", "Before adaptation") if group.method == "source" else f"After {group.label}"
    )


def _sample_note(drawn: Sequence[Group]) -> str:
    """Says which images are drawn, and whether they are the same ones in every figure."""
    points = [figures.tsne_points(group.first) for group in drawn]
    count, split = len(points[0]["x"]), (drawn[0].first.evaluation["tsne"] or {}).get("split", "")
    said = f"t-SNE of the feature extractor's output over {count:,} images{f' of {split}' if split else ''}; "
    same = all((p["label"], p["domain"]) == (points[0]["label"], points[0]["domain"]) for p in points)
    if len(drawn) > 1:
        said += "every figure shows the same images. " if same else "the figures show DIFFERENT images. "
    return said + "Dots are source images, diamonds target images; distances between clusters have no unit."


def _confusions(groups: Sequence[Group]) -> list[Block]:
    drawn = [group for group in groups if _has(group, "confusion")]
    matrices = [figures.confusion_matrix(group.first, group.label) for group in drawn]
    blocks: list[Block] = [Heading("Confusion on the target's test images")]
    if matrices:
        note = "Rows are true classes with their recall, columns predicted ones; colour is the share of the row."
        blocks += [Prose(note), Figures(matrices, columns=3)]
    return blocks + _missing(groups, drawn, NO_LABELS)


def _missing(groups: Sequence[Group], drawn: Sequence[Group], evaluated: str) -> list[Block]:
    """Names the groups that are not drawn: `evaluated` says why an evaluated one is not."""
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if group not in drawn:
            reason = evaluated if any(run.evaluated for run in group.runs) else NOT_EVALUATED
            reasons.setdefault(reason, []).append(group.label)
    return [Prose(f"{', '.join(names)}: {reason}.") for reason, names in reasons.items()]


def _has(group: Group, part: str) -> bool:
    return bool(group.first.evaluation.get(part))


def _curves(groups: Sequence[Group]) -> list[Block]:
    drawn = [figure for kind in CURVES for group in groups if (figure := kind(group.first, group.label))]
    if not drawn:
        return []
    blocks: list[Block] = [Heading("Curves")]
    if any(group.first.oracle for group in groups):
        blocks.append(Prose("The oracle uses target labels: it is shown here and never steers training or selection."))
    return [*blocks, Figures(drawn, columns=3)]
