"""`load`: any data set, by name or path, as one `ImageSet`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from genshift.data import idx, libsvm, mat
from genshift.data.catalog import CATALOG, lookup
from genshift.data.dataset import Background, Colour, DataSet, Decoding, Fit, Labels, Location, ReadOptions
from genshift.data.files import is_archive
from genshift.data.folders import parts_in, read_folder
from genshift.data.imageset import ImageSet
from genshift.data.packed import is_packed, open_packed, read_facts
from genshift.data.parts import part_of, told
from genshift.data.pixels import check_options, finish
from genshift.data.places import absent, find, notes_on
from genshift.data.text import UTF8, check_encoding
from genshift.errors import Refusal, of_os_error, unknown
from genshift.paths import given_path

Named = tuple[ImageSet, list[str] | None]  # a set, and its pictures' names where they are files


def load(
    name_or_path: str | Path,
    split: str = "train",
    *,
    data_root: Path | str | None = None,
    size: int | None = None,
    colour: Colour | None = None,
    labels: bool = True,
    skip_broken: bool = False,
    limit: int | None = None,
    fit: Fit = "crop",
    background: Background = "white",
    depth: int = 0,
    encoding: str = UTF8,
) -> ImageSet:
    """The images of a data set by its name, or of a folder, archive or file of the user's.

    size: side in pixels, square; each set's rule is in its declaration; a user's pictures are
    cropped to their centred square (the whole shorter side) and resized, bilinear with antialiasing (from four
    times the size on, areas are averaged first). None keeps the set's own.
    colour: 'rgb' repeats grey to 3 channels, 'grey' takes ITU-R 601 luma into 1; None keeps the set's own.
    labels: False leaves the labels unread where the format allows, and sealed in any case.
    limit: only the first so many images.
    fit: "pad" sets a rectangular picture whole on a black square instead. background: what lies under transparent
    parts. depth: bits that 16-bit values hold; 0: 16, refused where that would leave every picture dark.
    encoding: of a CSV with labels, where no mark at its beginning tells it.

    Raises Refusal, in one sentence, for a name that is unknown, a set that is absent, a file that is damaged.
    """
    return load_named(
        name_or_path, split, data_root=data_root, size=size, colour=colour, labels=labels,
        skip_broken=skip_broken, limit=limit, fit=fit, background=background, depth=depth,
        encoding=encoding,
    )[0]  # fmt: skip


def load_named(
    name_or_path: str | Path,
    split: str = "train",
    *,
    data_root: Path | str | None = None,
    size: int | None = None,
    colour: Colour | None = None,
    labels: Labels = True,
    skip_broken: bool = False,
    limit: int | None = None,
    fit: Fit = "crop",
    background: Background = "white",
    depth: int = 0,
    encoding: str = UTF8,
) -> tuple[ImageSet, list[str]]:
    """As `load`, with one name an image: its file's for pictures in folders and archives, else its number."""
    decoding = Decoding(fit, background, depth)
    check_options(size, colour, limit, decoding)
    check_encoding(encoding)
    options = ReadOptions(split, size, colour, labels, limit, skip_broken, decoding, encoding)
    name, path = str(name_or_path), given_path(name_or_path)
    # A data set's name goes before a path: `./mnist` is a folder of that name.
    if (data := lookup(name)) is not None:
        images, names = _from_catalog(data, data_root, options, path if path.exists() else None)
    elif is_packed(path) or is_packed(path / split) or packed_parts(path):
        images, names = _packed(path, split, bool(labels)), None
    elif (known := _published_in(path)) is not None:
        images, names = _from_catalog(known, path.parent, options)
    elif path.exists() or path.suffix.lower() == ".csv":
        images, names = _from_path(path, options)
    elif "/" in name or name.startswith((".", "~")):
        sets = ", ".join(CATALOG)
        raise Refusal(f"There is no folder or file {name}: check the path, or give a set's name ({sets}).")
    else:
        raise unknown("data set", name, CATALOG, "`genshift ls` lists them; a path to a folder works too.")

    if limit is not None and len(images) > limit:
        images = images.take(slice(limit))
    # Readers of pictures bring them to size one by one; the other formats have one size already.
    images = replace(images.checked(name), images=finish(images.images, size, colour, fit))
    return (images if labels else images.sealed()), names or [str(number) for number in range(len(images))]


def _from_catalog(
    data: DataSet, data_root: Path | str | None, options: ReadOptions, namesake: Path | None = None
) -> Named:
    """A split of a data set, from the first place where it lies; `namesake` is what else its name might mean."""
    # Where it lies
    if options.split not in data.splits:
        raise unknown("split", options.split, data.splits, f"'{data.name}' has these.")
    location = find(data, options.split, data_root, bool(options.labels))
    if location is None:
        raise absent(data, options.split, data_root, namesake)
    if location.built:
        images = open_packed(location.path, bool(options.labels))
        note = f"{data.name}: the set that genshift built is used, not the published archive."
        return replace(images, notes=(*images.notes, note), catalogued=True), None

    # What is in it
    names = None
    if data.read is not None:
        images = data.read(location, options)
    else:
        images, names = read_folder(location.path, options)

    # What is not as published is said, so that a result can be held against others'.
    notes = list(images.notes)
    if namesake is not None and namesake.resolve() not in (where := location.path.resolve(), *where.parents):
        notes.append(f"{data.name} is read as the data set of that name; for {namesake.resolve()} give ./{namesake}.")
    if data.built:
        notes.append(
            f"{data.name}: the published layout is used ({location.path.name}); no set that genshift built was found."
        )
    notes += notes_on(data, location)
    published = data.published_counts[options.split]
    if options.limit is None and len(images) != published:
        notes.append(
            f"{data.name}: {len(images):,} {options.split} images are here; the published set has {published:,}."
        )
    return replace(images, name=data.name, notes=tuple(notes), catalogued=True), names


def _packed(path: Path, split: str, labels: bool) -> ImageSet:
    """The packed set of a split below `path`, or `path` itself, which then has no part of its own to test on."""
    if is_packed(path):
        if split not in ("train", "all"):
            raise Refusal(
                f"{path} is one packed set without a part '{split}': pack that into {path.name}/{split} instead."
            )
        return open_packed(path, labels)
    parts = packed_parts(path)
    folder = packed_part(path, split)
    if folder is None:
        there = ", ".join(folder.name for folder in parts.values())
        raise Refusal(f"{path} has no packed part '{split}': it has {there}; pack that into {path.name}/{split}.")
    images = open_packed(folder, labels)
    note = told({part: (folder.name, read_facts(folder)["shape"][0]) for part, folder in parts.items()})
    return replace(images, notes=(*images.notes, f"{path.resolve().name}: {note}")) if len(parts) > 1 else images


def packed_part(path: Path, split: str) -> Path | None:
    """The packed set below `path` that is this part of it, or None."""
    return path / split if is_packed(path / split) else packed_parts(path).get(part_of(split) or split)


def packed_parts(path: Path) -> dict[str, Path]:
    """The packed sets below a folder that are its parts, by their names; Refusal where two are one part."""
    try:
        names = sorted(name for name in os.listdir(path) if part_of(name)) if path.is_dir() else []
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    parts: dict[str, Path] = {}
    for name in names:
        if is_packed(path / name) and (there := parts.setdefault(part_of(name) or "", path / name)).name != name:
            raise Refusal(f"{path} holds {there.name} and {name}, which name one part: rename or move one of them.")
    return parts


def splits_of(name_or_path: str | Path) -> set[str]:
    """The splits of a set that `load` reads, "train" among them; of a set by its name, those that were published."""
    path = given_path(name_or_path)
    if (data := lookup(name_or_path)) is not None:
        return set(data.splits)
    if is_packed(path) or (parts := packed_parts(path)):
        return {"train"} if is_packed(path) else set(parts)
    if (known := _published_in(path)) is not None:
        return {split for split in known.splits if find(known, split, path.parent)}
    if (known := _is_all_of(path)) is not None:
        return set(known.splits)
    return {"train", *(parts_in(path) if path.is_dir() or is_archive(path) else ())}


def is_pictures(name_or_path: str | Path) -> bool:
    """Whether it is a folder, archive or CSV of a user's pictures, and no set by its name or format."""
    path = given_path(name_or_path)
    if lookup(name_or_path) is not None or not (path.exists() or path.suffix.lower() == ".csv"):
        return False
    known = is_packed(path) or packed_parts(path) or _published_in(path) or _is_all_of(path)
    return not known and (path.is_dir() or path.suffix.lower() == ".csv" or is_archive(path))


def _published_in(path: Path) -> DataSet | None:
    """The data set whose published files lie in this folder, as in `data/mnist`, or None."""
    for data in CATALOG.values():
        names = [name for file in data.files for name in (file.name, *file.unpacked)]
        if path.name in data.folders and any((path / name).is_file() for name in names):
            return data
    return None


def _is_all_of(path: Path) -> DataSet | None:
    """The data set that a file is the only file of, by its name, or None."""
    sets = (data for data in CATALOG.values() if data.read is not None)
    return next((data for data in sets if [file.name for file in data.files] == [path.name]), None)


def _from_path(path: Path, options: ReadOptions) -> Named:
    """A folder, archive or CSV of pictures, or one file in a format of published sets, by its name."""
    name, labels = path.name.lower(), bool(options.labels)
    # An archive that is all of a set is read as that set: its folders are no classes.
    if (data := _is_all_of(path)) is not None and data.read is not None:
        return data.read(Location(path, {path.name: path}), options), None
    if path.is_dir() or name.endswith(".csv") or is_archive(path):
        return read_folder(path, options)
    if name.endswith(".mat"):
        return mat.read_digits(path.stem, path, labels, options.limit), None
    if name.endswith(".bz2"):
        return libsvm.read_digits(path.stem, path, labels, options.limit), None
    if "idx3-ubyte" in name:
        beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        return idx.read_digits(path.stem, path, beside if labels and beside.is_file() else None, options.limit), None
    raise Refusal(
        f"{path} is no data set that genshift reads: expected a folder, a zip or tar of pictures, a CSV, or a file "
        "named *idx3-ubyte(.gz), *.bz2 (LIBSVM), *.mat (SVHN) or mnist_m.tar.gz."
    )
