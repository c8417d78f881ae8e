"""The drawings and pictures of a page as files of their own: SVG, PNG and PDF, for a paper or a talk."""

from __future__ import annotations

import base64
import json
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genshift.errors import Refusal
from genshift.paths import output_folder
from genshift.report.blocks import Block, Choice, Figure, Figures, Folded, Picture, Pictures, Section
from genshift.report.contents import page_contents
from genshift.report.model.page_model import PageModel
from genshift.runs.files import write_whole

KINDS = ("svg", "png", "pdf")
WIDTH, SCALE = 640, 2  # pixels of a drawing; a PNG has so many times more a side
BROWSERS = ("google-chrome", "chromium", "chromium-browser", "chrome")
QUESTION = re.compile(r"hw\d P\d(\.\d)?(?= )")  # of a report: its number says enough
EXTRA = "Drawings as files need the extra 'figures' (pip install 'genshift[figures]') and Chrome or Chromium."


def write_figures(model: PageModel, out: Path) -> Path:
    """Writes each drawing of the page of `model` into the folder `out` as SVG, PNG and PDF, and each of its pictures as
    it is; returns `out`. Files are named by section and title, those of before are written anew.

    Refusal where kaleido or a browser is missing, before anything is written.
    """
    out = output_folder(out)
    try:
        import kaleido
    except ImportError:
        raise Refusal(EXTRA) from None
    results, sections = page_contents(model)
    named = dict(_named([Section("results", results), *sections]))
    drawings = {name: shown for name, shown in named.items() if isinstance(shown, Figure)}
    with TemporaryDirectory() as fresh:
        # No script from elsewhere is asked for: plotly's own lies in its package.
        page = kaleido.PageGenerator(mathjax=False)
        wanted = [_order(shown, Path(fresh, f"{name}.{kind}")) for name, shown in drawings.items() for kind in KINDS]
        try:
            kaleido.write_fig_from_object_sync(wanted, kopts={"page_generator": page})
        except Exception as error:
            if not any(map(shutil.which, BROWSERS)):
                raise Refusal(EXTRA) from None
            raise Refusal(f"The drawings could not be written as files ({type(error).__name__}: {error}).") from error
        for file in sorted(Path(fresh).iterdir()):
            write_whole(out / file.name, partial(_write, content=file.read_bytes()))
    for name, shown in named.items():
        if isinstance(shown, Picture):
            head, _, content = shown.data.partition(",")
            kind = head.removeprefix("data:image/").partition(";")[0]
            write_whole(out / f"{name}.{kind}", partial(_write, content=base64.b64decode(content)))
    return out


def _write(place: Path, content: bytes) -> None:
    place.write_bytes(content)


def _order(shown: Figure, place: Path) -> dict[str, Any]:
    """What kaleido is asked for: white below, for paper, and without a title, for which a text has its caption."""
    spec = json.loads(shown.spec)
    spec["layout"] |= {"paper_bgcolor": "white", "plot_bgcolor": "white", "autosize": False}
    height = WIDTH if shown.square else shown.height
    opts = {
        "format": place.suffix[1:],
        "width": WIDTH,
        "height": height,
        "scale": SCALE if place.suffix == ".png" else 1,
    }
    return {"fig": spec, "path": str(place), "opts": opts}


def _named(sections: Sequence[Section]) -> Iterator[tuple[str, Figure | Picture]]:
    """Every drawing and picture with a name of its own."""
    counts: dict[str, int] = {}
    for section in sections:
        for shown in _shown(section.blocks):
            question = QUESTION.match(section.title)
            name = _slug(f"{question[0] if question else section.title} {shown.title}")
            counts[name] = counts.get(name, 0) + 1
            yield (name if counts[name] == 1 else f"{name}-{counts[name]}"), shown


def _shown(blocks: Sequence[Block]) -> Iterator[Figure | Picture]:
    for block in blocks:
        if isinstance(block, Figures):
            yield from block.figures
        elif isinstance(block, Pictures):
            yield from (picture for picture in block.pictures if picture.data)
        elif isinstance(block, Folded):
            yield from _shown(block.blocks)
        elif isinstance(block, Choice):
            for option in block.options:
                yield from _shown(option.blocks)


def _slug(text: str) -> str:
    """A file's name: words of ASCII with hyphens between."""
    plain = unicodedata.normalize("NFKD", text.replace("→", " to ")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:120]
