"""Pictures of a run folder as a page holds them: inside the page, byte for byte."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from pathlib import Path

from genshift.report.blocks import Picture
from genshift.report.reading import Run

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SMALL = 600  # pixels: a picture less wide than this is shown at twice its size where there is room


def picture(run: Run, file: str, title: str, caption: str = "", alt: str = "", under: Sequence[str] = ()) -> Picture:
    """The PNG `file` of a run; where it is missing or no PNG, a picture without data whose `missing` says so."""
    path = _inside(run.folder, file)
    content = path.read_bytes() if path is not None and path.is_file() else None
    size = None if content is None else png_size(content)
    if content is None or size is None:
        wrong = "is not there" if content is None else "is no PNG"
        return Picture(title, f"{file} {wrong}: evaluate the run again.")
    width = 2 * size[0] if size[0] < SMALL else size[0]
    data = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    return Picture(title, "", data, caption, alt or title, size, width, tuple(under))


def _inside(folder: Path, file: str) -> Path | None:
    """The file's path; None where it would lead out of the folder."""
    path = (folder / file).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels by the first chunk of a PNG; None for anything else."""
    if not content.startswith(SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return (width, height) if width and height else None
