"""Generators of one kind on one data set: GANs side by side, or VAEs, or diffusion models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from genshift.report.blocks import Block, Cell, Figures, Heading, Picture, Pictures, Prose, Table
from genshift.report.figures import generators as figures
from genshift.report.figures.pictures import first_middle_last, picture
from genshift.report.model.formatting import NONE
from genshift.report.model.grouping import Group
from genshift.report.model.measures import metric_of, percent, shown
from genshift.report.model.page_model import Subject
from genshift.report.real_pictures import hidden_note
from genshift.runs.forms import PictureEntry

KINDS = {"gan": "GANs", "vae": "VAEs", "diffusion": "Diffusion models"}
PANEL = "reconstructions"  # the picture that panel_mse belongs to
PUBLISHED_PANEL = "The report's ten test pictures have errors from 0.008 to 0.020, their mean is {mean:.4g}."
HEADLINES = ("frechet", "fid", "reconstruction_mse")  # of all of them less is better


def heading(subject: Subject) -> str:
    """What generators of one kind are called together, e.g. "GANs of celeba"."""
    return f"{KINDS[subject.first.family]} of {subject.first.task}"


def finding(subject: Subject) -> list[Block]:
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
    return [Prose(compared.groups[0].first.preset.get("summary") or "")]


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


def pictures(subject: Subject) -> list[Block]:
    """Every kind of picture once, of all groups side by side."""
    kinds: dict[str, list[tuple[Group, PictureEntry]]] = {}
    for group in subject.groups:
        for entry in _entries(group, "pictures"):  # of a file's name, its suffix may differ
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
    rows.append([figure for label, run in drawn if (figure := figures.term_curves(label, run))])
    blocks: list[Block] = [Figures(row) for row in rows if row]
    return [Heading("Curves"), *blocks] if blocks else []


def latent_space(subject: Subject) -> list[Block]:
    """A VAE's held-out pictures over training."""
    stages = [figures.stages(group.label, group.first) for group in subject.groups]
    blocks: list[Block] = [Figures(drawn, columns=3) for drawn in stages if drawn]
    note = "t-SNE of the same held-out pictures' latent vectors over training; distances have no unit."
    return [Heading("Latent space"), Prose(note), *blocks] if blocks else []
