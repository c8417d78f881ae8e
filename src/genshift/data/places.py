"""Where data is looked for. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from genshift.data.catalog import entry
from genshift.data.dataset import DataFile, DataSet, Location
from genshift.errors import Refusal, of_os_error
from genshift.paths import AnyPath, given_path

MAX_HASHED = 256 * 2**20  # bytes; a larger file is judged by its size, since hashing it would take longer than reading
SKLEARN = Path("scikit-learn")  # where embedded sets lie: no real path, for they are always there


def cache_root() -> Path:
    """`$GENSHIFT_CACHE`, or the operating system's folder for a user's caches."""
    if given := os.environ.get("GENSHIFT_CACHE"):
        return given_path(given)
    import pooch  # slow to import, and not needed by most commands

    return Path(pooch.os_cache("genshift"))


def roots(data_root: AnyPath | None = None) -> list[Path]:
    """The folders in which data sets are looked for, in order: `data_root`, `$GENSHIFT_DATA`, the cache. Refusal where
    `data_root` is no folder."""
    named = [] if data_root is None else [given_path(data_root)]
    if named and not named[0].is_dir():
        raise Refusal(f"--data-root {data_root} is no folder: name the folder that holds mnist/, usps/ and so on.")
    # A variable set to nothing is unset.
    return [*named, *(given_path(root) for root in [os.environ.get("GENSHIFT_DATA")] if root), cache_root()]


def find(data: DataSet, split: str, data_root: AnyPath | None = None, labels: bool = True) -> Location | None:
    """Where a split of a set lies on this machine, as `load` reads it; None where it lies nowhere.

    A set that genshift built goes before the published one; else the first folder, in search order, that holds all
    that is needed: the files of the split as published or as unpacked, those with labels only where `labels` are read.
    """
    if data.embedded:
        return Location(SKLEARN)
    # What its user took the trouble to build is what its user means.
    if data.built and (folder := built_folder(data.name, data_root)) is not None:
        return Location(folder / split, built=True)

    # All files come from one folder: images of one copy and labels of another need not belong together.
    of_split = [file for file in data.files if file.split in (None, split)]
    for folder in (root / name for root in roots(data_root) for name in data.folders):
        if not data.files and folder.is_dir():
            return Location(folder)
        files: dict[str, Path] = {}
        for file in of_split:
            path = next((folder / name for name in (file.name, *file.unpacked) if (folder / name).exists()), None)
            if path is not None:
                files[file.name] = path
            elif file.holds == "images" or (file.holds == "labels" and labels):
                break  # what is needed is not here
        else:
            if files:
                return Location(next(iter(files.values())), files)
    return None


def built_folder(name: str, data_root: AnyPath | None) -> Path | None:
    """The first root's folder `name` that holds a packed set with splits, as `genshift data build` writes it."""
    for root in roots(data_root):
        if (root / name / "train" / "set.json").is_file() and (root / name / "test" / "set.json").is_file():
            return root / name
    return None


def absent(data: DataSet, split: str, data_root: AnyPath | None, namesake: Path | None = None) -> Refusal:
    """The sentence for a set that lies nowhere: where it was looked for and how to get it, or what bears its name."""
    looked = ", ".join(str(root) for root in roots(data_root))
    ways = [f"`genshift data get {data.name}` fetches it"] if any(file.urls for file in data.files) else []
    ways += [data.by_hand] if data.by_hand else []
    ways += [f"give ./{namesake} for what lies here"] if namesake is not None else []
    return Refusal(
        f"The {split} images of '{data.name}' were not found; looked in {looked} (folder {data.folders[0]}): "
        f"{', or '.join(ways) or 'put them there'}."
    )


def locate(name: str, data_root: AnyPath | None = None) -> dict[str, Path | None]:
    """For each split of a catalog set, the file or folder on this machine that `load` would read, or None.

    Embedded sets give `Path("scikit-learn")`, which is no real path: they are always there.
    """
    data = entry(name)
    places = {split: find(data, split, data_root) for split in data.splits}
    return {split: place.path if place else None for split, place in places.items()}


def digest(path: Path, kind: str) -> bytes:
    """The checksum of a file, of a kind that hashlib names; Refusal where the file cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, kind).digest()
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error


@lru_cache(maxsize=64)  # more files than all sets have
def _md5(path: Path, size: int, changed: int) -> str:
    """`size` and `changed` are there to be remembered by: a file that was replaced is hashed again."""
    return digest(path, "md5").hex()


def md5_of(path: Path) -> str:
    """The MD5 of a file, remembered while its size and time of change stay the same."""
    status = path.stat()
    return _md5(path, status.st_size, status.st_mtime_ns)


def is_published(file: DataFile, path: Path) -> bool:
    """True where the file has the published checksum; a file above 256 MiB is judged by its size alone."""
    if path.name != file.name:
        return True  # unpacked by the user: there is no published checksum to hold it against
    size = path.stat().st_size
    if size > MAX_HASHED and file.size is not None:
        return size == file.size
    return file.md5 is None or md5_of(path) == file.md5


def notes_on(data: DataSet, location: Location) -> tuple[str, ...]:
    """One sentence for each file that is not the published one."""
    published = {file.name: file for file in data.files}
    return tuple(
        f"{path.name} is not the published {name} (its checksum differs); it reads well and is used."
        for name, path in location.files.items()
        if not is_published(published[name], path)
    )
