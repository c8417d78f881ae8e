"""What the presets of both reports share."""

from __future__ import annotations

from genshift.data.catalog import CATALOG
from genshift.presets.base import PUBLISHED

BOUNDS_AND_DANN = ("source", "dann", "target")  # in the order of the reports' tables
FACES = CATALOG["celeba"].published_counts["train"]
# Of every network of faces that the reports print.
PRINTED_FACES = {
    "networks": PUBLISHED,
    "latent": "published (printed)",
    "size": "published (the printed networks fit 64 pixels alone)",
    "colour": "published (printed)",
    "width": "published (printed)",
    "mean": "ours (a Tanh's range)",
    "std": "ours (a Tanh's range)",
}
NOT_PHASED = dict.fromkeys(("pretrain", "pretrain_lr"), "ours (no pre-training here)")
NO_ADVERSARY = dict.fromkeys(("adversary", "lam", "lam_schedule", "statistics"), "ours (no adversary here)")


def walked_images(epochs: int, first: tuple[float, int], second: tuple[float, int]) -> int:
    """Source images in `epochs` epochs of two loaders walked together until the shorter one ends.

    `first` (the source) and `second` are (images, batch size).
    """
    steps = min(int(n // batch) for n, batch in (first, second))
    return epochs * steps * first[1]


def published_size(name: str) -> int:
    """Training images of a set as it was published."""
    return CATALOG[name].published_counts["train"]
