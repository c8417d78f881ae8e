"""Reader of the published MNIST-M: `mnist_m.tar.gz`, or the folder it unpacks to."""

from __future__ import annotations

from pathlib import Path

import torch

from genshift.data.catalog import DIGITS
from genshift.data.files import Files, open_files
from genshift.data.imageset import ImageSet
from genshift.data.pictures import is_picture, read_pictures
from genshift.data.pixels import Colour
from genshift.errors import Refusal

FRAME = 28  # MNIST's side: the published images add a border of two pixels of photo around it


def read_mnistm(
    name: str,
    path: Path,
    split: str,
    *,
    size: int | None = None,
    colour: Colour | None = None,
    labels: bool = True,
    limit: int | None = None,
) -> ImageSet:
    """`mnist_m_{split}/*.png` and `mnist_m_{split}_labels.txt` (lines `image label`) → `[N, 3, 32, 32]`.

    With `size`, the 32×32 images are first cropped to the central 28×28, so that the digits have the size
    that they have in MNIST and in the set that genshift builds.
    """
    files = open_files(path)
    named = _labels(files, split) if labels else _names(files, split)
    chosen = list(named)[:limit]
    fraction = FRAME / 32 if size is not None else 1.0
    pictures = read_pictures(files, chosen, size, colour, fraction=fraction)
    targets = torch.tensor([named[each] for each in chosen]) if labels else None
    return ImageSet(name, pictures.images, targets, DIGITS, notes=pictures.notes)


def _names(files: Files, split: str) -> dict[str, int]:
    """The pictures of a split, in order; the labels' file is not read, so every label is −1."""
    folder = f"mnist_m_{split}/"
    names = [name for name in files.names if is_picture(name) and f"/{name}".rpartition(f"/{folder}")[1]]
    if not names:
        raise Refusal(
            f"{files.path} holds no picture in {folder}: expected the layout of mnist_m.tar.gz; check the path."
        )
    return dict.fromkeys(names, -1)


def _labels(files: Files, split: str) -> dict[str, int]:
    """Picture → label, in the order of the labels' file; each picture of the split exactly once."""
    pictures = _names(files, split)
    top = next(iter(pictures)).rpartition("/")[0].rpartition("/")[0]
    listing = f"{top}/mnist_m_{split}_labels.txt".lstrip("/")
    if listing not in files.names:
        raise Refusal(f"{files.path} holds no {listing}: expected the layout of mnist_m.tar.gz; fetch it again.")
    lines = files.read(listing).decode("utf-8", "replace").split("\n")
    named = dict(_line(files, split, top, listing, n, line) for n, line in enumerate(lines, 1) if line.strip())
    missing = [name for name in named if name not in pictures]
    if missing or len(named) != len(pictures):
        what = f"names {missing[0]}, which is not there" if missing else f"names {len(named):,} pictures"
        raise Refusal(
            f"{files.path / listing} {what}: expected the {len(pictures):,} of mnist_m_{split}/; fetch it again."
        )
    return named


def _line(files: Files, split: str, top: str, listing: str, number: int, line: str) -> tuple[str, int]:
    picture, _, label = line.strip().partition(" ")
    if label not in DIGITS:
        raise Refusal(
            f"{files.path / listing} says '{line.strip()[:40]}' in line {number}: expected a picture's name "
            "and a label "
            "from 0 to 9; fetch it again."
        )
    return f"{top}/mnist_m_{split}/{picture}".lstrip("/"), int(label)
