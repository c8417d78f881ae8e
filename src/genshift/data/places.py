"""Where data is looked for. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from genshift.data.catalog import DataFile, DataSet, entry
from genshift.errors import Refusal, of_os_error

MAX_HASHED = 256 * 2**20  # bytes; a larger file is judged by its size, since hashing it would take longer than reading


def cache_root() -> Path:
    """`$GENSHIFT_CACHE`, or the operating system's folder for a user's caches."""
    given = os.environ.get("GENSHIFT_CACHE")
    if given:
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("genshift"))


def roots(data_root: Path | str | None = None) -> list[Path]:
    """The folders in which data sets are looked for, in order: `data_root`, `$GENSHIFT_DATA`, the cache."""
    given = [data_root, os.environ.get("GENSHIFT_DATA") or None, cache_root()]
    return [Path(root).expanduser() for root in given if root is not None]


@dataclass(frozen=True)
class Found:
    """The files of one data set's split as they lie on this machine: catalog file → path."""

    folder: Path
    paths: dict[str, Path]

    def path(self, name: str) -> Path:
        return self.paths[name]


def find_files(data: DataSet, split: str, data_root: Path | str | None, needed: tuple[str, ...]) -> Found | None:
    """The first folder, in search order, that holds all `needed` files of a split (unpacked ones too)."""
    for folder in folders(data, data_root):
        paths = {}
        for file in data.files:
            if file.split in (None, split):
                path = next((folder / name for name in file.names if (folder / name).is_file()), None)
                if path is not None:
                    paths[file.name] = path
        if needed and all(name in paths for name in needed):
            return Found(folder, paths)
    return None


def folders(data: DataSet, data_root: Path | str | None) -> list[Path]:
    """Every folder in which the files of `data` may lie, in search order."""
    return [root / folder for root in roots(data_root) for folder in data.folders]


def built_folder(name: str, data_root: Path | str | None) -> Path | None:
    """The first root's folder `name` that holds a packed set with splits, as `genshift data build` writes."""
    for root in roots(data_root):
        if (root / name / "train" / "set.json").is_file() and (root / name / "test" / "set.json").is_file():
            return root / name
    return None


def absent(data: DataSet, split: str, data_root: Path | str | None) -> Refusal:
    """The sentence for a set that lies nowhere: where it was looked for and how to get it."""
    looked = ", ".join(str(root) for root in roots(data_root))
    how = f"`genshift data get {data.name}` fetches it" if any(file.urls for file in data.files) else ""
    hand = data.by_hand and (f", or {data.by_hand}" if how else data.by_hand)
    return Refusal(
        f"The {split} images of '{data.name}' were not found; looked in {looked} (folder {data.folders[0]}): "
        f"{how}{hand}."
    )


def locate(name: str, data_root: Path | str | None = None) -> dict[str, Path | None]:
    """For each split of a catalog set, the file or folder on this machine that `load` would read, or None.

    Embedded sets give `Path("scikit-learn")`, which is no real path: they are always there.
    """
    data = entry(name)
    if data.embedded:
        return dict.fromkeys(data.splits, Path("scikit-learn"))
    return {split: _locate(data, split, data_root) for split in data.splits}


def _locate(data: DataSet, split: str, data_root: Path | str | None) -> Path | None:
    built = built_folder(data.name, data_root)
    if built is not None:
        return built / split
    needed = wanted_files(data, split)
    found = find_files(data, split, data_root, needed)
    return found.path(needed[0]) if found else unpacked_folder(data, data_root)


def wanted_files(data: DataSet, split: str) -> tuple[str, ...]:
    """The names of the files that a split cannot be without."""
    whole = (".gz", ".zip")  # archives that hold every split, unlike the lists that lie beside them
    return tuple(f.name for f in data.files if f.split == split or (not f.split and f.name.endswith(whole)))


def unpacked_folder(data: DataSet, data_root: Path | str | None) -> Path | None:
    """The folder of an archive that its user unpacked (MNIST-M, CelebA), or None."""
    marks = {"mnistm": "mnist_m_train_labels.txt", "celeba": "img_align_celeba"}
    if data.name not in marks:
        return None
    for folder in folders(data, data_root):
        for place in (folder, folder / "mnist_m"):
            if (place / marks[data.name]).exists():
                return place
    return None


def digest(path: Path, kind: str) -> bytes:
    """The checksum of a file, of a kind that hashlib names; Refusal where the file cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, kind).digest()
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error


@lru_cache(maxsize=64)
def _md5(path: Path, size: int, changed: int) -> str:
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


def notes_on(data: DataSet, found: Found) -> tuple[str, ...]:
    """One sentence for each file that is not the published one."""
    files = {file.name: file for file in data.files}
    return tuple(
        f"{path.name} is not the published {name} (its checksum differs); it reads well and is used."
        for name, path in found.paths.items()
        if not is_published(files[name], path)
    )
