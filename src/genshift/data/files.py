"""A folder, zip or tar seen as names and bytes: members are read in memory, never unpacked to disk."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from genshift.data.bounds import check_bound, check_picture_bytes, read_picture
from genshift.errors import Refusal, of_os_error

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
# What the archives' readers raise on a file that is cut short or damaged.
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


class Files(Protocol):
    """Names, in sorted order, and the bytes under each; what of it is no name is counted by kind in `left_out`."""

    path: Path
    names: list[str]
    left_out: Counter[str]

    def read(self, name: str) -> bytes: ...

    def head(self, name: str, count: int) -> bytes:
        """The first `count` bytes."""
        ...


class FolderFiles:
    """The files below a folder, as paths relative to it; links are followed, hidden files and folders are left out.

    Raises Refusal where a folder or link cannot be read; with `skip_broken` it is left out instead.
    """

    def __init__(self, path: Path, skip_broken: bool = False) -> None:
        self.path = path
        self.left_out: Counter[str] = Counter()
        self._skip_broken = skip_broken
        self._folders: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]  # still to be looked into
        self.names = sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        while self._folders:
            yield from self._files_in(*self._folders.pop())

    def _files_in(self, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """The files of one folder, whose folders wait; `above` are the identities of the folders that it lies in."""
        folder = self.path / prefix
        try:
            status = os.stat(folder)  # of each folder once, of its files never: a million of them stay cheap
            here = (*above, (status.st_dev, status.st_ino))
            if here[-1] in above:
                self.left_out["link back to a folder that it lies in"] += 1
                return
            with os.scandir(folder) as entries:
                for entry in entries:
                    kind = self._kind(entry)
                    if kind == "file":
                        yield prefix + entry.name
                    elif kind == "folder":
                        self._folders.append((f"{prefix}{entry.name}/", here))
                    elif kind:
                        self.left_out[kind] += 1
        except OSError as error:
            if not prefix:
                raise of_os_error(error, f"reading {folder}") from error
            self._refuse_or_count(folder, error)

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """What an entry is, links followed; nothing where that cannot be told, and is counted."""
        if entry.name.startswith("."):
            return "hidden"
        try:
            if entry.is_dir():
                return "folder"
            if entry.is_file():
                return "file"
            os.stat(entry)  # raises where a link leads nowhere
            return "pipe, socket or device"
        except OSError as error:
            self._refuse_or_count(Path(entry.path), error)
            return ""

    def _refuse_or_count(self, path: Path, error: OSError) -> None:
        if not self._skip_broken:
            raise Refusal(
                f"{path} cannot be read ({error.strerror}): expected a folder or link whose pictures can be read; mend "
                "it, or give --skip-broken to leave it out."
            ) from error
        self.left_out["folder or link that cannot be read"] += 1

    def read(self, name: str) -> bytes:
        return read_picture(self.path / name)

    def head(self, name: str, count: int) -> bytes:
        with (self.path / name).open("rb") as stream:
            return stream.read(count)


class ListedFiles(FolderFiles):
    """The files at these absolute paths that are there, as paths relative to the folder that holds all of them; nothing
    else of it is looked at."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.path = Path(os.path.commonpath([os.path.dirname(path) for path in paths]))
        self.left_out: Counter[str] = Counter()
        there = {os.path.normpath(path) for path in paths if os.path.isfile(path)}
        self.names = sorted(Path(path).relative_to(self.path).as_posix() for path in there)


class ZipFiles:
    """The members of a zip; raises Refusal where it is damaged or a member points outside of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise damaged(path, "a zip archive", error) from error
        except OSError as error:
            raise of_os_error(error, f"reading {path}") from error
        check_bound("members", len(self._zip.infolist()), path)
        self.left_out: Counter[str] = Counter()
        names = []
        for info in self._zip.infolist():
            name = _plain(path, info.filename)
            if _hidden(name):
                self.left_out["hidden"] += not name.endswith("/")
            elif not name.endswith("/"):
                names.append(name)
                self._zip.NameToInfo[name] = info  # so that it is opened by this name
        self.names = _once(path, names)

    def read(self, name: str) -> bytes:
        check_picture_bytes(self._zip.getinfo(name).file_size, self.path / name)  # it never unpacks to more
        return self.head(name)

    def head(self, name: str, count: int = -1) -> bytes:
        try:
            with self._zip.open(name) as member:
                return member.read(count)
        except (
            *DAMAGED,
            RuntimeError,
            NotImplementedError,
        ) as error:  # the latter two: encrypted, or compressed unusually
            raise damaged(self.path, f"a whole member {name}", error) from error


class TarFiles:
    """The members of a tar (.gz, .bz2, .xz), all read in one pass, since a compressed tar has no index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: Counter[str] = Counter()
        try:
            members = self._members(path)
        except DAMAGED as error:
            raise damaged(path, "a whole tar archive", error) from error
        except OSError as error:
            if error.errno is None:  # the decompressors' own complaints (bz2) are OSErrors without a number
                raise damaged(path, "a whole tar archive", error) from error
            raise of_os_error(error, f"reading {path}") from error
        self._bytes = dict(members)
        self.names = _once(path, [name for name, _ in members])

    def _members(self, path: Path) -> list[tuple[str, bytes]]:
        """Name and bytes of every member that is not hidden."""
        members: list[tuple[str, bytes]] = []
        count = 0
        with tarfile.open(path) as tar:
            for number, member in enumerate(tar, 1):
                count += member.size
                check_bound("members", number, path)
                check_bound("bytes", count, f"{path}, unpacked,")
                name = _plain(path, member.name)
                if member.isdir():
                    continue
                if _hidden(name):
                    self.left_out["hidden"] += 1
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise Refusal(
                        f"{path} holds '{member.name}', a link or device: expected plain files only; do not trust "
                        "this archive, fetch it again from its publisher."
                    )
                members.append((name, stream.read()))
        return members

    def read(self, name: str) -> bytes:
        return self._bytes[name]

    def head(self, name: str, count: int) -> bytes:
        return self._bytes[name][:count]


def open_files(path: Path, skip_broken: bool = False) -> Files:
    """The files of a folder, zip or tar; raises Refusal where there is none, it is damaged, or (unless `skip_broken`
    leaves it out) a folder in it cannot be read."""
    if path.is_dir():
        return FolderFiles(path, skip_broken)
    if not path.exists():
        raise Refusal(f"There is no folder or archive {path}: check the path.")
    return ZipFiles(path) if path.suffix.lower() == ".zip" else TarFiles(path)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def damaged(path: Path, expected: str, error: BaseException) -> Refusal:
    """The sentence for a file that ends too early or does not read."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__  # tarfile's has five lines
    return Refusal(f"{path} is cut short or damaged ({reason}): expected {expected}; fetch or copy it again.")


def _hidden(name: str) -> bool:
    """Whether a member is hidden, or among what macOS adds to an archive."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _plain(path: Path, name: str) -> str:
    """A member's name with '/' between its folders, which some programs on Windows write as a backslash.

    Refuses one that would leave the archive: nothing is unpacked, and yet it is not to be trusted.
    """
    plain = name.replace("\\", "/")
    pure = PurePosixPath(plain)
    if pure.is_absolute() or ".." in pure.parts or (pure.parts and pure.parts[0].endswith(":")):
        raise Refusal(
            f"{path} holds a member '{name}' that points outside of the archive: expected names inside it only; do not "
            "trust this archive, fetch it again from its publisher."
        )
    return plain.removeprefix("./")


def _once(path: Path, names: Sequence[str]) -> list[str]:
    """The names, sorted; Refusal where two members bear one, of which only one could be read."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise Refusal(
            f"{path} holds {len(twice):,} name(s) more than once, as '{twice[0]}': expected each member once; make the "
            "archive again."
        )
    return sorted(names)
