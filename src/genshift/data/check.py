"""Looking at a set before it is trained on, and at two domains beside each other."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genshift.data.batches import seed_of
from genshift.data.catalog import lookup
from genshift.data.dataset import DataSet, Location
from genshift.data.imageset import ImageSet
from genshift.data.loading import load
from genshift.data.packed import is_packed, verify_packed
from genshift.data.places import find, md5_of
from genshift.errors import Refusal, of_os_error
from genshift.paths import given_path, output_file

SAMPLE = 2048  # images looked at, evenly over the set, where a look at all would cost time and tell no more
CHUNK = 4096  # images at a time: bounds the integer copies of exact sums
SAME_RANGE = 8  # two sets' largest values may differ by this factor: dark photos, but not 0–16 beside 0–255
DARKER = 4  # one domain's mean pixel may be that many times the other's, …
NEARLY_BLACK = 8  # … and of 255 so much more, which between two dark domains says nothing
FLAT = 1.0  # standard deviation, of 255, below which a picture shows nothing


class Description(TypedDict):
    """What a set is; `mean` and `std` are of a channel's pixels in 0–1, `labels` are images by class."""

    name: str
    images: int
    shape: list[int]
    dtype: str
    min: int
    max: int
    mean: list[float]
    std: list[float]
    labels: dict[str, int] | None
    attributes: list[str]
    fingerprint: str
    notes: list[str]
    files: NotRequired[list[str]]  # of a published set: a line on each file's checksum


def describe(images: ImageSet) -> Description:
    """Shape, dtype, range, mean and deviation a channel, labels, fingerprint, notes."""
    mean, std = moments(images.images)
    low, high = extremes(images.images)
    return {
        "name": images.name,
        "images": len(images),
        "shape": list(images.images.shape),
        "dtype": str(images.images.dtype).removeprefix("torch."),
        "min": low,
        "max": high,
        "mean": [round(value, 4) for value in mean],
        "std": [round(value, 4) for value in std],
        "labels": histogram(images),
        "attributes": list(images.attribute_names),
        "fingerprint": images.fingerprint(),
        "notes": list(images.notes),
    }


def check_set(
    name_or_path: str | Path, split: str = "train", data_root: Path | str | None = None, **options: Any
) -> tuple[ImageSet, Description]:
    """Loads a set (`options` are `load`'s), holds a packed one against its fingerprint, describes it."""
    images = load(name_or_path, split, data_root=data_root, **options)
    data = lookup(name_or_path)
    labels = bool(options.get("labels", True))
    location = find(data, split, data_root, labels) if data else Location(given_path(name_or_path))
    assert location is not None  # else it could not have been loaded
    # Loading trusts a packed set's own words; checking reads all of it.
    for folder in (location.path, location.path / split):
        if is_packed(folder):
            verify_packed(folder)
    facts = describe(images)
    if data and (sums := checksums(data, location)):
        facts["files"] = sums
    return images, facts


def checksums(data: DataSet, location: Location) -> list[str]:
    """For each file of a catalog set's split: its MD5, held against the published one."""
    lines = []
    for file in data.files:
        path = location.files.get(file.name)
        if path is None or not path.is_file():  # absent, or an archive that its user unpacked to a folder
            continue
        md5 = md5_of(path)
        if path.name != file.name:
            lines.append(f"{path.name}: md5 {md5}, unpacked; published for {file.name}: {file.md5}")
        elif file.md5 is None:
            lines.append(f"{path.name}: md5 {md5}, none is published")
        else:
            lines.append(f"{path.name}: md5 {md5}{' as published' if md5 == file.md5 else f', published {file.md5}'}")
    return lines


def moments(images_NCHW: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, pixels taken as 0 to 1; exact, in chunks."""
    _require(images_NCHW)
    count = images_NCHW.numel() // images_NCHW.shape[1]
    sums = torch.zeros(2, images_NCHW.shape[1], dtype=torch.int64)  # of x and of x²: integers, so no rounding
    for chunk in images_NCHW.split(CHUNK):
        x = chunk.to(torch.int32)
        sums += torch.stack([x.sum((0, 2, 3)), (x * x).sum((0, 2, 3))]).cpu()
    mean = sums[0].double() / count
    variance = (sums[1].double() / count - mean**2).clamp(min=0)  # rounding may bring it below
    return (mean / 255).tolist(), (variance.sqrt() / 255).tolist()


def extremes(images_NCHW: Tensor) -> tuple[int, int]:
    """The smallest and the largest value."""
    _require(images_NCHW)
    pairs = [chunk.aminmax() for chunk in images_NCHW.split(CHUNK)]
    return min(int(pair.min) for pair in pairs), max(int(pair.max) for pair in pairs)


def histogram(images: ImageSet) -> dict[str, int] | None:
    """Class → number of images, or None where there are no labels."""
    if images.labels is None:
        return None
    counts = images.labels.bincount(minlength=len(images.classes)).tolist()
    names = images.classes or tuple(str(label) for label in range(len(counts)))
    return dict(zip(names, counts, strict=True))


def contact_sheet(images: ImageSet, path: Path | str, *, columns: int = 10, rows: int = 10, seed: int = 0) -> Path:
    """A PNG of `columns` images of each class, a row a class (at most `rows`), or of any where unlabelled.

    Which images are shown is a function of the seed. Small images are enlarged by whole pixels.
    """
    path = output_file(path)
    places = _chosen(images, columns, rows, seed)
    tiles = iter(images.images[torch.tensor([place for place in places if place >= 0])].cpu().numpy())
    height, width = images.images.shape[2:]

    # White paper with tiles on it, each zoomed to about 64 pixels.
    zoom, pad = max(1, 64 // max(height, width)), 2
    cell = height * zoom + pad, width * zoom + pad
    size = math.ceil(len(places) / columns) * cell[0] + pad, columns * cell[1] + pad
    sheet = np.full((*size, 3), 255, np.uint8)
    for number, place in enumerate(places):
        if place >= 0:
            row, column = divmod(number, columns)
            tile = next(tiles).repeat(zoom, 1).repeat(zoom, 2).transpose(1, 2, 0)
            top, left = pad + row * cell[0], pad + column * cell[1]
            sheet[top : top + height * zoom, left : left + width * zoom] = tile  # grey tiles broadcast to RGB
    _save(Image.fromarray(sheet), path)
    return path


def _chosen(images: ImageSet, columns: int, rows: int, seed: int) -> list[int]:
    """Places in the set, `columns` to a row; −1 leaves a tile empty."""
    generator = torch.Generator().manual_seed(seed_of("contact sheet", seed))
    order = torch.randperm(len(images), generator=generator)
    if images.labels is None:
        return order[: columns * rows].tolist()
    # Of each class, a row of the first in that order; what a small class lacks is left white.
    shuffled = images.labels.cpu()[order]
    places: list[int] = []
    for label in shuffled.unique().tolist()[:rows]:
        row = order[shuffled == label][:columns].tolist()
        places += row + [-1] * (columns - len(row))
    return places


def _save(sheet: Image.Image, path: Path) -> None:
    """The sheet under its name, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(fresh, format="PNG")
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may never have come to be; the first error is the one to tell
            fresh.unlink()
        raise of_os_error(error, f"writing {path}") from error


def check_domains(source: ImageSet, target: ImageSet) -> list[str]:
    """Refuses two domains that one network cannot take alike; returns sentences on what is unusual.

    Refused: another number of channels, another side, pixels in 0–1 beside (or instead of) 0–255, ranges
    that differ by more than a factor of 8, a domain of flat pictures. No label is looked at.
    """
    # Shape
    for what, axis in {"channels": 1, "height": 2, "width": 3}.items():
        one, other = source.images.shape[axis], target.images.shape[axis]
        if one != other:
            remedy = "give --colour rgb or grey" if what == "channels" else "give --size"
            raise Refusal(
                f"The source '{source.name}' has {what} {one} and the target '{target.name}' {other}: expected the "
                f"same; {remedy} to bring both to one."
            )

    # Values
    samples = _sample(source.images), _sample(target.images)
    for role, domain, sample in zip(("source", "target"), (source, target), samples, strict=True):
        _check_pixels(f"The {role} '{domain.name}'", sample)
    one, other = (int(sample.max()) for sample in samples)
    if max(one, other) > SAME_RANGE * min(one, other):
        raise Refusal(
            f"The source '{source.name}' has pixels up to {one} and the target '{target.name}' up to {other}: expected "
            "one scale, 0 to 255; bring both to it and save them again."
        )

    # What may be meant, and is seldom
    notes = []
    if source.images.shape == target.images.shape and torch.equal(*(sample.cpu() for sample in samples)):
        notes.append(f"The source '{source.name}' and the target '{target.name}' look like the same pictures.")
    dark, light = sorted(float(sample.float().mean()) for sample in samples)
    if light > DARKER * dark + NEARLY_BLACK:
        notes.append(f"One domain is far darker than the other: mean pixel {dark:.0f} beside {light:.0f} of 255.")
    return notes


def _check_pixels(domain: str, sample: Tensor) -> None:
    """Refuses pictures saved in 0–1, and pictures that show nothing."""
    if int(sample.max()) <= 1:
        raise Refusal(
            f"{domain} has pixels from {int(sample.min())} to {int(sample.max())}: expected 0 to 255; it was saved in "
            "0–1, so multiply its pixels by 255 and save it again."
        )
    flat = int((sample.float().flatten(1).std(1) < FLAT).sum())
    if flat * 2 > len(sample):
        raise Refusal(
            f"{domain} shows nothing: {flat:,} of {len(sample):,} pictures looked at are of one colour; expected "
            "pictures; check the folder."
        )


def _sample(images_NCHW: Tensor) -> Tensor:
    """At most SAMPLE images, evenly over the set."""
    _require(images_NCHW)
    if len(images_NCHW) <= SAMPLE:
        return images_NCHW
    return images_NCHW[torch.linspace(0, len(images_NCHW) - 1, SAMPLE).long()]


def _require(images_NCHW: Tensor) -> None:
    """Refuses what is no tensor of images, or an empty one."""
    if images_NCHW.dtype != torch.uint8 or images_NCHW.ndim != 4:
        raise Refusal(
            f"Images of {images_NCHW.dtype} {tuple(images_NCHW.shape)} were given: expected uint8 [N, C, H, W], "
            "0 to 255."
        )
    if not images_NCHW.numel():
        raise Refusal("A set without any image was given: expected one or more.")
