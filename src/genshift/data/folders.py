"""Reader of a user's own pictures: class folders, flat folders, folders with a CSV, archives of these."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from genshift.data.columns import HEADER, Listing, delimiter_of, listing_of
from genshift.data.dataset import ReadOptions
from genshift.data.files import Files, ListedFiles, open_files
from genshift.data.formats import HEAD, begins_picture
from genshift.data.imageset import ImageSet
from genshift.data.parts import Parts, find_parts, listed, part_of
from genshift.data.pictures import Pictures, is_picture, read_pictures
from genshift.data.text import composed, decode_text
from genshift.errors import Refusal, of_os_error

LABELS = "labels.csv"
MAX_KINDS = 6  # of unread files, in a note
MAX_CLASSES = 10_000  # a whole number beyond it is an identity or a time, and no class
NOTE, SHEET = "sample.json", "grid.png"  # beside pictures that genshift drew; the sheet is none of them
LABEL = re.compile(r"\+?\d{1,4000}")  # is taken for a number; what else of digits and signs looks like one is a slip
MISSING = ("nan", "NaN", "NA", "<NA>")  # what programs write where there is no label
LOST = "\N{REPLACEMENT CHARACTER}"  # what programs write for letters that they could not read
UNREAD = "labels are left out"  # begins the note on labels that cannot be read, and need not be


@dataclass(frozen=True)
class Found:
    """A folder or archive, looked through.

    names: its pictures, in sorted order. top: the one folder that an archive is wrapped in, or nothing. parts: its
    folders that are parts. listings: of each part that has some, the CSVs that list it. options: what of it is wanted.
    """

    files: Files
    names: list[str]
    top: str
    parts: Parts
    listings: dict[str, list[str]]
    options: ReadOptions

    def listing(self, name: str) -> Listing:
        """A CSV among the files."""
        where = self.files.path / name
        return listing_of(where, csv_rows(where, self.files.read(name), self.options))

    def below(self, split: str) -> list[str]:
        """The folders in which a part's pictures lie."""
        folders = self.parts.folders
        if split == "all" or (split == "train" and len(folders) == 1):  # one folder parts nothing
            return list(folders.values()) or [self.top]
        return [folders[split]] if split in folders else [self.top]


@dataclass(frozen=True)
class Layout:
    """Pictures in the set's order, with their labels (or None), the classes' names, notes for the user, and the CSV
    that told all this, where one did."""

    names: list[str]
    labels: list[int] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""


def read_folder(path: Path, options: ReadOptions) -> tuple[ImageSet, list[str]]:
    """Pictures in a folder or archive → the set, and each image's name within it, in the set's order.

    Layouts: `CLASS/picture`; pictures alone; pictures with a CSV (`image_name,label`) named `labels.csv`, or the only
    one there, or `FOLDER.csv` beside; each also below `train/`, `test/`, `valid/` or with one CSV a part (`train.csv`
    …; `data.parts` says which names, and when folders are parts). Without labels pictures beside and inside of folders
    are all read. A CSV of two columns, of which one names pictures, is read under any header or none where it has one
    of these names, or where labels are asked for (`labels` True, and not "any") and no class folders give them; there
    another CSV is refused, and elsewhere it gives no labels, nor does one with confidences, a model's guesses. Without
    labels a CSV counts where it names a part's pictures, and nowhere else. Links are followed. Hidden files and
    folders are left out, and so is the grid beside pictures that genshift drew. What was read as what, and what was not
    read, stands in the notes. `path` may be the CSV itself; where all of its names are absolute, its pictures may lie
    anywhere. Raises Refusal where there is no picture, folders may be parts or classes, the CSV names a picture that is
    missing, or a folder or picture cannot be read (left out, with a note, where `skip_broken`).
    """
    found, listing = look_through(path, options)
    layout = layout_of(found, listing)
    names = layout.names[: options.limit]  # before decoding, which is what takes time
    pictures = read_pictures(
        found.files, names, options.size, options.colour, skip_broken=options.skip_broken, decoding=options.decoding
    )
    return set_of(path, found, layout, pictures), [names[place] for place in pictures.kept]


def set_of(path: Path, found: Found, layout: Layout, pictures: Pictures) -> ImageSet:
    """The pictures that were read, with their labels, and notes on what was read as what and what was not."""
    labels, classes = None, layout.classes
    if found.options.labels and layout.labels is not None:
        labels = torch.tensor([layout.labels[place] for place in pictures.kept])
    else:
        classes = ()
    name = name_of(path)
    unread = "; ".join(part for part in (unread_of(found.files, found.names, layout.source), pictures.further) if part)
    told = [f"{name}: {note}" for note in (*layout.notes, f"not read: {unread}." if unread else "") if note]
    notes = (*told, *pictures.notes)
    return ImageSet(name, pictures.images, labels, classes, notes=notes, digests=pictures.digests)


def parts_in(path: Path) -> set[str]:
    """The parts that `read_folder` can read of a folder or archive; none where it is not parted."""
    # What is left out here is refused where the pictures are read.
    return parts_of(look_through(path, ReadOptions(labels=False, skip_broken=True))[0])


def parts_of(found: Found) -> set[str]:
    """The parts of a folder that was looked through."""
    return {*found.listings, *(found.parts.folders if len(found.parts.folders) > 1 else ())}


def name_of(path: Path) -> str:
    """What a folder, archive or CSV is called as a set."""
    return path.stem if path.suffix.lower() == ".csv" else path.resolve().name


def look_through(path: Path, options: ReadOptions) -> tuple[Found, Path | None]:
    """Looks through a folder or archive, or that of a CSV (or where it says), which is then given back too; Refusal
    where there is no picture."""
    listing = path if path.suffix.lower() == ".csv" else None
    if listing is None:
        files: Files = open_files(path, options.skip_broken)
    else:
        rows = listing_of(listing, csv_rows(listing, _bytes(listing), options)).rows
        away = bool(rows) and all(os.path.isabs(row[0].strip()) for row in rows)
        names = [row[0].strip() for row in rows]
        files = ListedFiles(names) if away else open_files(path.parent, options.skip_broken)
    drawn = {name.removesuffix(NOTE) + SHEET for name in files.names if name.rpartition("/")[2] == NOTE}
    names = [name for name in files.names if name not in drawn and _is_picture(files, name)]
    if not names:
        unread = unread_of(files, [])
        raise Refusal(
            f"{files.path} holds no picture{unread and f' (not read: {unread})'}: expected PNG, JPEG or the like in it "
            "or in class folders; check the path."
        )
    # An archive may wrap everything into one folder, which then means nothing.
    tops = {name.partition("/")[0] for name in files.names}
    wraps = not files.path.is_dir() and len(tops) == 1 and all("/" in name for name in files.names)
    top = f"{tops.pop()}/" if wraps else ""
    found = Found(files, names, top, find_parts(files.path, names, top), {}, options)
    for name in _csvs(files, top):
        if (part := part_of(PurePosixPath(name).stem)) and _lists(found.listing(name), named=True):
            found.listings.setdefault(part, []).append(name)
    return found, listing


def _is_picture(files: Files, name: str) -> bool:
    """Whether a file is read: by its suffix, or by its first bytes where it has none."""
    if is_picture(name):
        return True
    try:
        return not PurePosixPath(name).suffix and begins_picture(files.head(name, HEAD))
    except OSError:
        return True  # reading the pictures says that it cannot be read


def unread_of(files: Files, names: Sequence[str], source: str = "") -> str:
    """What of a folder is none of the pictures `names`, nor read beside them (labels, from `source`), by kind."""
    kinds, pictures = Counter(files.left_out), set(names)
    others = [name for name in files.names if name not in pictures and not _serves(files, name, source)]
    for name in others:
        suffix = PurePosixPath(name).suffix.lower()
        drawn = "contact sheet(s) of genshift's" if is_picture(name) else ""
        kinds[drawn or (f"of {suffix}" if suffix else "without a suffix")] += 1
    told = [f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])) if count]
    if len(told) > MAX_KINDS:
        told = [*told[:MAX_KINDS], f"files of {len(told) - MAX_KINDS} further kinds"]
    # A class that is made of nothing else would be missed.
    holding = {str(folder) for name in names for folder in PurePosixPath(name).parents} if others else set()
    bare = sorted({folder for name in others if (folder := name.rpartition("/")[0]) and folder not in holding})
    return ", ".join(told) + (f"; no picture in {listed(bare)}" if bare else "")


def _serves(files: Files, name: str, source: str) -> bool:
    """Whether a file is read beside the pictures, or would be for labels or another part."""
    path = PurePosixPath(name)
    csv = path.suffix.lower() == ".csv" and (path.name.lower() == LABELS or part_of(path.stem) is not None)
    return csv or path.name == NOTE or str(files.path / name) == source


def layout_of(found: Found, listing: Path | None) -> Layout:
    """The pictures of a part, and their labels. Labels that need not be there are no reason to read nothing: where they
    cannot be read, a note says why."""
    try:
        return _scan(found, listing)
    except Refusal as refusal:
        if found.options.labels != "any":
            raise
        layout = _scan(replace(found, options=replace(found.options, labels=False)), listing)
        return replace(layout, labels=None, notes=(*layout.notes, f"{UNREAD}: {refusal}"))


def _scan(found: Found, listing: Path | None) -> Layout:
    """The pictures of a part by whichever layout there is; `listing` is a CSV that the user named."""
    split, labels, folders = (
        part_of(found.options.split) or found.options.split,
        found.options.labels,
        found.parts.folders,
    )
    there = split in folders or split in found.listings or (split == "train" and len(folders) < 2)
    if listing is None and split != "all" and not there:
        raise _no_part(found, split)
    below = found.below(split)
    own = [name for name in found.names if name.startswith(tuple(below))]
    elsewhere = set() if listing else _of_other_parts(found, split)

    # A CSV that the user named, or with labels that are wanted, or without which there would be none.
    where, table = _csv(found, below, split, listing) or ("", Listing())
    # Without labels a CSV matters only where it parts the pictures: what it says of some is no reason to drop others.
    parts = part_of(Path(where).stem) == split
    named = parts or Path(where).name.lower() == LABELS or where == str(_beside(found.files))
    needed = where and labels is True and not _guesses(table) and len(set(_folders(own, below).values())) < 2
    if listing is not None or ((labels or parts) and _lists(table, named)) or needed:
        layout = _from_csv(found, _prefixes(found, split), where, table, set() if parts else elsewhere)
        left = len(set(own) - set(layout.names) - elsewhere)
        note = f"{left:,} picture(s) that {Path(where).name} does not name: not read." if left else ""
        told = (found.parts.note if listing is None else "", table.note, note)
        return replace(layout, notes=told, source=where)
    if found.parts.doubt and split != "all":
        raise Refusal(found.parts.doubt)
    layout = _from_names(found, [name for name in own if name not in elsewhere], below)
    return replace(layout, notes=(found.parts.note, *layout.notes))


def _no_part(found: Found, split: str) -> Refusal:
    """The sentence for a part that is not there."""
    path, folders = found.files.path, sorted(PurePosixPath(folder).name for folder in found.parts.folders.values())
    if folders:
        return Refusal(
            f"{path} has no part '{split}': it has {', '.join(folders)}; name {path / folders[-1]} to read that alone."
        )
    return Refusal(
        found.parts.doubt
        or f"{path} has no part '{split}': put its pictures into the subfolders train and {split}, or add a "
        f"{split}.csv (image_name,label)."
    )


def _prefixes(found: Found, split: str) -> list[str]:
    """Below which a CSV's names are sought, in this order."""
    below = [f"{folder}{inner}" for folder in found.below(split) for inner in ("", "data/", "images/")]
    return [*below, found.top, ""]


def _of_other_parts(found: Found, split: str) -> set[str]:
    """The pictures that lie in other parts' folders, or that other parts' CSVs name."""
    if split == "all":
        return set()
    others = tuple(folder for folder in found.parts.folders.values() if folder not in found.below(split))
    names, known = {name for name in found.names if name.startswith(others)}, _known(found.names)
    for part in found.listings.keys() - {split}:
        prefixes = _prefixes(found, part)
        rows = [row for name in found.listings[part] for row in found.listing(name).rows]
        names.update(place for row in rows if (place := _place(found.files, known, prefixes, row[0])))
    return names


def _known(names: Sequence[str]) -> dict[str, str]:
    """The pictures by their names, and by these with composed accents."""
    return {composed(name): name for name in names} | {name: name for name in names}


def _place(files: Files, known: Mapping[str, str], prefixes: Sequence[str], name: str) -> str | None:
    """The picture that a CSV means by a name, or by an absolute path; None where there is none."""
    name = name.strip()
    if os.path.isabs(name):
        roots = (f"{root}/" for root in (files.path.absolute(), files.path.resolve()))
        inside = next((name.removeprefix(root) for root in roots if name.startswith(root)), None)
        paths = [] if inside is None else [inside]
    else:
        paths = [prefix + name for prefix in prefixes]
    return next((known[path] for path in (*paths, *map(composed, paths)) if path in known), None)


def _csvs(files: Files, below: str) -> list[str]:
    """The CSVs that lie in a folder, and in none of its own."""
    inside = [name for name in files.names if name.lower().endswith(".csv") and name.startswith(below)]
    return [name for name in inside if "/" not in name.removeprefix(below)]


def _beside(files: Files) -> Path:
    """The CSV that lies beside a folder under its name, where there is one."""
    return files.path.parent / f"{files.path.name}.csv"


def _csv(found: Found, below: Sequence[str], split: str, given: Path | None) -> tuple[str, Listing] | None:
    """The CSV's name and what it says, or None where there is none."""
    files, beside = found.files, _beside(found.files)
    if given is not None:
        return str(given), listing_of(given, csv_rows(given, _bytes(given), found.options))

    # By its name, else the only one beside the pictures, else the only one there that lists labels.
    named = [name for name in _csvs(files, below[0]) if name.lower() == f"{below[0]}{LABELS}".lower()]
    own = found.listings.get(split, [])
    shared = [name for name in _csvs(files, found.top) if name.lower() == f"{found.top}{LABELS}".lower()]
    free = [name for name in _csvs(files, below[0]) if part_of(PurePosixPath(name).stem) in (None, split)]
    chosen = named or own or shared or free
    if not found.options.labels:  # others are not even opened: they may be broken
        chosen = [name for name in chosen if part_of(PurePosixPath(name).stem) == split]
    for loosely in (False, True):  # of several the one with the header, else the one that can be read without
        if len(chosen) > 1:
            listing = [name for name in chosen if _lists(found.listing(name), loosely)]
            chosen = listing if listing or loosely else chosen
    if len(chosen) > 1:
        raise Refusal(
            f"{files.path} holds {len(chosen)} CSV files ({', '.join(chosen[:3])}): name the one with the labels "
            "labels.csv."
        )
    if chosen:
        return str(files.path / chosen[0]), found.listing(chosen[0])
    if not files.path.is_dir() or not beside.is_file() or not (found.options.labels or part_of(beside.stem) == split):
        return None
    return str(beside), listing_of(beside, csv_rows(beside, _bytes(beside), found.options))


def _guesses(listing: Listing) -> bool:
    """Whether a CSV is what `genshift predict` wrote."""
    return "confidence" in listing.head


def _lists(listing: Listing, named: bool = False) -> bool:
    """Whether a CSV names pictures and their labels; one that is `named` for it does so under any header, or none."""
    return (listing.exact or (named and not listing.against)) and not _guesses(listing)


def _from_csv(
    found: Found, prefixes: Sequence[str], where: str, listing: Listing, elsewhere: AbstractSet[str]
) -> Layout:
    """The pictures that a CSV lists, in its order, but for those `elsewhere`, in other parts; its names are sought
    below each of `prefixes`, and its labels are not looked at where none are wanted."""
    if listing.against:
        raise Refusal(listing.against)
    if not listing.rows:
        raise Refusal(f"{where} names no picture: expected lines 'image_name,label'.")

    # Every line must name one picture that is there, once: a label that goes astray would be silent.
    known = _known(found.names)
    chosen: dict[str, str] = {}
    for number, row in enumerate(listing.rows, listing.first):
        if found.options.labels:
            check_uncut(where, number, row, max(len(HEADER), len(listing.head)))
        label = label_in(where, number, row) if found.options.labels else ""
        place = _place(found.files, known, prefixes, row[0])
        if place is None:
            name = row[0].strip()
            shown = name if len(name) <= 60 else f"…{name[-59:]}"
            raise Refusal(
                f"{where} names '{shown}' in line {number}, which is not in {found.files.path}: add the picture or "
                "remove the line."
            )
        if place in chosen:
            raise Refusal(
                f"{where} names '{row[0].strip()}' twice, again in line {number}: expected each picture once."
            )
        chosen[place] = label
    chosen = {place: label for place, label in chosen.items() if place not in elsewhere}
    return _classed(where, chosen) if found.options.labels else Layout(list(chosen))


def check_uncut(where: str, number: int, row: Sequence[str], columns: int) -> None:
    """Refuses a line of more than the header's columns: a comma in its label would cut that."""
    if any(cell.strip() for cell in row[columns:]):
        raise Refusal(
            f"{where} holds more in line {number} ('{','.join(row)[:60]}') than its header names: put a label with a "
            "comma into quotes, or name the column."
        )


def label_in(where: str, number: int, row: Sequence[str]) -> str:
    """The label in a line, as it is written; Refusal where there is none."""
    label = composed(row[1].strip()) if len(row) > 1 else ""
    if not label:
        raise Refusal(f"{where} gives no label in line {number} ('{','.join(row)[:60]}'): expected 'image_name,label'.")
    if label in MISSING:
        raise Refusal(
            f"{where} gives the label '{label}' in line {number}, which programs write where there is none: write the "
            "label, or remove the line; if it is a class, give that another name."
        )
    if LOST in label:
        raise Refusal(
            f"{where} gives the label '{label[:60]}' in line {number}, of which a program has lost letters: expected "
            "labels as they were written; export the file again, as UTF-8."
        )
    return label


def csv_rows(where: Path, data: bytes, options: ReadOptions) -> list[list[str]]:
    """The rows that hold anything; Refusal where bytes are no text, a quote is not closed or the like."""
    # Without labels the pictures' names alone count, whose bytes may be any.
    text = decode_text(data, where, options.encoding, "strict" if options.labels else "surrogateescape")
    delimiter = delimiter_of(where, text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
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
    """Labels become classes as they are written, "07" and "7" two of them: those that occur, and no others."""
    words = list(chosen.values())
    if all(word.lstrip("+-").isdecimal() for word in words):
        wrong = next((word for word in words if not LABEL.fullmatch(word) or int(word) >= MAX_CLASSES), None)
        if wrong is not None:
            raise Refusal(
                f"{where} gives the label {wrong[:40]}: expected whole numbers from 0 to {MAX_CLASSES - 1:,}, or "
                "words; correct the file."
            )
    classes = _in_order(set(words))
    return Layout(list(chosen), [classes.index(word) for word in words], classes)


def _in_order(classes: set[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers where all are numbers ("7" after "07"), else of the alphabet."""
    if not all(map(LABEL.fullmatch, classes)):
        return tuple(sorted(classes))
    return tuple(sorted(classes, key=lambda name: (int(name), name)))


def _from_names(found: Found, names: Sequence[str], below: Sequence[str]) -> Layout:
    """Class folders where every picture lies in one of two or more folders; otherwise no labels."""
    where = found.files.path / below[0]
    if not names:
        raise Refusal(f"{where} holds no picture: expected PNG, JPEG or the like; check the path.")
    folder_of = _folders(names, below)
    folders = set(folder_of.values())
    if (loose := sum(not folder for folder in folder_of.values())) and len(folders) > 1:
        inside = f"{len(names) - loose:,} inside of them ({listed(sorted(folders - {''}))})"
        if found.options.labels:
            raise Refusal(
                f"{where} holds pictures both beside and inside of its folders, {loose:,} beside and {inside}: which "
                "class the former are of cannot be told; put every picture into a class folder, or all into one folder."
            )
        return Layout(list(names), notes=(f"{loose:,} picture(s) beside its folders and {inside}: all are read.",))
    if len(folders) < 2:  # one folder parts nothing
        return Layout(list(names))
    # Class by class, and by name within one: an order that does not hang on how a system lists folders.
    alike = sorted(folder for folder in folders if folder != composed(folder) and composed(folder) in folders)
    note = f"two folders are named {alike[0]}, one with composed accents: they are read as one class." if alike else ""
    folder_of = {name: composed(folder) for name, folder in folder_of.items()}
    classes = _in_order(set(folder_of.values()))
    number_of = {name: number for number, name in enumerate(classes)}
    ordered = sorted(names, key=lambda name: (number_of[folder_of[name]], name))
    return Layout(ordered, [number_of[folder_of[name]] for name in ordered], classes, (note,))


def _folders(names: Sequence[str], below: Sequence[str]) -> dict[str, str]:
    """Of each picture, the folder that it lies in below one of `below`; nothing where it lies in none."""
    folders = {}
    for name in names:
        inner = name.removeprefix(next(prefix for prefix in below if name.startswith(prefix)))
        folders[name] = inner.rpartition("/")[0].partition("/")[0]
    return folders


def _bytes(path: Path) -> bytes:
    """A CSV that lies beside the pictures."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
