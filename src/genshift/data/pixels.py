"""Pixels: decoding one picture, colour, and resizing many at once."""

from __future__ import annotations

import io
import math
import struct
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from genshift.data.dataset import Colour
from genshift.data.formats import openable
from genshift.errors import Refusal

CHUNK = 2048  # images at a time: bounds the float and integer copies that resizing and luma need
GREY_MODES = ("1", "L", "LA", "La")  # Pillow's modes without colour that may be transparent
# What Pillow raises on a file that is no picture, or is cut short or damaged.
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
          Image.DecompressionBombError, IndexError, TypeError)  # fmt: skip


def check_options(size: int | None, colour: str | None, limit: int | None) -> None:
    """Refuses a side, colour or limit that means nothing."""
    if size is not None and not 1 <= size <= 4096:  # beyond that one picture takes tens of megabytes
        raise Refusal(f"The image side {size} cannot be made: give a whole number of pixels from 1 to 4096.")
    if colour not in (None, "rgb", "grey"):
        raise Refusal(f"There is no colour '{colour}': expected 'rgb' or 'grey'.")
    if limit is not None and limit < 1:
        raise Refusal(f"A limit of {limit} images leaves nothing: give 1 or more.")


def to_colour(images_NCHW: Tensor, colour: Colour | None) -> Tensor:
    """uint8 `[N, 1 or 3, H, W]` → 3 channels ('rgb', grey repeated), 1 ('grey', ITU-R 601 luma), or as is."""
    if colour == "rgb" and images_NCHW.shape[1] == 1:
        return images_NCHW.expand(-1, 3, -1, -1).contiguous()
    if colour != "grey" or images_NCHW.shape[1] == 1:
        return images_NCHW
    # L = 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, rounded: bit for bit what Pillow's convert("L") gives.
    chunks = []
    for chunk in images_NCHW.split(CHUNK):
        red, green, blue = chunk.to(torch.int32).unbind(1)
        chunks.append(((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8).unsqueeze(1))
    return torch.cat(chunks)


def resize(images_NCHW: Tensor, size: int) -> Tensor:
    """uint8 `[N, C, H, W]` → uint8 `[N, C, size, size]`: bilinear with antialiasing, rounded."""
    if tuple(images_NCHW.shape[-2:]) == (size, size):
        return images_NCHW
    out = torch.empty(*images_NCHW.shape[:2], size, size, dtype=torch.uint8)
    for start in range(0, len(images_NCHW), CHUNK):
        x = images_NCHW[start : start + CHUNK].float()
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        out[start : start + CHUNK] = x.round_().clamp_(0, 255).to(torch.uint8)
    return out


def finish(images_NCHW: Tensor, size: int | None, colour: Colour | None) -> Tensor:
    """Colour and size as asked, whichever order moves fewer pixels."""
    if colour == "grey":
        images_NCHW = to_colour(images_NCHW, colour)
    if size is not None:
        images_NCHW = resize(images_NCHW, size)
    return to_colour(images_NCHW, colour)


def decode(data: bytes, size: int | None = None, fraction: float = 1.0) -> NDArray[np.uint8]:
    """The bytes of a PNG, JPEG, … → uint8 `[1 or 3, H, W]`, upright by its EXIF tag; the first frame of a film.

    Alpha is laid over white; 16-bit grey keeps its high byte; CMYK becomes (255 − C)(255 − K) / 255 and so on,
    without a colour profile. With `size`, the centred square whose side is `fraction` of the shorter side; from
    four times `size` on, areas are averaged to no less than twice `size`, so that `resize` has little left to do.
    Raises one of `BROKEN` where the bytes are no picture or are cut short.
    """
    if not data:
        raise ValueError("it is empty")
    with Image.open(io.BytesIO(data), formats=openable()) as image:
        if size is not None:  # a JPEG can be decoded at 1/2, 1/4 or 1/8: a photo takes a twentieth of the time
            image.draft(None, (math.ceil(4 * size / fraction),) * 2)
        image.load()
        return as_array(image, size, fraction)


def as_array(image: Image.Image, size: int | None = None, fraction: float = 1.0) -> NDArray[np.uint8]:
    """As `decode`, of a loaded picture of Pillow's, which is turned upright where it lies."""
    ImageOps.exif_transpose(image, in_place=True)
    if size is None:
        return _array(_flat(image))

    # The centred square, cropped before colours are converted: that is fewer pixels to convert.
    side = max(1, round(fraction * min(image.size)))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = _flat(image.crop((left, top, left + side, top + side)))
    if square.width >= 4 * size:
        square = square.resize((2 * size, 2 * size), Image.Resampling.BOX)
    return _array(square)


def _flat(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if values.dtype.kind not in "iu" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ValueError(f"pixels of mode {image.mode} have no scale to bring them to 0–255")
        return Image.fromarray((values.astype(np.int64) >> 8).astype(np.uint8))  # 16-bit grey: its high byte
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image.convert("RGBA"))
        return flat.convert("L" if image.mode in GREY_MODES else "RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 `[C, H, W]`, in memory of its own."""
    array = np.asarray(image)
    return np.array(array[None] if array.ndim == 2 else array.transpose(2, 0, 1), order="C")  # Pillow's is read-only
