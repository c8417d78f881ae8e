"""What the campaign is made on: small pictures, and a tiny run of each family, trained once in a few seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from children import run
from PIL import Image

SIDE = 16
CLASSES = ("bar", "box", "dot")
SMALL = ("--precision", "float32", "--threads", "1", "--lr-warmup", "0", "--ema-half-life", "8")
# The words of `genshift train` for a run of each family, without --out.
TRAIN = {
    "adapt": (
        "dann-usps-mnistm", "--source", "one", "--target", "two", "--size", "16", "--width", "8", "--batch-source", "4",
        "--batch-target", "4", "--images", "24", "--validation", "0.2", *SMALL,
    ),
    "gan": (
        "faces-gan", "--data", "two", "--size", "16", "--width", "8", "--batch", "4", "--images", "24",
        "--penalty-every", "2", *SMALL,
    ),
    "vae": ("faces-vae", "--data", "two", "--size", "16", "--width", "8", "--batch", "4", "--images", "24", *SMALL),
    "diffusion": (
        "digits-diffusion", "--data", "two", "--size", "16", "--width", "16", "--batch", "4", "--images", "24",
        "--steps", "2", *SMALL,
    ),
    "classifier": (
        "digits-classifier", "--data", "one", "--size", "16", "--width", "8", "--batch", "4", "--images", "24",
        "--validation", "0.2", *SMALL,
    ),
}  # fmt: skip
SELECT, EVALUATE = ("select", "adapt"), {name: ("evaluate", name) for name in TRAIN}
SWEEP = ("sweep", "diffusion", "--features", "classifier", "--count", "6", "--guidance", "1,2", "--steps", "2,3",
         "--intervals", "0-1", "--samplers", "ddim,unipc")  # fmt: skip
SAMPLE = {name: ("sample", name, "--count", "5", "--out", f"drawn-{name}") for name in ("gan", "vae", "diffusion")}
RECONSTRUCT = ("reconstruct", "vae", "two", "--out", "rebuilt")
PACK = ("data", "pack", "one", "--out", "packed")


def train(name: str, *more: object) -> tuple[str, ...]:
    """The command that trains the run of a family, in the folder `name`."""
    return ("train", *TRAIN[name], "--out", name, *map(str, more))


def draw(folder: Path, seed: int) -> None:
    """A folder of pictures: train/CLASS/ and test/CLASS/."""
    chance = np.random.default_rng(seed)
    for split, count in (("train", 10), ("test", 4)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(0, 100, (SIDE, SIDE, 3), dtype=np.uint8)
                pixels[3 + 4 * label : 7 + 4 * label, 3:13] += np.uint8(120)
                Image.fromarray(pixels).save(folder / split / name / f"{number:02}.png")


def pictures(work: Path) -> None:
    """A new folder with the two sets and nothing else; commands run in it."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for seed, name in enumerate(("one", "two")):
        draw(work / name, seed)
    os.environ["GENSHIFT_CACHE"] = str(work / "cache")
    os.environ.pop("GENSHIFT_DATA", None)


def must(argv: Iterable[object], work: Path) -> None:
    """Runs a command that has to succeed."""
    end = run(list(argv), work)
    if end.status != 0:
        raise SystemExit(f"{' '.join(end.argv)} ended with status {end.status}:\n{end.err}")


def finished(work: Path) -> None:
    """In a folder of pictures, a finished, chosen, swept and evaluated run of each family, and what they drew."""
    for name in TRAIN:
        must(train(name), work)
    must(SELECT, work)
    must(SWEEP, work)
    for name in TRAIN:
        must(EVALUATE[name], work)
    for argv in (*SAMPLE.values(), RECONSTRUCT, PACK):
        must(argv, work)
    must(("predict", "adapt", "two", "--out", "labels.csv"), work)


def restored(original: Path, work: Path, names: Iterable[str]) -> None:
    """Puts folders and files back as they were in `original`; those that were not there go."""
    for name in names:
        there, kept = work / name, original / name
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)
        if kept.is_dir():
            shutil.copytree(kept, there)
        elif kept.exists():
            shutil.copy2(kept, there)
