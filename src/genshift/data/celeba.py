"""Reader of aligned CelebA: `img_align_celeba.zip` or its folder, with `list_attr_celeba.txt`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genshift.data.catalog import CELEBA, CELEBA_ATTRIBUTES
from genshift.data.files import Files, open_files
from genshift.data.imageset import ImageSet
from genshift.data.pictures import is_picture, read_pictures
from genshift.data.pixels import Colour
from genshift.errors import Refusal, of_os_error

CROP = 108 / 178  # of the width: the square crop of published work, whatever the files' resolution
SPLITS = ("train", "valid", "test")  # in list_eval_partition.txt: 0, 1, 2


def read_celeba(
    name: str,
    images: Path,
    attributes: Path | None,
    partition: Path | None,
    split: str,
    *,
    size: int | None = None,
    colour: Colour | None = None,
    limit: int | None = None,
    skip_broken: bool = False,
) -> ImageSet:
    """The faces of a split → images `[N, 3, H, W]`, and uint8 attributes `[N, 40]` of 0 and 1 where given.

    Without `size` the whole aligned images; with it the central square of 108/178 of the width, resized.
    """
    files = open_files(images)
    names = [each for each in files.names if is_picture(each)]
    if not names:
        raise Refusal(f"{images} holds no picture: expected CelebA's aligned JPEG files; {CELEBA.by_hand}.")
    chosen, notes = _split(names, partition, split)
    fraction = CROP if size is not None else 1.0
    pictures = read_pictures(files, chosen[:limit], size, colour, fraction=fraction, skip_broken=skip_broken)
    notes += pictures.notes
    if attributes is None:
        return ImageSet(name, pictures.images, notes=notes)
    table, columns, remark = read_attributes(attributes)
    rows = _rows(files, attributes, [chosen[place] for place in pictures.kept], table)
    return ImageSet(name, pictures.images, attributes=rows, attribute_names=columns, notes=notes + remark)


def read_attributes(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[str, ...]]:
    """`list_attr_celeba.txt` → image name → 40 bytes of 0 and 1; the attributes' names; notes.

    The published file has the count, the names, then one line an image of −1 and 1. Where the line of names
    is missing or is none, the published names are taken, with a note.
    """
    lines = _lines(path)
    start = next((n for n, line in enumerate(lines[:3]) if line.split()[0].lower().endswith((".jpg", ".png"))), None)
    if start is None:
        raise Refusal(
            f"{path} is no list of attributes: expected a count, the names, then lines 'image −1 1 …'; fetch it again."
        )
    columns = tuple(lines[start - 1].split()) if start else ()
    remark: tuple[str, ...] = ()
    if len(columns) != len(CELEBA_ATTRIBUTES):
        columns = CELEBA_ATTRIBUTES
        remark = (f"{path.name} has no line with the attributes' names; the 40 published names are used.",)
    return (
        dict(_row(path, n + 1, line, len(columns)) for n, line in enumerate(lines) if n >= start),
        columns,
        remark,
    )


def _row(path: Path, number: int, line: str, columns: int) -> tuple[str, np.ndarray]:
    image, *values = line.split()
    if len(values) != columns or not set(values) <= {"-1", "0", "1"}:
        raise Refusal(
            f"{path} line {number} gives {len(values)} values for {image}: expected {columns} of −1 or 1; it "
            "is cut short "
            "or damaged, so fetch it again."
        )
    return image, np.array([value == "1" for value in values], dtype=np.uint8)


def _rows(files: Files, path: Path, names: list[str], table: dict[str, np.ndarray]) -> Tensor:
    bare = [name.rpartition("/")[2] for name in names]
    missing = next((name for name in bare if name not in table), None)
    if missing is not None:
        raise Refusal(
            f"{path} has no line for {missing} of {files.path}: expected one a picture; take both from one source."
        )
    return torch.from_numpy(np.stack([table[name] for name in bare]))


def _split(names: list[str], partition: Path | None, split: str) -> tuple[list[str], tuple[str, ...]]:
    """A split's names: by the partition file, the published bounds, or 90 and 10 % where the set is a part."""
    note: tuple[str, ...] = ()
    if partition is not None:
        part = dict(line.split()[:2] for line in _lines(partition) if len(line.split()) >= 2)
        chosen = [name for name in names if part.get(name.rpartition("/")[2]) == str(SPLITS.index(split))]
    elif len(names) == sum(CELEBA.published_counts.values()):
        first = CELEBA.published_counts["train"]
        second = first + CELEBA.published_counts["valid"]
        chosen = names[slice(*{"train": (0, first), "valid": (first, second), "test": (second, None)}[split])]
    else:
        chosen, note = _part(names, split)
    if not chosen:
        raise Refusal(f"No image of celeba's split '{split}' is here: {CELEBA.by_hand}.")
    return chosen, note


def _part(names: list[str], split: str) -> tuple[list[str], tuple[str, ...]]:
    """The split of a set that is not whole: by file number the first 90 % to train, the last 10 % held out."""
    if split == "valid":
        raise Refusal(
            f"celeba has no split 'valid' here: {len(names):,} of the 202,599 published images are here, parted into "
            "train and test; name one of these, or put list_eval_partition.txt beside them."
        )
    first = len(names) * 9 // 10
    note = (
        f"celeba: {len(names):,} of the 202,599 published images are here; by file number the first {first:,} (90 %) "
        f"are train and the last {len(names) - first:,} (10 %) test."
    )
    return names[:first] if split == "train" else names[first:], (note,)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    return [line for line in text.splitlines() if line.strip()]
