"""Many pictures from a folder or archive into one tensor, decoded by a pool of threads."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from torch import Tensor

from genshift.data.files import Files
from genshift.data.pixels import BROKEN, Colour, crop_square, decode, resize_each, to_colour
from genshift.data.places import cache_root
from genshift.errors import Refusal, of_os_error

CHUNK = 512  # pictures decoded at full size at one time
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


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
    """The named pictures as one tensor.

    With `size`, each is cropped to its centred square (`fraction` of the shorter side) and resized; without
    it, all must have one size already. Without `colour`, the set is grey where every picture is, else RGB. A
    broken picture is refused by name, or left out and counted in a note where `skip_broken` says so.
    """
    out: Tensor | None = None
    kept: list[int] = []
    broken: list[str] = []
    all_grey = True
    for start, decoded in _decoded(files, names):
        good = [(start + i, image) for i, image in enumerate(decoded) if not isinstance(image, Exception)]
        for name, failed in zip(names[start : start + CHUNK], decoded, strict=True):
            if isinstance(failed, Exception):
                broken.append(_broken(files, name, failed, skip_broken))
        if not good:
            continue
        all_grey &= all(image.shape[0] == 1 for _, image in good)
        batch = _batch(files, names, good, size, colour, fraction)
        if out is None:
            out = allocate((len(names), *batch.shape[1:]))
        if out.shape[1:] != batch.shape[1:]:
            raise _sizes_differ(files, names[kept[0]], out.shape, names[good[0][0]], batch.shape)
        out[len(kept) : len(kept) + len(good)] = batch
        kept.extend(place for place, _ in good)
    if out is None:
        raise Refusal(
            f"{files.path} holds no picture that can be read: expected PNG, JPEG or the like; check the path."
        )
    images = out[: len(kept)]
    if colour is None and all_grey:
        images = images[:, :1].contiguous()
    return Pictures(images, kept, _notes(files, broken))


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
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return 8 * 2**30
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _decoded(files: Files, names: Sequence[str]) -> Iterator[tuple[int, list[NDArray[np.uint8] | Exception]]]:
    """Chunks of decoded pictures, each with its first's place; what failed stands as its exception."""

    def one(name: str) -> NDArray[np.uint8] | Exception:
        try:
            return decode(files.read(name))
        except BROKEN as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), CHUNK):
            yield start, list(pool.map(one, names[start : start + CHUNK]))


def _batch(
    files: Files,
    names: Sequence[str],
    good: Sequence[tuple[int, NDArray[np.uint8]]],
    size: int | None,
    colour: Colour | None,
    fraction: float,
) -> Tensor:
    """uint8 `[n, C, H, W]`; C is 3 where `colour` is None: the caller takes one where all were grey."""
    images = [_channels(image, colour) for _, image in good]
    if size is not None:
        return resize_each([crop_square(image, fraction) for image in images], size)
    for (place, _), image in zip(good, images, strict=True):
        if image.shape != images[0].shape:
            raise _sizes_differ(files, names[good[0][0]], images[0].shape, names[place], image.shape)
    return torch.from_numpy(np.stack(images))


def _channels(image_CHW: NDArray[np.uint8], colour: Colour | None) -> NDArray[np.uint8]:
    if image_CHW.shape[0] == 1 and colour != "grey":
        return np.repeat(image_CHW, 3, axis=0)
    if image_CHW.shape[0] == 3 and colour == "grey":
        return to_colour(torch.from_numpy(image_CHW)[None], "grey")[0].numpy()
    return image_CHW


def _broken(files: Files, name: str, error: Exception, skip: bool) -> str:
    if skip:
        return name
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "its format is none that is known" if unknown else error or type(error).__name__
    raise Refusal(
        f"{files.path / name} is no picture that can be read ({reason}): expected a "
        "whole PNG, "
        "JPEG or the like; replace or remove it, or give --skip-broken to leave such files out."
    ) from error


def _sizes_differ(files: Files, first: str, one: Sequence[int], second: str, other: Sequence[int]) -> Refusal:
    return Refusal(
        f"The pictures in {files.path} differ in size ({first} is {one[-1]}×{one[-2]}, {second} is "
        f"{other[-1]}×{other[-2]} pixels): give --size to bring them to one."
    )


def _notes(files: Files, broken: Sequence[str]) -> tuple[str, ...]:
    if not broken:
        return ()
    more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    return (f"{len(broken)} broken picture(s) in {files.path} left out: {', '.join(broken[:3])}{more}.",)
