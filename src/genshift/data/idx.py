"""Reader of idx files, MNIST's format, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genshift.data.bounds import read_unpacked
from genshift.data.dataset import DIGITS
from genshift.data.files import damaged
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal, of_os_error

UBYTE = 0x08  # the type code of unsigned bytes, the third byte of an idx file
GZIP = b"\x1f\x8b"  # how a gzipped file begins, whatever it is called


def read_digits(name: str, images: Path, labels: Path | None, limit: int | None = None) -> ImageSet:
    """MNIST's pair of idx files → images `[N, 1, H, W]` and labels 0 to 9 (none where `labels` is None)."""
    x_NHW = read_idx(images, 3)
    if not len(x_NHW):
        raise Refusal(f"{images} holds no image: expected one or more.")
    if labels is None:
        return ImageSet(name, x_NHW[:limit].unsqueeze(1), classes=DIGITS)
    y_N = read_idx(labels, 1).long()
    if len(y_N) != len(x_NHW):
        raise Refusal(
            f"{labels} holds {len(y_N):,} labels for the {len(x_NHW):,} images of {images}: expected one an image; "
            "take both files from one source."
        )
    if len(wrong := ((y_N < 0) | (y_N >= len(DIGITS))).nonzero()):
        place = int(wrong[0])
        raise Refusal(
            f"{labels} holds label {int(y_N[place])} at image {place}: expected 0 to {len(DIGITS) - 1}; correct the "
            "file or fetch it again."
        )
    return ImageSet(name, x_NHW[:limit].unsqueeze(1), y_N[:limit], DIGITS)


def read_idx(path: Path, dimensions: int) -> Tensor:
    """One idx file of unsigned bytes → uint8 tensor of `dimensions` axes; raises Refusal."""
    data = _content(path)
    # The header: two zero bytes, the type, the number of axes; then each axis as a big-endian uint32.
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, UBYTE, dimensions)):
        raise Refusal(
            f"{path} is no idx file of unsigned bytes with {dimensions} dimension{'s' * (dimensions > 1)}: its first "
            f"bytes are {data[:4].hex(' ') or 'missing'}, expected 00 00 08 {dimensions:02x}; fetch it again."
        )
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", dimensions, offset=4))

    count = math.prod(shape)
    if len(data) - header != count:
        raise Refusal(
            f"{path} holds {len(data) - header:,} bytes after its header: expected {count:,} for shape {shape}; it is "
            "cut short or damaged, so fetch or copy it again."
        )
    if not count:  # frombuffer takes no empty buffer
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data[header:]), dtype=torch.uint8).reshape(shape)


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzipped."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    if data[:2] != GZIP and path.suffix != ".gz":
        return data
    try:
        return read_unpacked(gzip.open(io.BytesIO(data)), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, "a whole gzip file", error) from error
