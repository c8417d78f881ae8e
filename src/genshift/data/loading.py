"""`load`: any data set, by name or path, as one `ImageSet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genshift.data.catalog import CATALOG, DataSet, entry
from genshift.data.celeba import read_celeba
from genshift.data.embedded import read_embedded
from genshift.data.files import is_archive
from genshift.data.folders import Labels, read_folder
from genshift.data.idx import read_mnist
from genshift.data.imageset import ImageSet
from genshift.data.libsvm import read_usps
from genshift.data.mat import read_svhn
from genshift.data.mnistm import read_mnistm
from genshift.data.packed import is_packed, open_packed
from genshift.data.pixels import Colour, check_options, finish
from genshift.data.places import absent, built_folder, find_files, notes_on, unpacked_folder
from genshift.errors import Refusal, unknown


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
    """The images of a catalog set, or of a folder, archive or file of the user's.

    size: side in pixels, square; each set's rule is in its catalog entry; a user's pictures are
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
    name, wanted = str(name_or_path), bool(labels)
    path = Path(name).expanduser()
    if name in CATALOG:
        found = _from_catalog(entry(name), split, data_root, size, colour, wanted, limit, skip_broken)
    elif is_packed(path) or is_packed(path / split):
        found = _packed(path, split, wanted)
    elif (known := _known_folder(path)) is not None:
        found = _from_catalog(known, split, path.parent, size, colour, wanted, limit, skip_broken)
    elif path.is_dir() or path.suffix.lower() == ".csv" or (path.is_file() and _holds_pictures(path)):
        found, names = read_folder(
            path, split, size=size, colour=colour, labels=labels, skip_broken=skip_broken, limit=limit
        )
        return (found if labels else found.sealed()), names
    elif path.is_file():
        found = _from_file(path, split, size, colour, wanted, limit)
    else:
        raise _no_such(name)
    if limit is not None and len(found) > limit:
        found = _first(found, limit)
    found = replace(found, images=finish(found.images, size, colour))
    return (found if labels else found.sealed()), [str(number) for number in range(len(found))]


def _packed(path: Path, split: str, labels: bool) -> ImageSet:
    """The packed set of a split below `path`, or `path` itself, which then has no part of its own to test on."""
    if not is_packed(path):
        return open_packed(path / split, labels)
    if split not in ("train", "all"):
        raise Refusal(f"{path} is one packed set without a part '{split}': pack that into {path.name}/{split} instead.")
    return open_packed(path, labels)


def _no_such(name: str) -> Refusal:
    if "/" in name or name.startswith((".", "~")):
        return Refusal(
            f"There is no folder or file {name}: check the path, or give a set's name ({', '.join(CATALOG)})."
        )
    return unknown("data set", name, CATALOG, "`genshift ls` lists them; a path to a folder works too.")


def _known_folder(path: Path) -> DataSet | None:
    """The catalog set whose published files lie in this folder, as in `data/mnist`, or None."""
    for data in CATALOG.values():
        names = [name for file in data.files for name in file.names]
        if path.name in data.folders and any((path / name).is_file() for name in names):
            return data
    return None


def _holds_pictures(path: Path) -> bool:
    return is_archive(path) and path.name != "mnist_m.tar.gz"


def _first(images: ImageSet, limit: int) -> ImageSet:
    """The first `limit` images as views, so that a memory map stays one."""
    return replace(
        images,
        images=images.images[:limit],
        labels=None if images.labels is None else images.labels[:limit],
        attributes=None if images.attributes is None else images.attributes[:limit],
    )


def _from_catalog(
    data: DataSet,
    split: str,
    data_root: Path | str | None,
    size: int | None,
    colour: Colour | None,
    labels: bool,
    limit: int | None,
    skip_broken: bool,
) -> ImageSet:
    if split not in data.splits:
        raise unknown("split", split, data.splits, f"'{data.name}' has these.")
    if data.embedded:
        return read_embedded(data.name, split, labels)
    if data.name == "mnistm":
        return _mnistm(data, split, data_root, size, colour, labels, limit)
    if data.name == "celeba":
        return _celeba(data, split, data_root, size, colour, limit, skip_broken)
    needed = tuple(f.name for f in data.files if f.split == split and (labels or "labels" not in f.name))
    found = find_files(data, split, data_root, needed)
    if found is None:
        raise absent(data, split, data_root)
    read = {"mnist": _mnist, "usps": _usps, "svhn": _svhn}[data.name]
    images = read([found.path(each) for each in needed], labels, limit)
    return replace(images, notes=images.notes + notes_on(data, found) + _count_note(data, split, len(images), limit))


def _mnist(paths: list[Path], labels: bool, limit: int | None) -> ImageSet:
    return read_mnist("mnist", paths[0], paths[1] if labels else None, limit)


def _usps(paths: list[Path], labels: bool, limit: int | None) -> ImageSet:
    return read_usps("usps", paths[0], labels, limit)


def _svhn(paths: list[Path], labels: bool, limit: int | None) -> ImageSet:
    return read_svhn("svhn", paths[0], labels, limit)


def _mnistm(
    data: DataSet,
    split: str,
    data_root: Path | str | None,
    size: int | None,
    colour: Colour | None,
    labels: bool,
    limit: int | None,
) -> ImageSet:
    built = built_folder("mnistm", data_root)
    if built is not None:
        images = open_packed(built / split, labels)
        note = "mnistm: the set that genshift built is used, not the published archive."
        return replace(images, notes=(*images.notes, note))
    found = find_files(data, split, data_root, ("mnist_m.tar.gz",))
    folder = unpacked_folder(data, data_root)
    if found is None and folder is None:
        raise absent(data, split, data_root)
    path = found.path("mnist_m.tar.gz") if found else folder
    assert path is not None
    images = read_mnistm("mnistm", path, split, size=size, colour=colour, labels=labels, limit=limit)
    notes = notes_on(data, found) if found else ()
    note = f"mnistm: the published layout is used ({path.name}); no set that genshift built was found."
    return replace(images, notes=(*images.notes, note, *notes, *_count_note(data, split, len(images), limit)))


def _celeba(
    data: DataSet,
    split: str,
    data_root: Path | str | None,
    size: int | None,
    colour: Colour | None,
    limit: int | None,
    skip_broken: bool,
) -> ImageSet:
    found = find_files(data, split, data_root, ("img_align_celeba.zip",))
    folder = unpacked_folder(data, data_root)
    if found is None and folder is None:
        raise absent(data, split, data_root)
    home = found.folder if found else folder
    assert home is not None
    images = found.path("img_align_celeba.zip") if found else home / "img_align_celeba"
    lists = {
        name: home / name for name in ("list_attr_celeba.txt", "list_eval_partition.txt") if (home / name).is_file()
    }
    faces = read_celeba(
        "celeba", images, lists.get("list_attr_celeba.txt"), lists.get("list_eval_partition.txt"), split,
        size=size, colour=colour, limit=limit, skip_broken=skip_broken,
    )  # fmt: skip
    return replace(faces, notes=faces.notes + (notes_on(data, found) if found else ()))


def _count_note(data: DataSet, split: str, count: int, limit: int | None) -> tuple[str, ...]:
    published = data.published_counts[split]
    if limit is not None or count == published:
        return ()
    return (f"{data.name}: {count:,} {split} images are here; the published set has {published:,}.",)


def _from_file(
    path: Path, split: str, size: int | None, colour: Colour | None, labels: bool, limit: int | None
) -> ImageSet:
    """One file in a format of the catalog's sets, told by its name."""
    name = path.name.lower()
    if name == "mnist_m.tar.gz":
        return read_mnistm("mnistm", path, split, size=size, colour=colour, labels=labels, limit=limit)
    if name.endswith(".mat"):
        return read_svhn(path.stem, path, labels, limit)
    if name.endswith(".bz2"):
        return read_usps(path.stem, path, labels, limit)
    if "idx3-ubyte" in name:
        beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        return read_mnist(path.stem, path, beside if labels and beside.is_file() else None, limit)
    raise Refusal(
        f"{path} is no data set that genshift reads: expected a folder, a zip or tar of pictures, a CSV, or "
        "a file "
        "named *idx3-ubyte(.gz), *.bz2 (LIBSVM), *.mat (SVHN) or mnist_m.tar.gz."
    )
