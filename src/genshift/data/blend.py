"""MNIST-M's recipe: a digit laid over a random patch of a photo by absolute difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from genshift.data.batches import seed_of

SIDE = 28


def blend(
    digits_NHW: NDArray[np.uint8], photos: Sequence[NDArray[np.uint8]], seed: int, split: str
) -> NDArray[np.uint8]:
    """uint8 digits `[N, 28, 28]` and RGB photos `[H, W, 3]` → uint8 `[N, 3, 28, 28]`.

    out_c = |patch_c − digit| (Ganin et al., "Domain-Adversarial Training of Neural Networks", 2016, section
    5.2.3), the digit being 255 wherever MNIST has any ink: so the published images were made, which the
    files show. The photo and the corner of image i are functions of (seed, split, i) alone.
    """
    which, top, left = draws(len(digits_NHW), [photo.shape[:2] for photo in photos], seed, split)
    ink = np.where(digits_NHW > 0, 255, 0).astype(np.int16)
    out = np.empty((len(digits_NHW), 3, SIDE, SIDE), dtype=np.uint8)
    for number, photo in enumerate(photos):
        rows = np.flatnonzero(which == number)
        windows = sliding_window_view(photo, (SIDE, SIDE), axis=(0, 1))
        patches = windows[top[rows], left[rows]].astype(np.int16)  # [n, 3, 28, 28]
        out[rows] = np.abs(patches - ink[rows, None])
    return out


def draws(
    count: int, sizes: Sequence[tuple[int, ...]], seed: int, split: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For images 0 … count − 1: the photo's number, and the patch's top row and left column."""
    # Philox counts: row i depends on i and the key alone, and its raw words are the same in every numpy.
    words = np.random.Philox(key=seed_of("mnistm", seed, split)).random_raw(3 * count).reshape(count, 3)
    which = (words[:, 0] % len(sizes)).astype(np.int64)
    room = np.array([[height - SIDE + 1, width - SIDE + 1] for height, width in sizes], dtype=np.uint64)[which]
    top, left = (words[:, 1:] % room).astype(np.int64).T
    return which, top, left
