"""Reader of USPS in LIBSVM's format: lines `label index:value …`, bzip2-compressed or plain."""

from __future__ import annotations

import bz2
import io
from pathlib import Path

import numpy as np
import torch

from genshift.data.bounds import read_unpacked
from genshift.data.dataset import DIGITS
from genshift.data.files import damaged
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal, of_os_error

SIDE = 16
ROUNDING = 0.001  # what a value may lie outside of −1 to 1: the files are text of few decimals


def read_digits(name: str, path: Path, labels: bool = True, limit: int | None = None) -> ImageSet:
    """USPS → images `[N, 1, 16, 16]`, values −1 to 1 brought to 0 to 255, and labels 1…10 as digits 0…9."""
    from sklearn.datasets import load_svmlight_file

    text = _text(path)
    try:
        features, targets = load_svmlight_file(io.BytesIO(text), n_features=SIDE * SIDE, zero_based=False)
    except ValueError as error:
        raise damaged(path, "lines 'label index:value …' with indices 1 to 256", error) from error
    if not text.endswith(b"\n") and features.shape[0]:
        raise Refusal(f"{path} ends in the middle of a line: it is cut short, so fetch or copy it again.")
    if features.shape[0] == 0:
        raise Refusal(f"{path} holds no image: expected lines 'label index:value …'.")

    values = features.toarray()  # float64 [N, 256]; the format is sparse, and what it leaves out is 0
    if not (values.min() >= -1 - ROUNDING and values.max() <= 1 + ROUNDING):  # so written, NaN is refused too
        raise Refusal(
            f"{path} holds values from {values.min():g} to {values.max():g}: expected −1 to 1, as in LIBSVM's usps; "
            "fetch it again."
        )
    pixels = np.rint((values.clip(-1, 1) + 1) / 2 * 255).astype(np.uint8)[:limit]
    images = torch.from_numpy(pixels).reshape(-1, 1, SIDE, SIDE)
    if not labels:
        return ImageSet(name, images, classes=DIGITS)

    if len(wrong := np.flatnonzero(~np.isin(targets, np.arange(1, 11)))):
        row = int(wrong[0])
        raise Refusal(f"{path} holds label {targets[row]:g} in line {row + 1}: expected 1 to 10; fetch it again.")
    return ImageSet(name, images, torch.from_numpy(targets[:limit].astype(np.int64) - 1), DIGITS)


def _text(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    if path.suffix != ".bz2":
        return data
    try:
        return read_unpacked(bz2.BZ2File(io.BytesIO(data)), path)
    except (ValueError, OSError, EOFError) as error:  # bz2 raises any of the three, by where the file is cut
        raise damaged(path, "a whole bzip2 file", error) from error
