"""Sets that need no download: `uci` and `uci-m`, from the digits and photos that come with scikit-learn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from genshift.data.blend import SIDE, blend
from genshift.data.catalog import DIGITS
from genshift.data.imageset import ImageSet

SEED = 1998  # of the split and of the blend; the sets have no free parameter
TEST_PER_CLASS = 20
INK = 128  # of 255: an enlarged digit is smooth, and its ink is where it is darker than half


@lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target.astype(np.int64)


def digit_rows(name: str, split: str) -> NDArray[np.int64]:
    """Which of scikit-learn's 1,797 digits a split of `uci` or `uci-m` holds, in order.

    Each class is shuffled once and cut in half: the first half is `uci`, the second `uci-m`; of each half
    the first 20 are for testing. So no digit stands in two splits or in both domains.
    """
    _, targets = _digits()
    rows = []
    for digit in range(10):
        members = np.flatnonzero(targets == digit)
        order = np.argsort(np.random.Philox(key=[SEED, digit]).random_raw(len(members)), kind="stable")
        half = np.array_split(members[order], 2)[name == "uci-m"]
        rows.append(half[:TEST_PER_CLASS] if split == "test" else half[TEST_PER_CLASS:])
    return np.sort(np.concatenate(rows))


def read_embedded(name: str, split: str, labels: bool = True) -> ImageSet:
    """`uci` → images `[N, 1, 28, 28]`; `uci-m` → `[N, 3, 28, 28]`; labels 0 to 9."""
    values, targets = _digits()
    rows = digit_rows(name, split)
    images = enlarge(values[rows])
    if name == "uci-m":
        ink = np.where(images.numpy()[:, 0] >= INK, 255, 0).astype(np.uint8)
        images = torch.from_numpy(blend(ink, _photos(split), SEED, split))
    return ImageSet(name, images, torch.from_numpy(targets[rows]) if labels else None, DIGITS)


def enlarge(values_N88: NDArray[np.float64]) -> torch.Tensor:
    """Digits `[N, 8, 8]` of values 0 to 16 → uint8 `[N, 1, 28, 28]`, bicubic."""
    x = torch.from_numpy(values_N88).float().unsqueeze(1) * (255 / 16)
    x = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return x.round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=2)
def _photos(split: str) -> tuple[NDArray[np.uint8], ...]:
    """scikit-learn has two photos only: the left 60 % of each is for training, the rest for testing."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    cuts = [photo.shape[1] * 6 // 10 for photo in photos]
    return tuple(p[:, cut:] if split == "test" else p[:, :cut] for p, cut in zip(photos, cuts, strict=True))
