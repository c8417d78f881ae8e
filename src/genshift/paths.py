"""Paths as users give them: strings or Path, from the command line and from Python; checked before work begins."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from genshift.errors import Refusal, of_os_error

AnyPath = str | os.PathLike[str]


def given_path(path: AnyPath) -> Path:
    """The path with its `~` as the home folder; Refusal for nothing, which would be the current folder."""
    text = os.fspath(path)
    if not text.strip():
        raise Refusal("A path is expected, not nothing: name a file or a folder ('.' is the current one).")
    if "\0" in text:
        raise Refusal(f"'{text}' is no path: it holds a NUL character.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise Refusal(f"{text} names the home folder of a user who is not known here: write the path out.") from error


def given_paths(paths: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """Several paths; a single one is a list of one."""
    return [given_path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def output_file(path: AnyPath) -> Path:
    """Where a file will be written; Refusal where a folder, pipe or device stands there, or its own folder cannot be
    written to."""
    file = given_path(path)
    if os.path.isdir(file):
        raise Refusal(f"{file} is a folder: name a file, such as {file / 'NAME'}.")
    if os.path.exists(file) and not os.path.isfile(file):  # /dev/null too: the file would take its place
        raise Refusal(f"{file} is a pipe or a device, which would be replaced: name a file.")
    _check_folder(file.parent, file)
    return file


def output_folder(path: AnyPath) -> Path:
    """A folder that will be made or written into; Refusal where a file stands there, or it cannot be written to."""
    folder = given_path(path)
    if os.path.isfile(folder):
        raise Refusal(f"{folder} is a file: name a folder.")
    _check_folder(folder, folder)
    return folder


def _check_folder(folder: Path, wanted: Path) -> None:
    """Refuses a folder that is there and takes no file, or cannot be made."""
    try:
        there = next(part for part in (folder, *folder.parents) if part.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:  # of a name that is too long, too
        raise of_os_error(error, f"writing {wanted}") from error
