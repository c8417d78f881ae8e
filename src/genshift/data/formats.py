"""Which pictures are read: their formats, suffixes and first bytes. Imports no torch."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Mapping
from functools import cache

from PIL import Image

# Pillow's name of each format that is read → the suffixes of its files. All are raster formats that start no program
# and open no other file. TGA comes last, for it has no mark of its own by which a file would be known.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif", ".heics"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
ALL_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
NEEDS = {"HEIF": "the extra heif (pip install 'genshift[heif]')", "AVIF": "Pillow 11.3 or later"}  # of what may lack
HEAD = 32  # bytes by which a picture is known

_MARK = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|.{4}ftyp(avi[fs]|hei[cxfms]|hev[cx]|mif1|msf1)|P[1-6]\s+[\d#]",
    re.DOTALL,
)
_SEVERAL = re.compile(rb"GIF8|II[*+]\0|MM\0[*+]|RIFF.{4}WEBPVP8X|.{4}ftyp", re.DOTALL)  # may hold further pages


@cache
def openable() -> tuple[str, ...]:
    """The formats that can be opened here, HEIC where pillow-heif is installed."""
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in SUFFIXES if name in Image.OPEN)


def begins_picture(head: bytes) -> bool:
    """Whether a file's first `HEAD` bytes are those of a picture (of any format but TGA, which has no mark)."""
    return _MARK.match(head) is not None


def lacking(name: str) -> str:
    """What must be installed before a file of that name can be read; nothing where it can."""
    of = next((f for f, suffixes in SUFFIXES.items() if name.lower().endswith(suffixes)), None)
    return "" if of is None or of in openable() else NEEDS.get(of, f"a Pillow that reads {of}")


def further_pages(data: bytes) -> tuple[str, int]:
    """A picture's format, and how many pages or frames it has after the first, which alone is read.

    Those of an MPO are previews and maps of its one picture, and no pages.
    """
    animated = data.startswith(b"\x89PNG") and b"acTL" in data[: data.find(b"IDAT") + 1]
    if not animated and not _SEVERAL.match(data):
        return "", 0
    with Image.open(io.BytesIO(data), formats=openable()) as image:
        try:
            return image.format or "", getattr(image, "n_frames", 1) - 1
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError):
            return image.format or "", 1  # it has a further page, and that is broken
