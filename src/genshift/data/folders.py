"""Reader of a user's own pictures: class folders, flat folders, folders with a CSV, archives of these."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from genshift.data.dataset import Labels, ReadOptions
from genshift.data.files import Files, open_files
from genshift.data.imageset import ImageSet
from genshift.data.pictures import is_picture, read_pictures
from genshift.errors import Refusal, of_os_error

SPLITS = {  # what a split's folder or CSV may be called
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "valid": ("valid", "val", "validation"),
}
HEADER = ["image_name", "label"]  # of a CSV with labels; further columns are left unread
MAX_CLASSES = 10_000  # a whole number beyond it is an identity or a time, and no class
NOTE, SHEET = "sample.json", "grid.png"  # beside pictures that genshift drew; the sheet is none of them
LABEL = re.compile(r"\+?\d{1,18}")  # is read as a number; what else of digits and signs looks like one is a slip


@dataclass(frozen=True)
class Layout:
    """Pictures in the set's order, with their labels (or None) and the classes' names."""

    names: list[str]
    labels: list[int] | None = None
    classes: tuple[str, ...] = ()


def read_folder(path: Path, options: ReadOptions) -> tuple[ImageSet, list[str]]:
    """Pictures in a folder or archive → the set, and each image's name within it, in the set's order.

    Layouts: `CLASS/picture`; pictures alone; pictures with a CSV (`image_name,label`) named `labels.csv`, or the only
    one there, or `FOLDER.csv` beside; each also below `train/`, `test/`, `valid/` or with one CSV a split (`train.csv`
    …). A CSV of another header, or with confidences, which are a model's guesses, gives no labels; only where these are
    asked for (`labels` True, and not "any"), and no class folders give them, is another header refused. Without labels
    a CSV counts where it names a split's pictures, and nowhere else. Hidden files and folders are left out, and so
    is the grid beside pictures that genshift drew. `path` may be the CSV itself. Raises Refusal where there is no
    picture, the CSV names one that is missing, or a picture is broken (left out, with a note, where `skip_broken`).
    """
    listing = path if path.suffix.lower() == ".csv" else None
    files = open_files(path.parent if listing else path)
    layout = _scan(files, options.split, listing, options.labels)
    names = layout.names[: options.limit]  # before decoding, which is what takes time
    pictures = read_pictures(
        files, names, options.size, options.colour, skip_broken=options.skip_broken, decoding=options.decoding
    )
    labels, classes = None, layout.classes
    if options.labels and layout.labels is not None:
        labels = torch.tensor([layout.labels[place] for place in pictures.kept])
    else:
        classes = ()
    name = path.stem if listing else path.resolve().name
    images = ImageSet(name, pictures.images, labels, classes, notes=pictures.notes, digests=pictures.digests)
    return images, [names[place] for place in pictures.kept]


def _scan(files: Files, split: str, listing: Path | None, labels: Labels) -> Layout:
    """The pictures of a split by whichever layout there is; `listing` is a CSV that the user named."""
    drawn = {name.removesuffix(NOTE) + SHEET for name in files.names if name.rpartition("/")[2] == NOTE}
    names = [name for name in files.names if is_picture(name) and name not in drawn]
    if not names:
        raise Refusal(
            f"{files.path} holds no picture: expected PNG, JPEG or the like in it or in class folders; check the path."
        )
    # An archive may wrap everything into one folder, which then means nothing.
    tops = {name.partition("/")[0] for name in files.names}
    wraps = not files.path.is_dir() and len(tops) == 1 and all("/" in name for name in files.names)
    top = f"{tops.pop()}/" if wraps else ""
    below = _split_folder(files, names, top, split)
    own = [name for name in names if name.startswith(below)]

    # A CSV that the user named, or with labels that are wanted, or without which there would be none.
    where, rows = _csv(files, top, below, split, listing) or ("", [])
    # Without labels a CSV matters only where it parts the pictures: what it says of some is no reason to drop others.
    wanted = labels or Path(where).stem in _words(split)
    needed = where and labels is True and not _guesses(rows) and len(set(_folders(own, below).values())) < 2
    if listing is not None or (wanted and _lists(rows)) or needed:
        return _from_csv(files, names, [below, f"{below}data/", f"{below}images/", top, ""], where, rows)
    if below == top and split not in ("train", "all"):
        raise Refusal(
            f"{files.path} has no part '{split}': put its pictures into the subfolders train and {split}, or add a "
            f"{split}.csv (image_name,label)."
        )
    return _from_names(files, own, below)


def _words(split: str) -> tuple[str, ...]:
    """What a split's folder or CSV may be called."""
    return SPLITS.get(split, (split,))


def _split_folder(files: Files, names: Sequence[str], top: str, split: str) -> str:
    """The prefix of the pictures of a split: its subfolder where there is a subfolder train, else `top`."""
    subfolders = {name.removeprefix(top).partition("/")[0] for name in names if "/" in name.removeprefix(top)}
    if not subfolders & set(SPLITS["train"]) or split == "all":
        return top
    for word in _words(split):
        if word in subfolders:
            return f"{top}{word}/"
    raise Refusal(f"{files.path} has no part '{split}': it has {', '.join(sorted(subfolders))}.")


def _csv(files: Files, top: str, below: str, split: str, given: Path | None) -> tuple[str, list[list[str]]] | None:
    """The CSV's name and rows, or None where there is none."""
    beside = given or files.path.parent / f"{files.path.name}.csv"
    if given is not None:
        return str(given), _rows(str(given), _text(given))

    def read(name: str) -> list[list[str]]:
        return _rows(str(files.path / name), files.read(name).decode("utf-8-sig", "replace"))

    # By its name, else the only one beside the pictures, else the only one there that lists labels.
    inside = [name for name in files.names if name.lower().endswith(".csv")]
    named = [f"{below}labels.csv", *(f"{top}{word}.csv" for word in _words(split)), f"{top}labels.csv"]
    chosen = [name for name in named if name in inside][:1]
    if not chosen:
        chosen = [name for name in inside if name.startswith(below) and "/" not in name.removeprefix(below)]
    if len(chosen) > 1:
        chosen = [name for name in chosen if _lists(read(name))]
    if len(chosen) > 1:
        raise Refusal(
            f"{files.path} holds {len(chosen)} CSV files ({', '.join(chosen[:3])}): name the one with the labels "
            "labels.csv."
        )
    if chosen:
        return str(files.path / chosen[0]), read(chosen[0])
    return (str(beside), _rows(str(beside), _text(beside))) if files.path.is_dir() and beside.is_file() else None


def _head(rows: Sequence[Sequence[str]]) -> list[str]:
    """The columns' names."""
    return [cell.strip() for cell in rows[0]] if rows else []


def _guesses(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a CSV is what `genshift predict` wrote."""
    return "confidence" in _head(rows)


def _lists(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a CSV names pictures and their labels."""
    return _head(rows)[:2] == HEADER and not _guesses(rows)


def _from_csv(
    files: Files, names: Sequence[str], prefixes: Sequence[str], where: str, rows: Sequence[Sequence[str]]
) -> Layout:
    """The pictures that a CSV lists, in its order; its names are sought below each of `prefixes`."""
    if _head(rows)[:2] != HEADER:
        first = ",".join(rows[0]) if rows else ""
        raise Refusal(f"{where} begins with '{first[:60]}': expected the header 'image_name,label'; add it.")
    if len(rows) == 1:
        raise Refusal(f"{where} names no picture: expected lines 'image_name,label'.")

    # Every line must name one picture that is there, once: a label that goes astray would be silent.
    known = set(names)
    chosen: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) < 2 or not row[1].strip():
            raise Refusal(
                f"{where} gives no label in line {number} ('{','.join(row)[:60]}'): expected 'image_name,label'."
            )
        place = next((prefix + row[0].strip() for prefix in prefixes if prefix + row[0].strip() in known), None)
        if place is None:
            raise Refusal(
                f"{where} names '{row[0].strip()[:60]}' in line {number}, which is not in {files.path}: add the "
                "picture or remove the line."
            )
        if place in chosen:
            raise Refusal(
                f"{where} names '{row[0].strip()}' twice, again in line {number}: expected each picture once."
            )
        chosen[place] = row[1].strip()
    return _classed(where, chosen)


def _rows(where: str, text: str) -> list[list[str]]:
    """The rows that hold anything; Refusal where a quote is not closed or a NUL or the like stands in the text."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begun = 0  # lines read before the row that fails: a quote that is not closed swallows the rest of the file
    rows = []
    try:
        for row in reader:
            begun = reader.line_num
            if row:
                rows.append(row)
    except csv.Error as error:
        raise Refusal(
            f"{where} cannot be read from line {begun + 1} on ({error}): expected 'image_name,label'; close the quote "
            "or correct the line."
        ) from None
    return rows


def _classed(where: str, chosen: dict[str, str]) -> Layout:
    """Whole numbers become classes in their order, words in the alphabet's: those that occur, and no others."""
    words = list(chosen.values())
    if all(word.lstrip("+-").isdecimal() for word in words):
        wrong = next((word for word in words if not LABEL.fullmatch(word) or int(word) >= MAX_CLASSES), None)
        if wrong is not None:
            raise Refusal(
                f"{where} gives the label {wrong[:40]}: expected whole numbers from 0 to {MAX_CLASSES - 1:,}, or "
                "words; correct the file."
            )
        words = [str(int(word)) for word in words]  # "07" and "7" are one class
    classes = _in_order(set(words))
    return Layout(list(chosen), [classes.index(word) for word in words], classes)


def _in_order(classes: set[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers where all are numbers, else of the alphabet."""
    return tuple(sorted(classes, key=int if all(c.isdecimal() for c in classes) else str))


def _from_names(files: Files, names: Sequence[str], below: str) -> Layout:
    """Class folders where every picture lies in one of two or more folders; otherwise no labels."""
    if not names:
        raise Refusal(f"{files.path / below} holds no picture: expected PNG, JPEG or the like; check the path.")
    folder_of = _folders(names, below)
    folders = set(folder_of.values())
    if "" in folders and len(folders) > 1:
        raise Refusal(
            f"{files.path / below} holds pictures both beside and inside of its folders: put every picture into a "
            "class folder, or all into one folder."
        )
    if len(folders) < 2:  # one folder parts nothing
        return Layout(list(names))
    # Class by class, and by name within one: an order that does not hang on how a system lists folders.
    classes = _in_order(folders)
    ordered = sorted(names, key=lambda name: (classes.index(folder_of[name]), name))
    return Layout(ordered, [classes.index(folder_of[name]) for name in ordered], classes)


def _folders(names: Sequence[str], below: str) -> dict[str, str]:
    """Of each picture, the folder below `below` that it lies in; nothing where it lies in none."""
    return {name: name.removeprefix(below).rpartition("/")[0].partition("/")[0] for name in names}


def _text(path: Path) -> str:
    """A CSV's text, without the mark that spreadsheets put before UTF-8."""
    try:
        return path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
