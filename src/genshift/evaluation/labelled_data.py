"""Images to measure on, with labels that training may not have seen; `training.domains` is its sealed counterpart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genshift.data import check_pictures
from genshift.data.catalog import lookup
from genshift.data.folders import UNREAD
from genshift.data.imageset import ImageSet
from genshift.data.manifest import Manifest, Memory
from genshift.errors import Refusal
from genshift.methods.base import Domain
from genshift.presets import Adaptation
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import remembered
from genshift.training.domains import HELD_OUT_IMAGES, evaluation_split, open_set, unseen, with_held_out


def evaluation_images(
    domain: Domain,
    run: RunFolder,
    preset: Adaptation,
    data_root: Path | None,
    skip_broken: bool = False,
    before: Manifest | None = None,
) -> tuple[ImageSet | None, str]:
    """The images of a domain to measure on, with their labels where there are any, and what they are in words.

    Where a set has no test part: its held-out images if training sees its labels (None without any), all of it
    otherwise. `before` is what a run that this one starts from remembers. Raises Refusal where what was held out is not
    there, or is unknown.
    """
    name = preset.source if domain == "source" else preset.target
    shown = name if lookup(name) is not None else Path(name).name  # where it lies is nobody's matter
    seen_labels = name == preset.trains_on
    split, memory = evaluation_split(name), Memory(remembered(run), before)
    # Of a set whose labels training saw, labels are needed; of another they may be absent.
    labels = True if seen_labels else "any"
    options = {"data_root": data_root, "skip_broken": skip_broken}
    images, names = open_set(name, split, preset, labels=labels, **options)
    if split == "train" and seen_labels:
        images, _, _ = with_held_out(images, names, preset, **options)
    if split != "train":
        images = replace(images, notes=(*images.notes, *check_pictures(images)))
    if split == "train" and not seen_labels:
        return images, f"{shown}, the training images, whose labels training never saw"
    # What a run without a manifest held out is worked out again from the set, which must be the same.
    if split == "train" and memory.own == {} and run.config["data"]["source"]["fingerprint"] != images.fingerprint():
        raise Refusal(
            f"{name} does not hold the images that were trained on, so nobody knows which were held out: restore them, "
            "or go to the folder from which it was trained."
        )
    part = "source" if seen_labels else "target"  # of a training, in which all that is labelled is the source
    chosen, wording = unseen(images, split, preset.validation, memory, part, HELD_OUT_IMAGES)
    return chosen, f"{shown}, {wording}"


def unread_labels(images: ImageSet) -> list[str]:
    """Why the labels of a set that need not have any were not read, where that is so."""
    return [note for note in images.notes if UNREAD in note]
