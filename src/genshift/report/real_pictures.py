"""Real pictures among those of a run: which they are, which of them a record may hold, and how a page gets the others
back from the reader's own data.

A sheet of many pictures holds them in cells. A cell that a record may not hold is painted over, and known by the digest
of its pixels: where the reader has the set, the same picture is found by it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from genshift.data.catalog import lookup
from genshift.errors import Refusal
from genshift.report.model.formatting import joined
from genshift.runs.forms import GAP, PictureEntry
from genshift.runs.records import RunRecord

Box = tuple[int, int, int, int]
HIDDEN = 160  # the grey of a cell that is painted over: neither a sheet's paper nor its ink
SETS = ("data", "source", "target")  # options that name a set of pictures
# Names of sheets without a real picture; of any other that does not say which are real, all may be.
GENERATED = ("grid", "classes", "prior-normal", "interpolation", "arithmetic", "reverse", "images-")


# --- what a record may hold -------------------------------------------------------------------------------------------


def hide(run: RunRecord, entry: PictureEntry, sheet: Image.Image) -> PictureEntry:
    """Paints over the cells of `sheet` that may not be passed on; the entry, which then names them."""
    cells = _cells(sheet, run)
    hidden: dict[str, dict[str, str]] = {}
    for option, places in _real(run, entry, sheet, cells).items():
        if _may_be_passed_on(run, option):
            continue
        for place in places:
            own = hidden.setdefault(option, {})
            own[str(place)] = _digest(sheet.crop(cells[place]).tobytes())
    for number in {number for own in hidden.values() for number in own}:
        sheet.paste(HIDDEN if sheet.mode == "L" else (HIDDEN,) * 3, cells[int(number)])
    return {**entry, "hidden": hidden} if hidden else entry


def _may_be_passed_on(run: RunRecord, option: str) -> bool:
    """Whether the terms of the set that an option names allow it: nobody knows them of a user's own folder."""
    known = lookup(_place(run, option))
    return known is not None and known.redistributable


def _place(run: RunRecord, option: str) -> str:
    return str(run.fields.get(option) or run.preset.get(option) or "")


def _real(run: RunRecord, entry: PictureEntry, sheet: Image.Image, cells: Sequence[Box]) -> dict[str, list[int]]:
    """The cells with real pictures, by the option that names their set."""
    if "real" in entry:  # evaluations before 0.3 did not say
        return {option: [place for place in places if place < len(cells)] for option, places in entry["real"].items()}
    name, columns = PurePosixPath(entry["file"]).stem, sum(top == cells[0][1] for _, top, _, _ in cells)
    if name.startswith(GENERATED):
        return {}
    if name == "reconstructions":  # held-out pictures above, reconstructions below
        return {"data": list(range(columns))}
    if name == "neighbours":  # two groups a row, of a sample and its neighbours
        return {"data": [place for place in range(len(cells)) if place % max(1, columns // 2)]}
    return {option: list(range(len(cells))) for option in SETS if _place(run, option)}


def _cells(sheet: Image.Image, run: RunRecord) -> list[Box]:
    """The cells of a sheet of the run's pictures, row by row; one, the whole, where it is laid out in another way."""
    size = run.fields.get("size")
    side = size if isinstance(size, int) and size > 0 else max(sheet.size)
    columns, rows = ((length - GAP) // (side + GAP) for length in sheet.size)
    if (columns * (side + GAP) + GAP, rows * (side + GAP) + GAP) != sheet.size or not columns * rows:
        return [(0, 0, *sheet.size)]
    corners = [(GAP + x * (side + GAP), GAP + y * (side + GAP)) for y in range(rows) for x in range(columns)]
    return [(left, top, left + side, top + side) for left, top in corners]


def _digest(pixels: bytes) -> str:
    return hashlib.sha256(pixels).hexdigest()[:16]


# --- what a page makes of it ------------------------------------------------------------------------------------------


def hidden_note(run: RunRecord, entry: PictureEntry) -> str:
    """Which real pictures are not shown, and how they would be; '' where all are."""
    words = []
    for option, cells in entry.get("hidden", {}).items():
        known = lookup(_place(run, option))
        name = Path(_place(run, option)).name if known is None else known.name
        terms = "whose terms nobody knows" if known is None else f"whose licence is: {known.licence}"
        words.append(f"{len(cells):,} of {name}, {terms}")
    if not words:
        return ""
    return (
        f"Grey: real pictures that a record leaves out, {joined(words)}. `genshift report DIR --data-root ROOT --out "
        "page.html` shows them where ROOT holds that data."
    )


def with_real_pictures(runs: Sequence[RunRecord], data_root: Path | None) -> list[RunRecord]:
    """The runs with the hidden pictures that are found in the reader's data; a line for each set that is not there."""
    wanted = [(run, option, digests) for run in runs for option, digests in _wanted(run)]
    if not wanted:
        return list(runs)
    from genshift.evaluation.real_pictures import find  # it reads data, and with torch

    found, missing = find([(run.config, option, digests) for run, option, digests in wanted], data_root, _digest)
    for sentence in missing:
        print(f"note: real pictures stay hidden: {sentence}", file=sys.stderr)
    if found:
        names = sorted({_place(run, option) for run, option, digests in wanted if digests & set(found)})
        print(f"note: the page shows real pictures of {joined(names)}: mind their terms.", file=sys.stderr)
    return [_filled(run, found) for run in runs]


def _wanted(run: RunRecord) -> Iterator[tuple[str, set[str]]]:
    """The digests of what is hidden of a run, by the option that names their set."""
    for entry in run.evaluation.get("pictures", []):
        for option, cells in entry.get("hidden", {}).items():
            yield option, set(cells.values())


def _filled(run: RunRecord, found: Mapping[str, bytes]) -> RunRecord:
    """The run with the pictures that were found set in their cells."""
    entries, given = [], dict(run.given)
    for entry in run.evaluation.get("pictures", []):
        content = run.file(entry["file"])
        hidden = entry.get("hidden", {})
        if content is not None and any(digest in found for cells in hidden.values() for digest in cells.values()):
            sheet = decoded(run, entry, content).convert("RGB")
            boxes = _cells(sheet, run)
            rest: dict[str, dict[str, str]] = {}
            for option, cells in hidden.items():
                for place, digest in cells.items():
                    box = boxes[int(place)] if int(place) < len(boxes) else (0, 0, 0, 0)
                    if picture := _image(found.get(digest, b""), box):
                        sheet.paste(picture, box)
                    else:
                        rest.setdefault(option, {})[place] = digest
            written = BytesIO()
            sheet.save(written, "PNG")
            entry, given[entry["file"]] = {**entry, "hidden": rest}, written.getvalue()
        entries.append(entry)
    evaluation = {**run.evaluation, "pictures": entries} if given else run.evaluation
    return replace(run, evaluation=evaluation, given=given)


def _image(pixels: bytes, box: Box) -> Image.Image | None:
    """The picture, grey or coloured, that fills the box; None where the pixels do not."""
    size = (box[2] - box[0], box[3] - box[1])
    mode = {size[0] * size[1]: "L", 3 * size[0] * size[1]: "RGB"}.get(len(pixels))
    return Image.frombytes(mode, size, pixels) if mode and pixels else None


def decoded(run: RunRecord, entry: PictureEntry, content: bytes) -> Image.Image:
    """The (first) picture of a file's content, grey or coloured; Refusal where it is damaged."""
    try:
        with Image.open(BytesIO(content)) as opened:
            return opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise Refusal(f"{run.folder / entry['file']} is damaged ({error}): evaluate the run again.") from error
