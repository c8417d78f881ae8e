"""Many pictures from a folder or archive into one tensor, decoded by a pool of threads."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genshift.data.files import Files
from genshift.data.pixels import BROKEN, Colour, decode, finish
from genshift.data.places import cache_root
from genshift.errors import Refusal, of_os_error

THREADS = min(8, os.cpu_count() or 1)  # each holds one picture at its full size
GROUP = 8  # pictures a thread takes at a time: handing over small ones singly costs as much as decoding them
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True)
class Pictures:
    """images: uint8 `[M, C, H, W]`; kept: the places, among the names asked for, of the M that were read."""

    images: Tensor
    kept: list[int]
    notes: tuple[str, ...]


def is_picture(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def read_pictures(
    files: Files,
    names: Sequence[str],
    size: int | None,
    colour: Colour | None,
    *,
    fraction: float = 1.0,
    skip_broken: bool = False,
) -> Pictures:
    """The named pictures as one tensor; besides it, each thread holds one of them at its full size.

    With `size`, each is cropped to its centred square (`fraction` of the shorter side) and resized (`decode`
    and `resize` say how); without it, all must have one size already. Without `colour`, the set is grey where every
    picture is, else RGB. A broken picture, or one of more pixels than a decompression bomb's 179 million, is
    refused by name, or left out and counted in a note where `skip_broken` says so.
    """
    out: Tensor | None = None
    kept: list[int] = []
    broken: list[str] = []
    for place, decoded in enumerate(_decoded(files, names, size, fraction)):
        if isinstance(decoded, Exception):
            if not skip_broken:
                raise _unreadable(files, names[place], decoded) from decoded
            broken.append(names[place])
            continue
        image = finish(torch.from_numpy(decoded)[None], size, colour)[0]

        # Room for all pictures is made at the first; grey ones move over when the first in colour comes.
        if out is None:
            out = allocate((len(names), *image.shape))
        if len(image) > out.shape[1]:
            grey, out = out, allocate((len(names), 3, *out.shape[2:]))
            out[: len(kept)] = grey[: len(kept)]
        if image.shape[1:] != out.shape[2:]:
            raise Refusal(
                f"The pictures in {files.path} differ in size ({names[kept[0]]} is {out.shape[-1]}×{out.shape[-2]}, "
                f"{names[place]} is {image.shape[-1]}×{image.shape[-2]} pixels): give --size to bring them to one."
            )
        out[len(kept)] = image  # a grey one is repeated to three channels
        kept.append(place)

    if out is None:
        raise Refusal(
            f"{files.path} holds no picture that can be read: expected PNG, JPEG or the like; check the path."
        )
    notes: tuple[str, ...] = ()
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        notes = (f"{len(broken)} broken picture(s) in {files.path} left out: {', '.join(broken[:3])}{more}.",)
    return Pictures(out[: len(kept)], kept, notes)


def allocate(shape: tuple[int, ...]) -> Tensor:
    """An empty uint8 tensor; one of more than half of the machine's memory lies in an unnamed file."""
    count = math.prod(shape)
    if count <= memory_bytes() // 2:
        return torch.empty(shape, dtype=torch.uint8)
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < count:  # else writing to the map would end the process, not raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryFile(dir=folder) as stream:
            return torch.from_numpy(np.memmap(stream, np.uint8, "w+", shape=shape))
    except OSError as error:
        raise of_os_error(error, f"making {count / 2**30:.0f} GiB of room for pictures in {folder}") from error


def memory_bytes() -> int:
    """The machine's memory, or 8 GiB where the system does not tell."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows
        return 8 * 2**30
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _decoded(
    files: Files, names: Sequence[str], size: int | None, fraction: float
) -> Iterator[NDArray[np.uint8] | Exception]:
    """Each picture in turn, as `decode` gives it; what failed stands as its exception."""

    def one(name: str) -> NDArray[np.uint8] | Exception:
        try:
            return decode(files.read(name), size, fraction)
        except BROKEN as error:
            return error

    group = GROUP if size is not None else 1  # without a size what is decoded is as large as the file
    # No more groups are under way than threads, so that what is decoded and not yet taken stays small.
    waiting: deque[Future[list[NDArray[np.uint8] | Exception]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        # Pillow warns of odd metadata and of large photos, which are neither broken nor refused.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for start in range(0, len(names), group):
            waiting.append(pool.submit(lambda part: [one(name) for name in part], names[start : start + group]))
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _unreadable(files: Files, name: str, error: Exception) -> Refusal:
    """The sentence for a picture that is broken; `error` is one of `BROKEN`."""
    if isinstance(error, UnidentifiedImageError):
        reason = "its format is none that is known"
    elif isinstance(error, Image.DecompressionBombError):
        reason = f"it claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, as a decompression bomb does"
    else:
        reason = str(error).rstrip(".") or type(error).__name__
    return Refusal(
        f"{files.path / name} is no picture that can be read ({reason}): expected a whole PNG, JPEG or the like; "
        "replace it, move it out of the folder, or give --skip-broken to leave such files out."
    )
