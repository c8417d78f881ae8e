"""A folder, zip or tar seen as names and bytes: members are read in memory, never unpacked to disk."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from genshift.errors import Refusal, of_os_error

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
# What the archives' readers raise on a file that is cut short or damaged.
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


class Files(Protocol):
    """Names, in sorted order, and the bytes under each."""

    path: Path
    names: list[str]

    def read(self, name: str) -> bytes: ...


class FolderFiles:
    """The files below a folder, as paths relative to it; hidden files and folders are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            below = [p.relative_to(path) for p in path.rglob("*") if p.is_file()]
        except OSError as error:
            raise of_os_error(error, f"reading {path}") from error
        self.names = sorted(p.as_posix() for p in below if not any(part.startswith(".") for part in p.parts))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


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
        names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        for name in names:
            _check_name(path, name)
        self.names = sorted(name for name in names if not _hidden(name))

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
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
        try:
            self._bytes = dict(self._members(path))
        except DAMAGED as error:
            raise damaged(path, "a whole tar archive", error) from error
        except OSError as error:
            if error.errno is None:  # the decompressors' own complaints (bz2) are OSErrors without a number
                raise damaged(path, "a whole tar archive", error) from error
            raise of_os_error(error, f"reading {path}") from error
        self.names = sorted(self._bytes)

    @staticmethod
    def _members(path: Path) -> list[tuple[str, bytes]]:
        """Name and bytes of every member that is not hidden."""
        members = []
        with tarfile.open(path) as tar:
            for member in tar:
                _check_name(path, member.name)
                if member.isdir() or _hidden(member.name):
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise Refusal(
                        f"{path} holds '{member.name}', a link or device: expected plain files only; do not trust "
                        "this archive, fetch it again from its publisher."
                    )
                members.append((member.name.removeprefix("./"), stream.read()))
        return members

    def read(self, name: str) -> bytes:
        return self._bytes[name]


def open_files(path: Path) -> Files:
    """The files of a folder, zip or tar; raises Refusal where there is none or it is damaged."""
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise Refusal(f"There is no folder or archive {path}: check the path.")
    return ZipFiles(path) if path.suffix.lower() == ".zip" else TarFiles(path)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def damaged(path: Path, expected: str, error: BaseException) -> Refusal:
    """The sentence for a file that ends too early or does not read."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__  # tarfile's has five lines
    return Refusal(
        f"{path} is cut short or damaged ({reason}): expected {expected}; delete it and fetch or copy it again."
    )


def _hidden(name: str) -> bool:
    """Whether a member is hidden, or among what macOS adds to an archive."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _check_name(path: Path, name: str) -> None:
    """Refuses a member's name that would leave the archive: nothing is unpacked, and yet it is not to be trusted."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or (pure.parts and pure.parts[0].endswith(":")):
        raise Refusal(
            f"{path} holds a member '{name}' that points outside of the archive: expected names inside it only; do not "
            "trust this archive, fetch it again from its publisher."
        )
