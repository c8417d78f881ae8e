"""`load`: any data set, by name or path, as one `ImageSet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genshift.data import idx, libsvm, mat
from genshift.data.catalog import CATALOG, lookup
from genshift.data.dataset import Colour, DataSet, Labels, Location, ReadOptions
from genshift.data.files import is_archive
from genshift.data.folders import read_folder
from genshift.data.imageset import ImageSet
from genshift.data.packed import is_packed, open_packed
from genshift.data.pixels import check_options, finish
from genshift.data.places import absent, find, notes_on
from genshift.errors import Refusal, unknown
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
) -> ImageSet:
    """The images of a data set by its name, or of a folder, archive or file of the user's.

    size: side in pixels, square; each set's rule is in its declaration; a user's pictures are
    cropped to their centred square (the whole shorter side) and resized, bilinear with antialiasing (from four
    times the size on, areas are averaged first). None keeps the set's own.
    colour: 'rgb' repeats grey to 3 channels, 'grey' takes ITU-R 601 luma into 1; None keeps the set's own.
    labels: False leaves the labels unread where the format allows, and sealed in any case.
    limit: only the first so many images.

    Raises Refusal, in one sentence, for a name that is unknown, a set that is absent, a file that is damaged.
    """
    return load_named(
        name_or_path, split, data_root=data_root, size=size, colour=colour, labels=labels,
        skip_broken=skip_broken, limit=limit,
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
) -> tuple[ImageSet, list[str]]:
    """As `load`, with one name an image: its file's for pictures in folders and archives, else its number."""
    check_options(size, colour, limit)
    options = ReadOptions(split, size, colour, labels, limit, skip_broken)
    name, path = str(name_or_path), given_path(name_or_path)
    # A data set's name goes before a path: `./mnist` is a folder of that name.
    if (data := lookup(name)) is not None:
        images, names = _from_catalog(data, data_root, options)
    elif is_packed(path) or is_packed(path / split):
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
    images = replace(images, images=finish(images.images, size, colour))
    return (images if labels else images.sealed()), names or [str(number) for number in range(len(images))]


def _from_catalog(data: DataSet, data_root: Path | str | None, options: ReadOptions) -> Named:
    """A split of a data set, from the first place where it lies."""
    # Where it lies
    if options.split not in data.splits:
        raise unknown("split", options.split, data.splits, f"'{data.name}' has these.")
    location = find(data, options.split, data_root, bool(options.labels))
    if location is None:
        raise absent(data, options.split, data_root)
    if location.built:
        images = open_packed(location.path, bool(options.labels))
        note = f"{data.name}: the set that genshift built is used, not the published archive."
        return replace(images, notes=(*images.notes, note)), None

    # What is in it
    names = None
    if data.read is not None:
        images = data.read(location, options)
    else:
        images, names = read_folder(location.path, options)

    # What is not as published is said, so that a result can be held against others'.
    notes = list(images.notes)
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
    return replace(images, name=data.name, notes=tuple(notes)), names


def _packed(path: Path, split: str, labels: bool) -> ImageSet:
    """The packed set of a split below `path`, or `path` itself, which then has no part of its own to test on."""
    if not is_packed(path):
        return open_packed(path / split, labels)
    if split not in ("train", "all"):
        raise Refusal(f"{path} is one packed set without a part '{split}': pack that into {path.name}/{split} instead.")
    return open_packed(path, labels)


def _published_in(path: Path) -> DataSet | None:
    """The data set whose published files lie in this folder, as in `data/mnist`, or None."""
    for data in CATALOG.values():
        names = [name for file in data.files for name in (file.name, *file.unpacked)]
        if path.name in data.folders and any((path / name).is_file() for name in names):
            return data
    return None


def _from_path(path: Path, options: ReadOptions) -> Named:
    """A folder, archive or CSV of pictures, or one file in a format of published sets, by its name."""
    name, labels = path.name.lower(), bool(options.labels)
    # An archive that is all of a set is read as that set: its folders are no classes.
    for data in CATALOG.values():
        if data.read is not None and [file.name for file in data.files] == [path.name]:
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
