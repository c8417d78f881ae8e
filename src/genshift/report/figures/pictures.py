"""Pictures of a run folder as a page holds them: inside the page, byte for byte."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import TypeVar

from PIL import Image

from genshift.report.blocks import Picture
from genshift.runs.records import RunRecord

KINDS = {"PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}  # the last two may move
T = TypeVar("T")
SMALL = 600  # pixels: a picture less wide than this is shown at twice its size where there is room


def picture(
    run: RunRecord, file: str, title: str, caption: str = "", alt: str = "", under: Sequence[str] = ()
) -> Picture:
    """The picture `file` of a run; where it is missing or of no kind of KINDS, one without data whose `missing` says
    so."""
    content = run.file(file)
    known = None if content is None else kind_and_size(content)
    if content is None or known is None:
        wrong = "is not there" if content is None else "is no PNG, WebP or GIF"
        return Picture(title, f"{file} {wrong}: evaluate the run again.")
    kind, size = known
    # By a whole factor, so that pixels stay squares.
    width = 2 * size[0] if size[0] < SMALL else size[0]
    data = f"data:{KINDS[kind]};base64," + base64.b64encode(content).decode("ascii")
    return Picture(title, "", data, caption, alt or title, size, width, tuple(under))


def first_middle_last(kept: Sequence[T]) -> list[T]:
    """Three of what was kept over training, or as many as there are."""
    # A set: of one or two, the first is the middle or the last too.
    return [kept[place] for place in sorted({0, len(kept) // 2, len(kept) - 1})] if kept else []


def kind_and_size(content: bytes) -> tuple[str, tuple[int, int]] | None:
    """A picture's key in KINDS, and its width and height in pixels, by its header; None for anything else."""
    try:
        with Image.open(BytesIO(content), formats=tuple(KINDS)) as opened:
            return str(opened.format), opened.size
    except OSError:  # Pillow's word for what it cannot identify
        return None
