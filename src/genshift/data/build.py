"""`build_mnistm`: MNIST-M, 60,000 + 10,000 images, from MNIST and a folder of photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genshift.data.batches import seed_of
from genshift.data.blend import SIDE, blend
from genshift.data.dataset import DIGITS
from genshift.data.files import Files, open_files
from genshift.data.loading import load
from genshift.data.packed import check_place, is_packed, read_facts, replacing, write_packed
from genshift.data.pictures import is_picture
from genshift.data.pixels import BROKEN, decode, unheard_pillow
from genshift.data.places import cache_root
from genshift.errors import Refusal
from genshift.paths import given_path

MARK = "train/set.json"  # says that a folder is ours
RECIPE = 1  # raised whenever the same inputs would give other pixels
TEST_SHARE = 0.25  # of the photos, at least one, are kept for the test images


def build_mnistm(
    photos: Path | str,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Path:
    """Builds MNIST-M into `out` (`<cache>/mnistm` where None, which `load` searches); returns that folder.

    |patch − digit| a channel, the digit being 255 wherever MNIST has ink (see `blend`); train and test
    images take their patches from disjoint photos. Each image's photo and corner are functions of (seed,
    split, index), so the same photos and seed give the same bytes, and a set already built so is not built
    again. `limit` builds only the first so many images of each split.

    Raises Refusal where MNIST is absent, or fewer than two photos of at least 28×28 pixels can be read.
    """
    folder = given_path(out) if out is not None else cache_root() / "mnistm"
    check_place(folder, MARK)
    files = open_files(given_path(photos))
    parts = split_photos([name for name in files.names if is_picture(name)], files, seed)

    # A set of the same recipe is not built again; the photos' names and bytes count as one number.
    number = seed_of(*((split, name, files.read(name)) for split, names in parts.items() for name in names))
    recipe = {"recipe": RECIPE, "seed": seed, "limit": limit, "photos": f"{number:x}"}
    if all(is_packed(folder / part) and read_facts(folder / part)["recipe"] == recipe for part in parts):
        return folder

    digits = {split: load("mnist", split, data_root=data_root, limit=limit) for split in parts}
    with replacing(folder, MARK) as fresh:
        for split, names in parts.items():
            pool = [_photo(files, name) for name in names]
            blended = torch.from_numpy(blend(digits[split].images[:, 0].numpy(), pool, seed, split))
            notes = (f"Built from MNIST and {len(names)} photos, seed {seed}.",)
            images = replace(digits[split], name="mnistm", images=blended, classes=DIGITS, notes=notes)
            write_packed(images, fresh / split, recipe)
    return folder


def split_photos(names: list[str], files: Files, seed: int) -> dict[str, list[str]]:
    """The photos' names for train and for test, disjoint, shuffled by the seed."""
    if len(names) < 2:
        raise Refusal(
            f"{files.path} holds {len(names)} photo(s): expected two or more, since train and test images take theirs "
            "from disjoint photos."
        )
    order = sorted(names, key=lambda name: seed_of("photo", seed, name))
    tests = max(1, round(TEST_SHARE * len(names)))
    return {"train": sorted(order[tests:]), "test": sorted(order[:tests])}


def _photo(files: Files, name: str) -> NDArray[np.uint8]:
    """uint8 `[H, W, 3]`, grey photos repeated to three channels."""
    try:
        with unheard_pillow():
            image_CHW = decode(files.read(name)).pixels
    except BROKEN as error:
        raise Refusal(
            f"{files.path / name} is no photo that can be read ({error}): expected a whole JPEG or PNG; "
            "replace it, or move it out of the folder."
        ) from error
    if min(image_CHW.shape[1:]) < SIDE:
        raise Refusal(
            f"{files.path / name} is {image_CHW.shape[2]}×{image_CHW.shape[1]} pixels: expected "
            f"{SIDE}×{SIDE} or more; move it out of the folder."
        )
    return np.broadcast_to(image_CHW, (3, *image_CHW.shape[1:])).transpose(1, 2, 0)
