"""Generators of one kind on one data set: GANs side by side, or VAEs, or diffusion models."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from genshift.report.blocks import Block, Cell, Figures, Heading, Picture, Pictures, Prose, Table, Terms
from genshift.report.figures import generators as figures
from genshift.report.figures.pictures import first_middle_last, picture
from genshift.report.model.comparison import Comparison
from genshift.report.model.formatting import NONE, joined, seeds_text, value_text
from genshift.report.model.grouping import Group
from genshift.report.model.measures import ACROSS_FAMILIES, OVER_TRAINING, STABILITY, best, metric_of, percent, shown
from genshift.report.model.page_model import PageModel, Subject
from genshift.report.model.summary import Row, row_of
from genshift.report.real_pictures import hidden_note
from genshift.runs.forms import PictureEntry
from genshift.runs.records import RunRecord

KINDS = {"gan": "GANs", "vae": "VAEs", "diffusion": "Diffusion models"}
PANEL = "reconstructions"  # the picture that panel_mse belongs to
PUBLISHED_PANEL = "The report's ten test pictures have errors from 0.008 to 0.020, their mean is {mean:.4g}."
SIDE_BY_SIDE = (
    "frechet", "precision", "recall", "repeats", "sharpness", "face_rate", "copies", "seconds_per_image",
)  # fmt: skip
OF_ANY_COUNT = ("sharpness", "seconds_per_image")  # means over pictures, which do not move with their number
ALARMED = 0.5  # share of readings
TOLD = ("reconstruction_mse", "class_accuracy", "face_rate", "fid", "frechet")  # of one that stands alone
HEADLINES = ("frechet", "fid", "reconstruction_mse")  # of all of them less is better


def heading(subject: Subject) -> str:
    """What generators of one kind are called together, e.g. "GANs of celeba"."""
    return f"{KINDS[subject.first.family]} of {subject.first.task}"


def finding(subject: Subject) -> list[Prose]:
    """Who has the best headline metric, and how far it is from the next."""
    compared = subject.comparison
    for metric in HEADLINES:
        places = compared.best(metric) if metric in compared.metrics else set()
        if len(places) != 1:  # none was measured alike, or two are equal
            continue
        (place,) = places
        means = {k: row[metric].mean or 0.0 for k, row in enumerate(compared.rows) if row[metric].mean is not None}
        best = means.pop(place)
        rival = min(means, key=lambda k: means[k])
        share = f", {1 - best / means[rival]:.0%} below {compared.groups[rival].label}" if means[rival] else ""
        floor = f"; the floor is {compared.floor(metric)}" if compared.floor(metric) else ""
        name, value = compared.groups[place].label, compared.value(place, metric)
        return [Prose(f"{name} has the lowest {metric_of(metric).title}, {value}{share}{floor}.")]
    return [_alone(compared)]


def _alone(compared: Comparison) -> Prose:
    """What the first group measures, where no other is measured alike; what it is, where it measures nothing."""
    said = []
    for metric in TOLD:
        if metric not in compared.metrics or compared.rows[0][metric].mean is None:
            continue
        unit = " %" if metric_of(metric).percent else ""
        beside = [f"published {published}" if (published := compared.published(0, metric)) else ""]
        beside.append(f"floor {floor}" if (floor := compared.floor(metric)) else "")
        apart = f" ({', '.join(filter(None, beside))})" if any(beside) else ""
        said.append(f"{metric_of(metric).title} {compared.value(0, metric)}{unit}{apart}")
    first = compared.groups[0]
    return Prose(f"{first.label}: {'; '.join(said)}." if said else first.first.preset.get("summary") or "")


def families(model: PageModel) -> list[Block]:
    """GANs, VAEs and diffusion models of the same pictures in one table; nothing where there is one family."""
    drawing = [group for group in model.groups if group.first.draws]
    blocks: list[Block] = []
    for task in dict.fromkeys(group.task for group in drawing):
        groups = [group for family in KINDS for group in drawing if (group.task, group.first.family) == (task, family)]
        if len({group.first.family for group in groups}) > 1:
            blocks += [Heading(f"Generators of {task} beside each other"), *_side_by_side(groups)]
    return blocks


def _side_by_side(groups: Sequence[Group]) -> list[Block]:
    """A row a group; where the groups were not measured alike, by so many pictures, the notes say so."""
    columns = {metric: rows for metric in SIDE_BY_SIDE if (rows := _of_equal_counts(groups, metric)) is not None}
    bests, terms = {}, []
    for metric, rows in columns.items():
        known = {place: row for place, row in enumerate(rows) if row.mean is not None}
        counts = {row.n for row in known.values()}
        alike = metric in OF_ANY_COUNT or len({(row.n, *row.protocols) for row in known.values()}) == 1
        floors = [row.floor for row in known.values() if row.floor is not None]
        floor = statistics.fmean(floors) if floors else None
        bests[metric] = (
            best(metric, {place: row.mean or 0.0 for place, row in known.items()}, floor) if alike else set()
        )
        n = joined([f"{count:,}" for count in sorted(filter(None, counts))])
        apart = "" if alike else " Not all were measured alike, so none is marked best."
        beside = "" if floor is None else f" Floor {shown(metric, floor)}."
        terms.append((metric_of(metric).title, f"{metric_of(metric).meaning}; n = {n}.{beside}{apart}"))
    body = []
    for place, group in enumerate(groups):
        cells = [Cell(group.label), Cell(KINDS[group.first.family].removesuffix("s"))]
        for metric, rows in columns.items():
            text = NONE if rows[place].mean is None else value_text(rows[place])
            cells.append(Cell(text, tone="best" if place in bests[metric] else ""))
        body.append([*cells, Cell(seeds_text(max((rows[place] for rows in columns.values()), key=_seeds)))])
    head = ["", "family", *(metric_of(metric).head for metric in columns), "seeds"]
    return [Table(head, [("", body)]), Terms(terms)] if columns else []


def _seeds(row: Row) -> int:
    return len(row.seeds)


def _of_equal_counts(groups: Sequence[Group], metric: str) -> list[Row] | None:
    """A measure of each group, of 1,000 pictures where it was taken of so many too; None where no group has it."""
    equal = [row_of(group, ACROSS_FAMILIES.get(metric, metric)) for group in groups]
    own = [row_of(group, metric) for group in groups]
    rows = [row if row.mean is not None else other for row, other in zip(equal, own, strict=True)]
    return rows if any(row.mean is not None for row in rows) else None


def stability(subject: Subject) -> list[Block]:
    """GANs' seeds: how steady each training was, and which came to nothing."""
    body = []
    for group in subject.groups:
        if group.first.family != "gan":
            continue
        rows = [row_of(group, name) for name in STABILITY]
        # A run that became NaN ends before it is evaluated; one that collapsed is alarmed at its end.
        unfinished = [run.seed for run in group.runs if not run.evaluated]
        collapsed = [run.seed for run in group.runs if _ended_alarmed(run)]
        if all(row.mean is None for row in rows) and not collapsed and not unfinished:
            continue  # older runs say nothing
        texts = [NONE if row.mean is None else value_text(row) for row in rows]
        seeds = [", ".join(f"seed {seed}" for seed in found) or "none" for found in (collapsed, unfinished)]
        body.append([Cell(text) for text in (group.label, *texts, *seeds, str(len(group.runs)))])
    head = ["", "spread of D's loss", "alarmed, %", "seeds that end alarmed", "seeds without a result", "seeds"]
    note = "A seed without a result has not finished: it was stopped, or its loss was not finite."
    return [Heading("Stability of training"), Table(head, [("", body)], note)] if body else []


def _ended_alarmed(run: RunRecord) -> bool:
    """Whether an alarm stood in the last reading of training; where no reading is kept, whether it mostly stood."""
    rows = [row for row in run.metrics if "train/loss_d" in row]
    return bool(rows[-1].get("alarms")) if rows else (run.value("alarmed") or 0.0) > ALARMED


def class_by_class(subject: Subject) -> list[Block]:
    """Each class's accuracy and distance beside those of real pictures."""
    bodies = []
    for group in subject.groups:
        rows = []
        for row in group.first.evaluation.get("by_class") or []:
            shares = [row.get("accuracy"), row.get("real_accuracy")]
            cells = [NONE if share is None else percent(share) for share in shares]
            distances = [row.get("frechet"), row.get("floor")]
            cells += [NONE if distance is None else shown("frechet", distance) for distance in distances]
            rows.append([Cell(str(row["class"])), *map(Cell, cells), Cell(f"{row['n']:,}")])
        bodies += [(group.label, rows)] if rows else []
    head = ["class", "right class, %", "of real pictures, %", "Fréchet", "floor", "pictures"]
    note = (
        "Right class: the share that the classifier takes for the class that was asked for, a mean over the series of "
        "samples. A class has few pictures, so its distance is above that of all classes: read it beside its floor."
    )
    return [Heading("Accuracy and distance of each class"), Table(head, bodies, note)] if bodies else []


# --- pictures ---------------------------------------------------------------------------------------------------------


def pictures(subject: Subject, wanted: Callable[[str], bool] = lambda name: True) -> list[Block]:
    """Every kind of picture once, of all groups side by side; those whose file, without its ending, is `wanted`."""
    kinds: dict[str, list[tuple[Group, PictureEntry]]] = {}
    for group in subject.groups:
        for entry in _entries(group, "pictures"):  # of a file's name, its suffix may differ
            if wanted(PurePosixPath(entry["file"]).stem):
                kinds.setdefault(str(entry.get("title") or entry["file"]), []).append((group, entry))
    blocks: list[Block] = []
    # What is said of all stands once above them; what differs stands below each.
    for title, members in kinds.items():
        captions = list(dict.fromkeys(str(entry.get("caption") or "") for _, entry in members))
        shared = captions[0] if len(captions) == 1 else ""
        pictures = [_picture(group, entry, title, shared) for group, entry in members]
        blocks += [Heading(title), *([Prose(shared)] if shared else []), Pictures(pictures)]
        notes = dict.fromkeys(hidden_note(group.first, entry) for group, entry in members)
        blocks += [Prose(note) for note in notes if note]
        if PANEL in members[0][1]["file"]:
            means = {group.runs[0].published.get("reconstruction_mse") for group, _ in members}
            blocks += [Prose(PUBLISHED_PANEL.format(mean=mean)) for mean in means if mean is not None]
    return blocks


def _picture(group: Group, entry: PictureEntry, title: str, shared: str) -> Picture:
    """A picture with what stands below it; its caption, where it is not the one that all of its kind share."""
    caption = "" if shared else str(entry.get("caption") or "")
    errors = (group.first.evaluation.get("panel_mse") or []) if PANEL in entry["file"] else []
    if errors:
        caption = f"{caption} MSE below each; their mean is {sum(errors) / len(errors):.4f}.".strip()
    under = entry.get("under") or [f"{error:.4f}" for error in errors]
    return picture(group.first, entry["file"], group.label, caption, f"{title} of {group.label}", under)


def snapshots(subject: Subject) -> list[Block]:
    """The same noise at the first, the middle and the last check of each group."""
    strips: list[Block] = []
    for group in subject.groups:
        shown = []
        for entry in first_middle_last(_entries(group, "snapshots")):
            title = f"{group.label}, {int(entry.get('images', 0)):,} images"
            shown.append(picture(group.first, entry["file"], title, alt=f"Samples of {title}"))
        strips += [Pictures(shown, columns=3)] if shown else []
    return [Heading("Over training"), Prose("The same noise at every stage."), *strips] if strips else []


def _entries(group: Group, part: Literal["pictures", "snapshots"]) -> list[PictureEntry]:
    """The entries of a list of evaluation.json that name a file: another program may have written it."""
    entries: Sequence[PictureEntry] = group.first.evaluation.get(part) or []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("file"), str)]


# --- figures ----------------------------------------------------------------------------------------------------------


def curves(subject: Subject) -> list[Block]:
    """Losses, who wins, and a VAE's terms, each kind in a row of its own."""
    drawn = [(group.label, group.first) for group in subject.groups]
    rows = [figures.loss_curves(drawn), figures.contest_curves(drawn), figures.denoising_curves(drawn)]
    rows.append(figures.check_curves(drawn))
    rows.append([figure for label, run in drawn if (figure := figures.term_curves(label, run))])
    blocks: list[Block] = [Figures(row) for row in rows if row]
    return [Heading("Curves"), *blocks] if blocks else []


def latent_space(subject: Subject) -> list[Block]:
    """A VAE's held-out pictures over training, and what is measured of them."""
    stages = [figures.stages(group.label, group.first) for group in subject.groups]
    blocks: list[Block] = [Figures(drawn, columns=3) for drawn in stages if drawn]
    note = "t-SNE of the same held-out pictures' latent vectors over training; distances have no unit."
    drawn: list[Block] = [Heading("Latent space"), Prose(note), *blocks] if blocks else []
    return [*drawn, *_latent_measures(subject)]


def _latent_measures(subject: Subject) -> list[Block]:
    """How separable the attribute is at each stage, and how far each group's latent vectors lie from N(0, I)."""
    bodies = []
    terms: dict[str, str] = {}
    for group in subject.groups:
        rows = []
        for stage in ("first", "middle", "last"):
            measured = [row_of(group, f"{name}/{stage}") for name in OVER_TRAINING]
            if any(row.mean is not None for row in measured):
                texts = [NONE if row.mean is None else value_text(row) for row in measured]
                floors = [NONE if row.floor is None else shown(row.metric, row.floor) for row in measured]
                cells = [Cell(text, note=f"floor {floor}") for text, floor in zip(texts, floors, strict=True)]
                rows.append([Cell(f"{stage} check"), *cells])
                terms |= {f"{group.label}, {row.metric}": f"{'; '.join(row.protocols)}." for row in measured}
        bodies += [(group.label, rows)] if rows else []
    head = ["", *(metric_of(name).head for name in OVER_TRAINING)]
    return [Table(head, bodies), Terms(list(terms.items()), "How each was taken")] if bodies else []


def attribute_changes(subject: Subject) -> list[Block]:
    """Which attributes a VAE's reconstructions change, beside the rate at which the judge itself errs."""
    bodies = []
    for group in subject.groups:
        rows = []
        changes = group.first.evaluation.get("attribute_changes") or []
        for row in sorted(changes, key=lambda row: -row["flipped"]):
            errs = row.get("judge_errs")
            share = f"{percent(row['flipped'])} ± {percent(row.get('error') or 0.0)}"
            cells = (
                row["attribute"].replace("_", " "),
                share,
                NONE if errs is None else percent(errs),
                f"{row['n']:,}",
            )
            rows.append([Cell(cell) for cell in cells])
        bodies += [(group.label, rows)] if rows else []
    head = ["attribute", "changed, %", "judge errs, %", "pictures"]
    note = (
        "Changed: the share of held-out pictures that the classifier sees with another answer after reconstruction, ± "
        "the binomial error. Judge errs: how often its answer on the picture as it is is wrong. Seed of the first run."
    )
    return [Heading("Attributes that a reconstruction changes"), Table(head, bodies, note)] if bodies else []
