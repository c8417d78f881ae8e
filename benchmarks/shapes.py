"""Draws a task of adaptation with a known truth: shapes on plain grounds as source, the same ones on photos as target.

    python benchmarks/shapes.py PHOTOS OUT

writes OUT/source/CLASS/*.png (labelled: 150 of each of circle, square, star, triangle), OUT/target/*.png (500 without
labels) and OUT/truth.csv, their labels; with --labelled these are OUT/target/labels.csv, where an evaluation
finds them and training does not look. The same PHOTOS and seed draw the same pictures.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

SIDE, FINE = 64, 4  # pixels of a picture; it is drawn so many times larger, for smooth edges
CLASSES = ("circle", "square", "star", "triangle")


def corners(kind: str, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape of radius 1 about (0, 0), turned by `turn` radians; a circle has 90."""
    made = {"circle": (90, [1.0]), "square": (4, [1.0]), "star": (10, [1.0, 0.45]), "triangle": (3, [1.0])}
    count, radii = made[kind]
    angles = [turn + 2 * math.pi * place / count for place in range(count)]
    return [
        (radii[place % len(radii)] * math.cos(angle), radii[place % len(radii)] * math.sin(angle))
        for place, angle in enumerate(angles)
    ]


def draw(kind: str, ground: Image.Image, rng: random.Random) -> Image.Image:
    """The shape in a colour of its own somewhere on `ground`, RGB of SIDE pixels."""
    canvas = ground.resize((SIDE * FINE, SIDE * FINE), Image.Resampling.BICUBIC)
    radius = rng.uniform(0.22, 0.4) * SIDE * FINE
    middle = [rng.uniform(radius, SIDE * FINE - radius) for _ in range(2)]
    points = [(middle[0] + radius * x, middle[1] + radius * y) for x, y in corners(kind, rng.uniform(0, 2 * math.pi))]
    colour = tuple(rng.randrange(256) for _ in range(3))
    ImageDraw.Draw(canvas).polygon(points, fill=colour)
    return canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def plain(rng: random.Random) -> Image.Image:
    """A ground of one light colour."""
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.randrange(200, 256) for _ in range(3)))


def crop(photos: list[Image.Image], rng: random.Random) -> Image.Image:
    """A square of SIDE pixels out of a photo."""
    photo = rng.choice(photos)
    left, top = rng.randrange(photo.width - SIDE + 1), rng.randrange(photo.height - SIDE + 1)
    return photo.crop((left, top, left + SIDE, top + SIDE))


def write_task(
    photos: Path, out: Path, source: int = 600, target: int = 500, seed: int = 0, labelled: bool = False
) -> None:
    """Writes the task into `out`; photos smaller than SIDE are left out."""
    rng = random.Random(seed)
    opened = [Image.open(path).convert("RGB") for path in sorted(photos.rglob("*.jpg"))]
    grounds = [photo for photo in opened if min(photo.size) >= SIDE]
    if not grounds:
        raise SystemExit(f"{photos} has no photo (*.jpg) of {SIDE} pixels or more: name a folder of photos.")
    for number in range(source):
        kind = CLASSES[number % len(CLASSES)]
        (out / "source" / kind).mkdir(parents=True, exist_ok=True)
        draw(kind, plain(rng), rng).save(out / "source" / kind / f"{number:04}.png")
    (out / "target").mkdir(parents=True, exist_ok=True)
    truth = []
    for number in range(target):
        kind = rng.choice(CLASSES)
        draw(kind, crop(grounds, rng), rng).save(out / "target" / f"{number:04}.png")
        truth.append((f"{number:04}.png", kind))
    place = out / "target" / "labels.csv" if labelled else out / "truth.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_name", "label"), *truth])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labelled", action="store_true")
    given = parser.parse_args()
    write_task(given.photos, given.out, seed=given.seed, labelled=given.labelled)
