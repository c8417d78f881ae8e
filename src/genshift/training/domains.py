"""The data of an adaptation experiment, parted so that the target's labels stay out of training's reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from genshift.data import check_domains, load_named, seed_of
from genshift.data.catalog import lookup
from genshift.data.files import open_files
from genshift.data.folders import SPLITS
from genshift.data.imageset import ImageSet
from genshift.data.packed import is_packed
from genshift.errors import Refusal, unknown
from genshift.paths import given_path
from genshift.presets import Adaptation, Preset
from genshift.presets.benchmark import OWN_STUDY

HELD_OUT_IMAGES = 2_000  # validated on: a check costs a fraction of the steps between two checks
FEWEST_HELD_OUT = 2  # held-out images that a variance, and so a choice among checkpoints, can be taken of


@dataclass(frozen=True)
class Domains:
    """What training may see: labelled images, some of them held out, and unlabelled target images.

    `labelled_rows` and `target_rows`, int64, are the images drawn from (None: all), so that a memory-mapped set is not
    copied. By the methods `source` and `target` nothing is drawn from `target`. Its labels are absent by construction.
    `extra` are labelled images that training draws too, in the classes of `labelled`: nothing is measured on them.
    """

    labelled: ImageSet
    labelled_rows: Tensor | None
    held_out: ImageSet | None
    target: ImageSet
    target_rows: Tensor | None
    extra: ImageSet | None = None
    remarks: tuple[str, ...] = ()


def open_domains(preset: Adaptation, data_root: Path | None, skip_broken: bool = False) -> Domains:
    """Reads both domains at one size and colour, checks that they go together, holds out the preset's share.

    Raises Refusal where a set is absent, damaged, unlabelled where labels are needed, or of another kind or class.
    """
    options: dict[str, Any] = {"data_root": data_root, "skip_broken": skip_broken}
    labelled, _ = open_set(preset.trains_on, "train", preset, **options)
    if labelled.labels is None:
        raise Refusal(
            f"{preset.trains_on} has no labels: give class folders, or a labels.csv (image_name,label), of two or more "
            "classes."
        )
    if len(labelled.classes) < 2:
        raise Refusal(f"{preset.trains_on} has {len(labelled.classes)} class: two or more are needed.")
    train, held_out = hold_out(labelled, preset.validation)
    shown = None if held_out is None else labelled.take(held_out[:HELD_OUT_IMAGES])
    if preset.method == "target":
        return Domains(labelled, train, shown, labelled.sealed(), train)
    target, _ = open_set(preset.target, "train", preset, labels=False, **options)
    if len(target) < 2:
        raise Refusal(f"{preset.target} has 1 picture to adapt to: two or more are needed, and hundreds are better.")
    remarks = tuple(check_domains(labelled, target))
    extra = _open_extra(preset, labelled, target, **options) if preset.extra else None
    # The reports hold as much of both sets out. Of a user's own pictures, unlabelled, none is left unused.
    drawn = None if preset.study == OWN_STUDY else hold_out(target, preset.validation)[0]
    return Domains(labelled, train, shown, target, drawn, extra, remarks)


def _open_extra(preset: Adaptation, labelled: ImageSet, target: ImageSet, **options: Any) -> ImageSet:
    """The preset's extra images, their labels counted in the source's classes.

    Pictures of the source would bring held-out ones into training, and the target's their labels: both are refused.
    """
    extra, _ = open_set(preset.extra, "train", preset, **options)
    given = _fingerprints(extra)
    for domain, images in (("source", labelled), ("target", target)):
        if shared := len(given & _fingerprints(images)):
            raise Refusal(
                f"--extra {preset.extra} holds {shared:,} of the {domain}'s own pictures: give others, or leave it out."
            )
    if extra.labels is None:
        raise Refusal(f"--extra {preset.extra} has no labels: give class folders, or a labels.csv (image_name,label).")
    if strangers := [name for name in extra.classes if name not in labelled.classes]:
        raise unknown("class", strangers[0], labelled.classes, f"--extra {preset.extra} is to have the source's own.")
    return in_classes(extra, labelled.classes)


def _fingerprints(images: ImageSet) -> set[int]:
    return {hash(image.tobytes()) for image in images.images.numpy()}


def open_set(name: str | Path, split: str, preset: Preset, **options: Any) -> tuple[ImageSet, list[str]]:
    """A set in the preset's size, colour and frame, with one name an image; `options` are `genshift.data.load`'s."""
    size = preset.size
    if getattr(preset, "frame", "full") == "full" or (data := lookup(name)) is None or not data.fills_frame:
        return load_named(name, split, size=size, colour=preset.colour, **options)
    # MNIST's makers scaled digits like these into 20×20 pixels and set them in the middle of 28×28 (LeCun et al. 1998).
    # Contrast row by row, which needs no label, shows MNIST-M's and SVHN's digits on the same rows; USPS's fill all.
    inner = round(size * 20 / 28)
    images, names = load_named(name, split, size=inner, colour=preset.colour, **options)
    before, after = (size - inner) // 2, size - inner - (size - inner) // 2
    return replace(images, images=pad(images.images, (before, after, before, after))), names


def hold_out(images: ImageSet, share: float) -> tuple[Tensor | None, Tensor | None]:
    """(rows to train on, rows held out), int64, or (None, None) where the share holds no image.

    The same parting in every run, so that methods and seeds are compared on the same images.
    """
    count = int(share * len(images))
    if count == 0:
        return None, None
    generator = torch.Generator().manual_seed(seed_of("held out", images.name))
    order = torch.randperm(len(images), generator=generator)
    held_out = order[:count]
    # In class order, as class folders are read, the first images would not stand for all: these stay shuffled.
    class_by_class = images.labels is not None and bool((images.labels.diff() >= 0).all())
    if not class_by_class:
        held_out = held_out.sort().values
    return order[count:].sort().values, held_out


def evaluation_split(name: str) -> str:
    """The split that a set is evaluated on: "test" where it has one, "train" otherwise."""
    path = given_path(name)
    if (data := lookup(name)) is not None:
        return "test" if "test" in data.splits else "train"
    if is_packed(path) or is_packed(path / "train"):
        return "test" if is_packed(path / "test") else "train"
    parts = {part for file in open_files(path).names for part in Path(file).parts[:2]}
    return "test" if parts & {*SPLITS["test"], "test.csv"} else "train"


def unseen(images: ImageSet, split: str, share: float, most: int | None = None) -> tuple[ImageSet | None, str]:
    """What a set's evaluation split holds that was not trained on, and what it is in words.

    The whole of a test split; of the training split the `share` held out, at most so many (None where there is none).
    """
    if split == "test":
        return images, "test images"
    _, rows = hold_out(images, share)
    return (None if rows is None else images.take(rows[:most])), "held-out training images"


def in_classes(images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
    """The set with its labels counted in `classes`, matched by name; without labels where it has other classes."""
    if images.labels is None or images.classes == classes:
        return images
    if not set(images.classes) <= set(classes):
        return images.sealed()
    table = torch.tensor([classes.index(name) for name in images.classes])
    return replace(images, labels=table[images.labels], classes=classes)
