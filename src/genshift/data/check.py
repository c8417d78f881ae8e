"""Looking at a set before it is trained on, and at two domains beside each other."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genshift.data.batches import seed_of
from genshift.data.catalog import lookup
from genshift.data.dataset import DataSet, Location
from genshift.data.imageset import ImageSet
from genshift.data.loading import load, packed_part
from genshift.data.packed import is_packed, verify_packed
from genshift.data.places import find, md5_of
from genshift.errors import Refusal, of_os_error
from genshift.paths import given_path, output_file
from genshift.temporary import remove_litter_of, temporary_name

SAMPLE = 2048  # images looked at, evenly over the set, where a look at all would cost time and tell no more
CHUNK = 4096  # images at a time: bounds the integer copies of exact sums
SAME_RANGE = 8  # two sets' largest values may differ by this factor: dark photos, but not 0–16 beside 0–255
DARKER = 4  # one domain's mean pixel may be that many times the other's, …
NEARLY_BLACK = 8  # … and of 255 so much more, which between two dark domains says nothing
FLAT = 1.0  # standard deviation, of 255, below which a picture shows nothing
UNSCALED = 0.05  # share of pictures in 0–1 among others from which on a set is refused: a class of them, not a dark few
DIM = 64  # of 255: a set without a brighter pixel is a dark one, or of another scale
PAD, CAPTION = 2, 16  # pixels of a contact sheet: between its tiles, and over a row for its class
LOOKED_AT_ONCE = 2**24  # pixels: bounds the floats that a look needs


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
    against: NotRequired[str]  # why a training refuses it, by its pixels
    files: NotRequired[list[str]]  # of a published set: a line on each file's checksum


def describe(images: ImageSet) -> Description:
    """Shape, dtype, range, mean and deviation a channel, labels, fingerprint, notes, what `look` sees among them."""
    mean, std = moments(images.images)
    low, high = extremes(images.images)
    against, notes = look(images)
    facts: Description = {
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
        "notes": [*images.notes, *notes],
    }
    if against is not None:
        facts["against"] = against
    return facts


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
    for folder in (location.path, packed_part(location.path, split)):
        if folder is not None and is_packed(folder):
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


def contact_sheet(
    images: ImageSet | Mapping[str, ImageSet],
    path: Path | str,
    *,
    columns: int = 10,
    rows: int = 10,
    seed: int = 0,
) -> Path:
    """A PNG of `columns` images of each class, a row a class (at most `rows`), or of any where unlabelled; of several
    sets, the parts of one by their names, one below the other.

    Which images are shown is a function of the seed. Small images are enlarged by whole pixels. Over each row stands
    whose it is, where there are several.
    """
    path = output_file(path)
    sets = {"": images} if isinstance(images, ImageSet) else images
    strips = [strip for part, own in sets.items() for strip in _strips(own, part, columns, rows, seed)]
    sheet = Image.new(
        "RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips) + PAD), "white"
    )
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    _save(sheet, path)
    return path


def _strips(images: ImageSet, part: str, columns: int, rows: int, seed: int) -> Iterator[Image.Image]:
    """The rows of a sheet, each with its caption: white paper with tiles on it, zoomed to about 64 pixels."""
    height, width = images.images.shape[2:]
    zoom = max(1, 64 // max(height, width))
    for caption, places in _chosen(images, columns, rows, seed):
        words = " ".join(word for word in (part, caption) if word)
        above = CAPTION if words else 0
        strip = np.full((above + PAD + height * zoom, columns * (width * zoom + PAD) + PAD, 3), 255, np.uint8)
        for column, tile in enumerate(images.images[places].cpu().numpy()):
            left = PAD + column * (width * zoom + PAD)
            enlarged = tile.repeat(zoom, 1).repeat(zoom, 2).transpose(1, 2, 0)
            strip[above + PAD :, left : left + width * zoom] = enlarged  # grey tiles broadcast to RGB
        drawn = Image.fromarray(strip)
        if words:
            ImageDraw.Draw(drawn).text((PAD, 1), _written(words), "black", ImageFont.load_default(CAPTION - 4))
        yield drawn


def _written(words: str) -> str:
    """What a caption can show of a name: no control characters, no more than a line of letters."""
    return "".join(letter if letter.isprintable() else "?" for letter in words[:60])


def _chosen(images: ImageSet, columns: int, rows: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Rows of at most `columns` places in the set, each with its class."""
    generator = torch.Generator().manual_seed(seed_of("contact sheet", seed))
    order = torch.randperm(len(images), generator=generator)
    if images.labels is None:
        yield from (("", places) for places in order[: columns * rows].split(columns))
        return
    # Of each class, a row of the first in that order; what a small class lacks is left white.
    shuffled = images.labels.cpu()[order]
    for label in shuffled.unique().tolist()[:rows]:
        yield images.classes[label] if images.classes else str(label), order[shuffled == label][:columns]


def _save(sheet: Image.Image, path: Path) -> None:
    """The sheet under its name, whole or not at all."""
    fresh = temporary_name(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_litter_of(path, "new")
        sheet.save(fresh, format="PNG")
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may never have come to be; the first error is the one to tell
            fresh.unlink()
        raise of_os_error(error, f"writing {path}") from error


def check_domains(source: ImageSet, target: ImageSet) -> list[str]:
    """Refuses two domains that one network cannot take alike; returns sentences on what is unusual.

    Refused: another number of channels, another side, what `check_pictures` refuses of either, ranges that differ by
    more than a factor of 8. No label is looked at.
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
    notes = [
        note
        for role, domain in (("source", source), ("target", target))
        for note in check_pictures(domain, f"The {role} '{domain.name}'")
    ]
    samples = _sample(source.images), _sample(target.images)
    one, other = (int(sample.max()) for sample in samples)
    if max(one, other) > SAME_RANGE * min(one, other):
        raise Refusal(
            f"The source '{source.name}' has pixels up to {one} and the target '{target.name}' up to {other}: expected "
            "one scale, 0 to 255; bring both to it and save them again."
        )

    # What may be meant, and is seldom
    if source.images.shape == target.images.shape and torch.equal(*(sample.cpu() for sample in samples)):
        notes.append(f"The source '{source.name}' and the target '{target.name}' look like the same pictures.")
    dark, light = sorted(float(sample.float().mean()) for sample in samples)
    if light > DARKER * dark + NEARLY_BLACK:
        notes.append(f"One domain is far darker than the other: mean pixel {dark:.0f} beside {light:.0f} of 255.")
    return notes


def check_pictures(images: ImageSet, subject: str = "") -> list[str]:
    """Refuses pictures that cannot be meant (saved in 0–1, of one colour, all alike); returns what is unusual in words.

    subject: what the sentences begin with; the set's name by default. Raises Refusal.
    """
    against, notes = look(images, subject)
    if against is not None:
        raise Refusal(against)
    return notes


def look(images: ImageSet, subject: str = "") -> tuple[str | None, list[str]]:
    """Why the pictures of a set cannot be meant (None: they can), and sentences on what is unusual; no label steers the
    former."""
    subject = subject or f"'{images.name}'"
    _require(images.images)
    places = _places(len(images))
    seen = _Seen.of(images.images, places)
    count, high = len(places), int(seen.high.max())
    among = f"of {count:,} pictures looked at"
    unscaled, plain = int(((seen.high == 1) & (seen.low == 0)).sum()), int(seen.plain.sum())
    commonest, distinct = max(seen.times.values()), len(seen.times)
    against: str | None = None
    if high == 1 or unscaled > UNSCALED * count:
        beside = "" if high == 1 else f" in {unscaled:,} {among}, up to {high} in others"
        against = (
            f"{subject} has pixels from 0 to 1{beside}: expected 0 to 255; it was saved in 0–1, so multiply its pixels "
            "by 255 and save it again."
        )
    elif plain * 2 > count:
        against = f"{subject} shows nothing: {plain:,} {among} are of one colour{_way_out(images, seen)}."
    elif count > 1 and commonest * 2 > count:
        against = f"{subject} is one picture over and over: {commonest:,} {among} are the same; check the folder."
    if against is not None:
        return against, []

    notes = []
    if unscaled:
        notes.append(f"{subject}: {unscaled:,} {among} have pixels from 0 to 1, and others up to {high}.")
    if flat := int(seen.flat.sum()):
        notes.append(f"{subject}: {flat:,} {among} are of one colour{_in_classes(images, places[seen.flat], places)}.")
    if 1 < high < DIM:
        notes.append(
            f"{subject}: no pixel is above {high} of 255; if it was saved on a scale of its own, bring it to 255."
        )
    if (count - distinct) * 4 > count:
        notes.append(f"{subject}: {count - distinct:,} {among} are copies of others.")
    return None, notes


@dataclass(frozen=True)
class _Seen:
    """Of each picture looked at: its highest and lowest value, whether nothing shows in it (plain) or each channel has
    one value (flat), its mean; and how often each picture is there."""

    high: Tensor
    low: Tensor
    plain: Tensor
    flat: Tensor
    mean: Tensor
    times: Counter[bytes]

    @classmethod
    def of(cls, images_NCHW: Tensor, places: Tensor) -> _Seen:
        """A look at the images at `places`, few at a time: they may lie in a file, and be large."""
        columns: list[tuple[Tensor, ...]] = []
        times = Counter[bytes]()
        for part in places.split(max(1, LOOKED_AT_ONCE // images_NCHW[0].numel())):
            x = images_NCHW[part].cpu()
            values = x.flatten(2).float()
            plain = values.flatten(1).std(1, correction=0) < FLAT
            flat = values.std(2, correction=0).amax(1) < FLAT
            columns.append((x.flatten(1).amax(1), x.flatten(1).amin(1), plain, flat, values.mean((1, 2))))
            times.update(hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in x)
        high, low, plain, flat, mean = (torch.cat(column) for column in zip(*columns, strict=True))
        return cls(high, low, plain, flat, mean, times)


def _way_out(images: ImageSet, seen: _Seen) -> str:
    """What may have made most pictures plain, and what to do."""
    colour = float(seen.mean[seen.plain].median())
    for name, value, other in (("white", 255, "black"), ("black", 0, "white")):
        if abs(colour - value) < FLAT:
            if any("transparent" in note for note in images.notes):
                return f", {name}: what is drawn in {name} on a transparent ground shows with --background {other}"
            return f", {name}; expected pictures; check the folder"
    return "; expected pictures; check the folder"


def _in_classes(images: ImageSet, flat: Tensor, places: Tensor) -> str:
    """The classes that more than half of are flat, in words."""
    if images.labels is None or not images.classes:
        return ""
    labels = images.labels.cpu()
    of_each = labels[places].bincount(minlength=len(images.classes))
    mostly = (labels[flat].bincount(minlength=len(images.classes)) * 2 > of_each).nonzero().flatten().tolist()
    return f", so most of class {', '.join(images.classes[label] for label in mostly[:3])}" if mostly else ""


def _sample(images_NCHW: Tensor) -> Tensor:
    """At most SAMPLE images, evenly over the set."""
    _require(images_NCHW)
    return images_NCHW if len(images_NCHW) <= SAMPLE else images_NCHW[_places(len(images_NCHW))]


def _places(count: int) -> Tensor:
    """The images that are looked at, of so many."""
    return torch.arange(count) if count <= SAMPLE else torch.linspace(0, count - 1, SAMPLE).long()


def _require(images_NCHW: Tensor) -> None:
    """Refuses what is no tensor of images, or an empty one."""
    if images_NCHW.dtype != torch.uint8 or images_NCHW.ndim != 4:
        raise Refusal(
            f"Images of {images_NCHW.dtype} {tuple(images_NCHW.shape)} were given: expected uint8 [N, C, H, W], "
            "0 to 255."
        )
    if not images_NCHW.numel():
        raise Refusal("A set without any image was given: expected one or more.")
