"""A record: of every run what its page shows, small enough to lie beside a project's text.

A record of a run is a folder of the run's own files, which every reader of run folders reads: measures, settings,
scores and sweeps as they are, curves with no more points than a drawing shows, pictures as WebP of those runs whose
pictures a page shows, and no checkpoint. Real pictures are in it where their set's terms allow it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageSequence

from genshift.data.packed import replacing
from genshift.errors import Refusal
from genshift.paths import output_folder
from genshift.report.figures.pictures import first_middle_last, kind_and_size
from genshift.report.model.grouping import group_runs
from genshift.report.model.run_records import readable_runs
from genshift.report.real_pictures import decoded, hide
from genshift.runs.files import UNENCODABLE
from genshift.runs.forms import CHOICE, CONFIG, EVALUATION, RESULTS, SCORES, SWEEP, Evaluation, LogRow, PictureEntry
from genshift.runs.records import RunRecord

METRICS, ORACLE, SAMPLES = "metrics.jsonl", "oracle.jsonl", "samples"
WHOLE = (RESULTS, SCORES, CHOICE, SWEEP)  # files that are kept as they are
HELD = {CONFIG, EVALUATION, METRICS, ORACLE, SAMPLES, *WHOLE}
ROWS = 200  # of a curve: a drawing is some 400 pixels wide
DIGITS = ".5g"  # of a logged number: as many as a page draws
PLANE = 2  # decimals of a t-SNE's coordinates, as a page draws them
QUALITY, OF_FILMS = 80, 60  # of WebP: what moves is looked at less closely, and is ten times as large
WORTH = 0.8  # a film is written anew where it becomes this much smaller: what was, is not blurred again


def record(folders: Iterable[Path], out: Path) -> Path:
    """Writes OUT/RUN for each run folder, whole or not at all, and returns OUT; what is the same already stays.

    A run that cannot be read is left out, with a line. Refusal where none can be, where two runs have one name, or
    where OUT/RUN is a run itself or holds files that are none of a record's.
    """
    out = output_folder(out)
    runs, _ = readable_runs(folders)
    names: dict[str, RunRecord] = {}
    for run in runs:
        name = run.folder.resolve().name
        if name in names:
            raise Refusal(f"{names[name].folder} and {run.folder} have one name: record them into two folders.")
        names[name] = run
    check_places(out, names)
    shown = {run: group.first for group in group_runs(runs) for run in group.runs}
    for name, run in names.items():
        _write(out / name, files_of(run, shown[run]))
    return out


def check_places(out: Path, names: Iterable[str]) -> None:
    """Refuses places OUT/NAME where anything but a record stands: it would be replaced."""
    for folder in (out / name for name in names):
        strangers = sorted({path.name for path in folder.iterdir()} - HELD) if folder.is_dir() else []
        if "checkpoints" in strangers:
            raise Refusal(f"{folder} is a run with its checkpoints, which a record would replace: name another folder.")
        if strangers:
            raise Refusal(f"{folder} holds {strangers[0]}, which is no record's: name another folder.")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """The folder with these files, whole; untouched where it holds just them."""
    there = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if {path.relative_to(folder).as_posix(): path.read_bytes() for path in there} == dict(files):
        return
    with replacing(folder, CONFIG, "record of a run") as fresh:
        for name, content in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)


def files_of(run: RunRecord, shown: RunRecord) -> dict[str, bytes]:
    """What is kept of a run, by name; `shown` is the run of its group whose pictures a page shows."""
    files = {name: content for name in WHOLE if (content := run.file(name)) is not None}
    if run.metrics:
        files[METRICS] = _lines(thinned(run.metrics))
    if run.oracle:
        files[ORACLE] = _lines(run.oracle)
    if run.evaluation:
        evaluation, pictures = _evaluation(run, shown)
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in evaluation.items())
        files[EVALUATION] = _bytes("{\n" + ",\n".join(lines) + "\n}\n")
        files |= pictures
    config = run.file(CONFIG)
    assert config is not None  # it was read
    return {**files, CONFIG: config}  # last: without it a folder is no run


# --- curves -----------------------------------------------------------------------------------------------------------


def thinned(rows: Sequence[LogRow]) -> list[LogRow]:
    """At most ROWS of the rows that log the same names, evenly, their first and last among them; numbers rounded."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        kinds.setdefault((*sorted(row), *map(str, row.get("alarms") or [])), []).append(place)
    kept = [places[k * (len(places) - 1) // (ROWS - 1)] for places in kinds.values() for k in range(ROWS)]
    return [{key: _rounded(value) for key, value in rows[place].items()} for place in sorted(set(kept))]


def _rounded(value: Any) -> Any:
    return float(format(value, DIGITS)) if isinstance(value, float) else value


def _lines(rows: Iterable[LogRow]) -> bytes:
    return _bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", UNENCODABLE)


# --- evaluation.json and its pictures ---------------------------------------------------------------------------------


def _evaluation(run: RunRecord, shown: RunRecord) -> tuple[Evaluation, dict[str, bytes]]:
    """What evaluation.json says, with coordinates as a page draws them, and the pictures that it then names."""
    kept: Evaluation = {**run.evaluation}
    if (tsne := kept.get("tsne")) is not None:
        kept["tsne"] = {**tsne, "x": _plane(tsne["x"]), "y": _plane(tsne["y"])}
    if run is not shown:
        left_out = [part for part in ("pictures", "snapshots", "stages") if kept.pop(part, [])]  # type: ignore[misc]
        if left_out:
            kept["kept_without"] = f"the record has no {', '.join(left_out)} of it, but those of seed {shown.seed}"
        return kept, {}
    if "stages" in kept:
        kept["stages"] = [{**stage, "x": _plane(stage["x"]), "y": _plane(stage["y"])} for stage in kept["stages"]]
    files: dict[str, bytes] = {}
    if "pictures" in kept:
        kept["pictures"] = [_kept(run, entry, files) for entry in kept["pictures"]]
    if "snapshots" in kept:
        kept["snapshots"] = [_kept(run, entry, files) for entry in first_middle_last(kept["snapshots"])]
    return kept, files


def _plane(values: Sequence[float]) -> list[float]:
    return [round(value, PLANE) for value in values]


def _kept(run: RunRecord, entry: PictureEntry, files: dict[str, bytes]) -> PictureEntry:
    """The entry of a picture as the record names it; its file goes to `files`. A picture that is none stays away."""
    content = run.file(entry["file"])
    known = None if content is None else kind_and_size(content)
    if content is None or known is None:
        return entry
    sheet, before = decoded(run, entry, content), entry
    entry = entry if "hidden" in entry else hide(run, entry, sheet)
    with Image.open(BytesIO(content)) as picture:
        if entry is not before:  # something was painted over
            written = _still(sheet)
        elif getattr(picture, "n_frames", 1) > 1:
            smaller = _film(picture)
            written = smaller if len(smaller) < WORTH * len(content) else content
        else:  # WebP comes from a record: to be blurred no more
            written = content if known[0] == "WEBP" else _still(sheet)
    name = f"{SAMPLES}/{PurePosixPath(entry['file']).stem}.webp"
    if name in files:  # reverse.png beside reverse.webp, which moves
        name = name.replace(".webp", "-moving.webp")
    files[name] = written
    return {**entry, "file": name}


def _still(sheet: Image.Image) -> bytes:
    """WebP: without loss where that is the smaller."""
    # More effort than this takes a second a picture, and saves a thousandth.
    return min((_webp(sheet, lossless=True, quality=80, method=4), _webp(sheet, quality=QUALITY)), key=len)


def _film(film: Image.Image) -> bytes:
    frames, durations = [], []
    for frame in ImageSequence.Iterator(film):
        frames.append(frame.convert("RGB"))
        durations.append(frame.info.get("duration", 100))
    return _webp(frames[0], quality=OF_FILMS, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _webp(picture: Image.Image, **options: Any) -> bytes:
    written = BytesIO()
    picture.save(written, "WEBP", **{"method": 6, **options})
    return written.getvalue()
