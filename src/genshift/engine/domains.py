"""The data of an adaptation experiment, parted so that the target's labels stay out of training's reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from genshift.data import check_domains, load_named, seed_of
from genshift.data.catalog import CATALOG
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.presets import Adaptation


@dataclass(frozen=True)
class Domains:
    """What training may see: labelled images, those of them held out, and unlabelled target images.

    In the roles 'source' and 'target' nothing is drawn from `target`. Its labels are absent here by construction.
    """

    labelled: ImageSet
    held_out: ImageSet | None
    target: ImageSet
    remarks: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Names, counts and fingerprints for config.json."""
        parts = {"source": self.labelled, "held_out": self.held_out, "target": self.target}
        return {
            role: {
                "name": part.name,
                "n": len(part),
                "fingerprint": part.fingerprint(),
                "notes": list(part.notes),
            }
            for role, part in parts.items()
            if part is not None
        }


def open_domains(preset: Adaptation, data_root: Path | None, skip_broken: bool = False) -> Domains:
    """Reads both domains at one size and colour, checks that they go together, holds out the preset's share.

    Raises Refusal where a set is absent, damaged, unlabelled where labels are needed, or of another kind.
    """
    options: dict[str, Any] = {"data_root": data_root, "skip_broken": skip_broken}
    labelled, _ = open_set(preset.trains_on, "train", preset, **options)
    target, _ = open_set(preset.target, "train", preset, labels=False, **options)
    if labelled.labels is None:
        raise Refusal(f"{preset.trains_on} has no labels: give class folders, or a labels.csv (image_name,label).")
    if len(labelled.classes) < 2:
        raise Refusal(f"{preset.trains_on} has {len(labelled.classes)} class: two or more are needed.")
    remarks = tuple(check_domains(labelled, target))
    train, held_out = _hold_out(labelled, preset.validation)
    target, _ = _hold_out(target, preset.validation)
    return Domains(train, held_out, target, remarks)


def open_set(name: str | Path, split: str, preset: Adaptation, **options: Any) -> tuple[ImageSet, list[str]]:
    """A set in the preset's size, colour and frame, with one name an image; `options` are `genshift.data.load`'s."""
    size = preset.size
    framed = preset.frame == "mnist" and str(name) == "usps"
    # MNIST's makers scaled digits like these into 20×20 pixels and set them in the middle of 28×28 (LeCun et al. 1998).
    # Contrast row by row, which needs no label, shows MNIST-M's and SVHN's digits on the same rows; USPS's fill all.
    inner = round(size * 20 / 28) if framed else size
    images, names = load_named(name, split, size=inner, colour=preset.colour, **options)
    before, after = (size - inner) // 2, size - inner - (size - inner) // 2
    return replace(images, images=pad(images.images, (before, after, before, after))), names


def _hold_out(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet | None]:
    """The same parting in every run, so that methods and seeds are compared on the same images."""
    count = int(share * len(images))
    if count == 0:
        return images, None
    generator = torch.Generator().manual_seed(seed_of("held out", images.name))
    order = torch.randperm(len(images), generator=generator)
    return images.take(order[count:].sort().values), images.take(order[:count].sort().values)


def evaluation_split(name: str) -> str:
    """The split that a set is evaluated on: its test images, or all where a folder has no test part."""
    if name in CATALOG or any((Path(name) / part).exists() for part in ("test", "testing", "test.csv")):
        return "test"
    return "train"
