"""Pixels: decoding one picture, colour, and resizing many at once."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from genshift.data.bounds import bound, is_given
from genshift.data.dataset import USUAL, Background, Colour, Decoding, Fit
from genshift.data.formats import openable
from genshift.errors import Refusal, unknown

CHUNK = 2048  # images at a time: bounds the float and integer copies that resizing and luma need
GREY_MODES = ("1", "L", "LA", "La")  # Pillow's modes without colour that may be transparent
# What Pillow raises on a file that is no picture, or is cut short or damaged.
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
          Image.DecompressionBombError, IndexError, TypeError)  # fmt: skip


class Decoded(NamedTuple):
    """pixels: uint8 `[1 or 3, H, W]`. deepest: the largest value of a 16-bit picture, 0 of another. clear: whether a
    part of it is transparent."""

    pixels: NDArray[np.uint8]
    deepest: int = 0
    clear: bool = False


def check_options(size: int | None, colour: str | None, limit: int | None, decoding: Decoding) -> None:
    """Refuses a side, colour, limit or decoding that means nothing."""
    if size is not None and not 1 <= size <= 4096:  # beyond that one picture takes tens of megabytes
        raise Refusal(f"The image side {size} cannot be made: give a whole number of pixels from 1 to 4096.")
    if colour not in (None, "rgb", "grey"):
        raise Refusal(f"There is no colour '{colour}': expected 'rgb' or 'grey'.")
    if limit is not None and limit < 1:
        raise Refusal(f"A limit of {limit} images leaves nothing: give 1 or more.")
    for what, kind in {"fit": Fit, "background": Background}.items():
        if getattr(decoding, what) not in get_args(kind):
            raise unknown(what, str(getattr(decoding, what)), get_args(kind))
    if decoding.depth not in range(17):
        raise Refusal(f"A depth of {decoding.depth} bits cannot be: give 1 to 16, or 0 to be asked where it matters.")


def likely_depth(highest: int) -> int:
    """The bits that 16-bit files hold which reach no higher value: 16, where files are not known to hold fewer."""
    return next((bits for bits in (1, 8, 10, 12, 14) if highest < 2**bits), 16)


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


def squares(images_NCHW: Tensor, fit: Fit) -> Tensor:
    """The centred square of each image, or all of it on a black square."""
    height, width = images_NCHW.shape[-2:]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images_NCHW[..., top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(images_NCHW, (left, side - width - left, top, side - height - top))


def resize(images_NCHW: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """uint8 `[N, C, H, W]` → uint8 `[N, C, size, size]`: made square, then bilinear with antialiasing, rounded."""
    if tuple(images_NCHW.shape[-2:]) == (size, size):
        return images_NCHW
    out = torch.empty(*images_NCHW.shape[:2], size, size, dtype=torch.uint8)
    for start in range(0, len(images_NCHW), CHUNK):
        x = squares(images_NCHW[start : start + CHUNK], fit).float()
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        out[start : start + CHUNK] = x.round_().clamp_(0, 255).to(torch.uint8)
    return out


def finish(images_NCHW: Tensor, size: int | None, colour: Colour | None, fit: Fit = "crop") -> Tensor:
    """Colour and size as asked, whichever order moves fewer pixels."""
    if colour == "grey":
        images_NCHW = to_colour(images_NCHW, colour)
    if size is not None:
        images_NCHW = resize(images_NCHW, size, fit)
    return to_colour(images_NCHW, colour)


def decode(data: bytes, size: int | None = None, fraction: float = 1.0, decoding: Decoding = USUAL) -> Decoded:
    """The bytes of a PNG, JPEG, … as pixels, upright by its EXIF tag; the first frame of a film.

    Alpha is laid over white (`decoding` says otherwise, here and below); 16-bit values keep their high byte; CMYK
    becomes (255 − C)(255 − K) / 255 and so on, without a colour profile. With `size`, the centred square whose side is
    `fraction` of the shorter side (of the longer, where it is padded); from four times `size` on, areas are averaged to
    no less than twice `size`, so that `resize` has little left to do. Raises one of `BROKEN` where the bytes are no
    picture, are cut short or hold values beyond the depth, and Refusal for a bound that is no number.
    """
    if not data:
        raise ValueError("it is empty")
    with _opened(data) as image:
        if size is not None:  # a JPEG can be decoded at 1/2, 1/4 or 1/8: a photo takes a twentieth of the time
            image.draft(None, (math.ceil(4 * size / fraction),) * 2)
        halved = _is_halved(image)
        image.load()
        return as_array(image, size, fraction, decoding, halved)


class Head(NamedTuple):
    """What a picture's first bytes say: its format, width and height as it is shown, colours and depth in words."""

    format: str
    width: int
    height: int
    colours: str


def head_of(data: bytes) -> Head:
    """Of the bytes of a picture, which need not be whole; raises one of `BROKEN` where they are none."""
    with _opened(data) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) in range(5, 9):  # the tag of orientation: it lies on its side
            width, height = height, width
        return Head(image.format or "", width, height, _colours_of(image))


def _colours_of(image: Image.Image) -> str:
    """Colours and bits a channel, in words."""
    deep = _is_halved(image) or image.mode.startswith("I")
    kinds = {"1": "black and white", "P": "palette", "PA": "palette", "CMYK": "CMYK", "F": "floating point"}
    grey = image.mode in GREY_MODES or image.mode.startswith("I")
    kind = kinds.get(image.mode, "grey" if grey else "colour")
    depth = "" if image.mode in ("1", "F") else f", {16 if deep else 8} bits"
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return f"{kind}{depth}{', alpha' if alpha else ''}"


def as_array(
    image: Image.Image,
    size: int | None = None,
    fraction: float = 1.0,
    decoding: Decoding = USUAL,
    halved: bool = False,
) -> Decoded:
    """As `decode`, of a loaded picture of Pillow's, which is turned upright where it lies; `halved` where Pillow kept
    the high byte alone of its 16-bit values."""
    ImageOps.exif_transpose(image, in_place=True)
    if size is not None and decoding.fit == "crop":  # before colours are converted: that is fewer pixels to convert
        image = _centre(image, fraction * min(image.size))
    flat, deepest, clear = _flat(image, decoding, halved)
    if size is not None and decoding.fit == "pad":  # after it: what is added is black in every mode
        longer = max(flat.size)
        if longer >= 4 * size:  # small before it grows to a square
            flat = flat.resize([max(1, round(2 * size / longer * side)) for side in flat.size], Image.Resampling.BOX)
        flat = _centre(flat, fraction * max(flat.size))
    if size is not None and flat.width >= 4 * size:
        flat = flat.resize((2 * size, 2 * size), Image.Resampling.BOX)
    return Decoded(_array(flat), deepest, clear)


@contextmanager
def unheard_pillow() -> Iterator[None]:
    """Pillow warns of odd metadata and of large photos, which are neither broken nor refused."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _opened(data: bytes) -> Image.Image:
    """The picture, not decoded yet; raises one of `BROKEN`, of them DecompressionBombError for too many pixels."""
    most = bound("pixels")
    if is_given("pixels") and Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own bound, which may stand below
        Image.MAX_IMAGE_PIXELS = max(most, Image.MAX_IMAGE_PIXELS)
    image = Image.open(io.BytesIO(data), formats=openable())
    if image.width * image.height > most:
        raise Image.DecompressionBombError
    return image


def _is_halved(image: Image.Image) -> bool:
    """Whether a picture that is not decoded yet has colours, or alpha, of 16 bits: Pillow keeps the high byte."""
    modes = [tile[3] if isinstance(tile[3], str) else str((tile[3] or [""])[0]) for tile in getattr(image, "tile", [])]
    return any(";16" in mode and not mode.startswith(("I", "BGR")) for mode in modes)  # BMP's BGR;16 is 5, 6 and 5 bits


def _centre(image: Image.Image, side: float) -> Image.Image:
    """The centred square of that side; what lies outside of the picture is black, where it is in mode L or RGB."""
    side = max(1, round(side))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _flat(image: Image.Image, decoding: Decoding, halved: bool) -> tuple[Image.Image, int, bool]:
    """The picture in mode L or RGB; besides, `deepest` and `clear` of `Decoded`."""
    deepest, clear = 0, False
    if halved:
        deepest = _highest(image) << 8 | 255
        if decoding.depth not in (0, 16):
            raise ValueError("--depth is for grey pictures, and this has 16-bit colours: save it with 8 bits a channel")
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        flat = image
    elif image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if values.dtype.kind not in "iu" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ValueError(f"pixels of mode {image.mode} have no scale to bring them to 0–255")
        deepest = int(values.max(initial=0))
        flat = Image.fromarray(_to_bytes(values.astype(np.int64), deepest, decoding.depth or 16))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        clear = bool((np.asarray(coloured.getchannel("A")) < 255).any())
        flat = Image.alpha_composite(Image.new("RGBA", image.size, decoding.background), coloured)
        flat = flat.convert("L" if image.mode in GREY_MODES else "RGB")
    else:
        flat = image.convert("L" if image.mode == "1" else "RGB")
    return flat, deepest, clear


def _highest(image: Image.Image) -> int:
    """The largest value of a picture of 8 bits a channel, but for its alpha."""
    bands: Any = image.getextrema()  # (low, high) of one band, or a tuple of these
    colours = bands[: 1 if image.mode.startswith("L") else 3] if isinstance(bands[0], tuple) else [bands]
    return max(int(high) for _, high in colours)


def _to_bytes(values: NDArray[np.int64], highest: int, depth: int) -> NDArray[np.uint8]:
    """Values of so many bits as bytes: the high 8 of them."""
    most = 2**depth - 1
    if highest > most:
        raise ValueError(f"its values reach {highest:,}, and --depth {depth} holds 0 to {most:,}")
    return (values >> (depth - 8) if depth >= 8 else values * 255 // most).astype(np.uint8)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 `[C, H, W]`, in memory of its own."""
    array = np.asarray(image)
    return np.array(array[None] if array.ndim == 2 else array.transpose(2, 0, 1), order="C")  # Pillow's is read-only
