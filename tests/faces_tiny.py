"""Tiny pictures with classes and attributes, and generators of a few steps on them, for the tests of what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genshift.cli import main
from genshift.data import ImageSet, pack
from genshift.training import train as training

SIDE = 16
CLASSES = ("land", "sea & sky")
SMALL = ["--size", SIDE, "--width", 8, "--batch", 4, "--images", 32, "--precision", "float32"]
RUNS = {
    "gan": ["faces-gan", "--latent", 8],
    "gan-classes": ["faces-gan", "--latent", 8, "--condition", "classes"],
    "vae": ["faces-vae", "--latent", 8],
    "vae-classes": ["faces-vae", "--latent", 8, "--condition", "classes", "--components", 2],
    "judge": ["faces-attributes", "--answers", "classes"],
    "attributes": ["faces-attributes"],
}


def portraits(count: int, seed: int) -> ImageSet:
    """Smooth noise, lighter where the attribute Male is there; the class tells which half is darker."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bilinear") * 90 + 40
    labels, male = torch.arange(count) % 2, torch.arange(count) // 2 % 2
    images += 100 * male[:, None, None, None]
    images[labels == 0, :, SIDE // 2 :] -= 35
    attributes = torch.stack([male, torch.rand(count, generator=generator).round()], 1).to(torch.uint8)
    return ImageSet("portraits", images.to(torch.uint8), labels, CLASSES, attributes, ("Male", "Smiling"))


def write_portraits(folder: Path, train: int = 40, test: int = 20) -> Path:
    """A packed set of `portraits` with the splits train and test."""
    pack(portraits(train, 0), folder / "train")
    pack(portraits(test, 1), folder / "test")
    return folder


class Studio:
    """Runs of RUNS, each trained and evaluated by the command line when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, write_portraits(root / "portraits")

    def __getitem__(self, name: str) -> Path:
        if not (self.root / name).exists():
            self.train(name, self.root / name)
        return self.root / name

    def train(self, name: str, out: Path, *flags: object) -> int:
        """Trains into another folder."""
        words = ["train", *RUNS[name], "--data", self.data, *SMALL, *flags, "--out", out]
        before, training.CHECKS = training.CHECKS, 4
        try:
            return main.main([str(word) for word in words])
        finally:
            training.CHECKS = before


def read(path: Path) -> np.ndarray:
    """A PNG file as uint8 [H, W, C], or [H, W] where it is grey."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image)


def tiles(path: Path, columns: int, side: int = SIDE) -> list[np.ndarray]:
    """The pictures of a grid, row by row, blank ones too."""
    sheet, step = read(path), side + 2
    rows, found = (length // step for length in sheet.shape[:2])
    assert sheet.shape[:2] == (rows * step + 2, found * step + 2) and found == columns
    return [
        sheet[2 + r * step : (r + 1) * step, 2 + c * step : (c + 1) * step] for r in range(rows) for c in range(columns)
    ]


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
