"""Images to measure on, with labels that training may not have seen; `training.domains` is its sealed counterpart."""

from __future__ import annotations

from pathlib import Path

from genshift.data import check_pictures
from genshift.data.folders import UNREAD
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.presets import Adaptation
from genshift.training.domains import HELD_OUT_IMAGES, evaluation_split, open_set, unseen


def evaluation_images(
    name: str,
    preset: Adaptation,
    data_root: Path | None,
    skip_broken: bool = False,
    seen_labels: bool = False,
    fingerprint: str = "",
) -> tuple[ImageSet | None, str]:
    """The images to measure on, with their labels where there are any, and what they are in words.

    Where a set has no test part: its held-out images if training saw its labels (`seen_labels`; None without any),
    all of it otherwise. Raises Refusal where what was held out is unknown, for training had another set than now: its
    `fingerprint`, where given, is another.
    """
    # Of a set whose labels training saw, labels are needed; of another they may be absent.
    split = evaluation_split(name)
    labels = True if seen_labels else "any"
    images, _ = open_set(name, split, preset, data_root=data_root, skip_broken=skip_broken, labels=labels)
    if split == "test":
        check_pictures(images)
    if split == "train" and not seen_labels:
        return images, f"{name}, the training images, whose labels training never saw"
    # What was held out is worked out again from the set, which must be the same.
    if split == "train" and fingerprint not in ("", images.fingerprint()):
        raise Refusal(
            f"{name} does not hold the images that were trained on, so nobody knows which were held out: restore them, "
            "or go to the folder from which it was trained."
        )
    shown, wording = unseen(images, split, preset.validation, HELD_OUT_IMAGES)
    return shown, f"{name}, {wording}"


def unread_labels(images: ImageSet) -> list[str]:
    """Why the labels of a set that need not have any were not read, where that is so."""
    return [note for note in images.notes if UNREAD in note]
