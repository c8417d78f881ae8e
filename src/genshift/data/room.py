"""Room for pixels: in memory, or in an unnamed file where they would take too much of it."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from genshift.data.bounds import memory_bytes
from genshift.data.places import cache_root
from genshift.errors import of_exhaustion, of_os_error

PART = 2  # of the memory that this process may use, what one set may take
PIECE = 16 * 2**20  # bytes of pixels that are moved at a time
_in_files: ContextVar[bool] = ContextVar("in_files", default=False)


@contextmanager
def in_files() -> Iterator[None]:
    """While open, room is made in files however little it is: what is read is to be written, and not looked at."""
    token = _in_files.set(True)
    try:
        yield
    finally:
        _in_files.reset(token)


def allocate(shape: tuple[int, ...], part: int = PART) -> Tensor:
    """An empty uint8 tensor; one of more than this part of the memory lies in an unnamed file. Refusal where there is
    no room."""
    count = math.prod(shape)
    if count <= memory_bytes() // part and not _in_files.get():
        try:
            return torch.empty(shape, dtype=torch.uint8)
        except (MemoryError, RuntimeError) as error:
            raise of_exhaustion(error, f"making {count / 2**30:.1f} GiB of room for {shape[0]:,} pictures") from error
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < count:  # else writing to the map would end the process, not raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryFile(dir=folder) as stream:
            return torch.from_numpy(np.memmap(stream, np.uint8, "w+", shape=shape))
    except OSError as error:
        raise of_os_error(error, f"making {count / 2**30:.0f} GiB of room for pictures in {folder}") from error


def gathered(images: Tensor, rows: Tensor) -> Tensor:
    """The images `[N, C, H, W]` at `rows`, int64 `[M]`; those of the host that take much of memory in a file."""
    count = len(rows) * math.prod(images.shape[1:])
    if rows.dtype != torch.int64 or images.device.type != "cpu" or count <= memory_bytes() // (4 * PART):
        return images[rows]
    out = allocate((len(rows), *images.shape[1:]), 4 * PART)
    step = images_a_piece(images)
    for start in range(0, len(rows), step):
        out[start : start + step] = images[rows[start : start + step]]
    return out


def images_a_piece(images: Tensor) -> int:
    """How many of these images are moved at a time."""
    return max(1, PIECE // max(1, math.prod(images.shape[1:])))
