"""Names of what is being written, `.NAME.MACHINE-PROCESS.END`, and what killed processes left under such names."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path

SILENT = 600.0  # seconds after which a writer that can't be asked for is taken for dead


def temporary_name(path: Path, end: str) -> Path:
    """A name beside `path` for this process alone."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.{end}")


def _machine() -> str:
    """Tells machines apart that share a disk, and names none."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def remove_litter(folder: Path, pattern: str = "**/.*.part") -> None:
    """Removes the temporary files and folders below `folder`, or of `pattern` there, whose writers were killed."""
    for path in folder.glob(pattern):
        if is_litter(path):
            with contextlib.suppress(PermissionError):  # another user's, or open under Windows: theirs to remove
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_litter_of(path: Path, end: str) -> None:
    """Removes what killed processes left of `path` itself, beside it."""
    remove_litter(path.parent, f".{glob.escape(path.name)}.*.{end}")


def is_litter(path: Path) -> bool:
    """Whether `path` bears a temporary name, and nobody writes it any more.

    A process of this machine is dead or alive. Of another machine's, or of one that wrote no machine (0.2's files),
    nothing is known: it is dead where it has written nothing for SILENT seconds.
    """
    writer = re.fullmatch(r"\..+\.(?:([0-9a-f]{8})-)?([0-9]{1,9})\.(part|new|old)", path.name)
    if writer is None or (writer[1] is None and writer[3] != "part"):  # else it might be a user's `.notes.2019.old`
        return False
    if writer[1] == _machine() and sys.platform != "win32":
        try:
            os.kill(int(writer[2]), 0)  # asks; under Windows it would end the process
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's, alive
            pass
        return False
    try:
        newest = max(file.stat().st_mtime for file in (path, *path.glob("**/*")))
    except FileNotFoundError:  # it has just got its own name
        return False
    return time.time() - newest > SILENT
