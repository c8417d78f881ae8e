"""Pictures put into folders of the classes that a run takes them for: copies, or links; whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from genshift.data.catalog import lookup
from genshift.data.files import is_archive, open_files
from genshift.data.text import composed
from genshift.errors import Refusal, of_os_error
from genshift.paths import given_path, output_folder
from genshift.temporary import remove_litter_of, temporary_name

SURE, DOUBTFUL = "sure", "doubtful"  # folders of both kinds, where a confidence parts them
LONGEST = 200  # bytes of a folder's or file's name; file systems take 255
# What some file system takes in no name, or in no name's place.
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
NO_FILES = Refusal("Only pictures that are files of yours can be sorted: name a folder, an archive or a picture.")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Sorter:
    """Where pictures are sorted to. Made before any work: Refusal where `out` holds anything, lies among the pictures
    or cannot be written, for pictures that are no files, and for links into an archive.

    least: the confidence, 0 to 1, below which a picture is doubtful; None parts nothing.
    """

    out: Path
    pictures: Any
    least: float | None = None
    link: bool = False

    def __post_init__(self) -> None:
        output_folder(self.out)
        if self.least is not None and not 0 <= self.least <= 1:
            raise Refusal(f"The least confidence is between 0 and 1, not {self.least:g}.")
        if self.out.is_dir() and any(self.out.iterdir()):
            raise Refusal(f"--sort {self.out} holds other files: name a new or empty folder.")
        if not isinstance(self.pictures, str | Path) or lookup(self.pictures) is not None:
            raise NO_FILES
        if self.out.resolve().is_relative_to(self._place.resolve()) and self._place.is_dir():
            raise Refusal(
                f"--sort {self.out} lies among the pictures, and would be read with them: name one elsewhere."
            )
        if self.link and is_archive(given_path(self.pictures)):
            raise Refusal(f"Nothing can be linked into {self.pictures}, an archive: leave --link out, for copies.")

    @property
    def _place(self) -> Path:
        """The folder or archive that pictures' names are of."""
        path = given_path(self.pictures)
        return path.parent if path.is_file() and not is_archive(path) else path

    def check(self, names: Sequence[str]) -> None:
        """Refuses pictures by whose names no files lie there: those of a packed set, or of an idx or mat file."""
        if not set(names) <= set(open_files(self._place, skip_broken=True).names):
            raise NO_FILES

    def sort(self, rows: Sequence[Sequence[Any]], classes: Sequence[str]) -> None:
        """Writes the folder; rows: (name, class, confidence) of each picture."""
        folders = dict(zip(classes, safe_names(classes), strict=True))
        files = open_files(self._place, skip_broken=True)
        new = temporary_name(self.out, "new")
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            remove_litter_of(self.out, "new")
            new.mkdir()
            taken: dict[Path, Names] = {}
            for name, label, confidence in rows:
                folder = self._half(new, confidence) / folders[label]
                names = taken.setdefault(folder, Names())
                folder.mkdir(parents=True, exist_ok=True)
                self._put(files, name, folder / names.free(PurePosixPath(name).name))
            if self.out.is_dir():
                self.out.rmdir()  # it is empty
            os.rename(new, self.out)
        except OSError as error:
            raise of_os_error(error, f"writing {self.out}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _half(self, new: Path, confidence: float) -> Path:
        if self.least is None:
            return new
        return new / (SURE if confidence >= self.least else DOUBTFUL)

    def _put(self, files: Any, name: str, place: Path) -> None:
        """One picture, under a name that is free."""
        origin = self._place / name
        if self.link:
            os.symlink(origin.resolve(), place)
        elif self._place.is_dir():
            shutil.copyfile(origin, place)
            status = origin.stat()
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            place.write_bytes(files.read(name))


@dataclass
class Names:
    """Names in one folder, no two of which any file system takes for one."""

    taken: set[str] = field(default_factory=set)

    def free(self, name: str) -> str:
        """The name, or with a number before its suffix where it is taken."""
        stem, suffix = os.path.splitext(name)
        suffix, number = suffix[:20], 1
        while (key := composed(name).casefold()) in self.taken:
            number += 1
            name = f"{_shortened(stem)}-{number}{suffix}"
        self.taken.add(key)
        return name


def safe_names(classes: Sequence[str]) -> list[str]:
    """A folder's name for each class, its own wherever every file system takes that."""
    names = Names()
    return [names.free(_plain(name)) for name in classes]


def _plain(name: str) -> str:
    name = _shortened(FORBIDDEN.sub("-", name)).rstrip(". ").lstrip()
    if not name or name.startswith(".") or RESERVED.fullmatch(name):  # nobody would see what is hidden
        name = f"_{name}"
    return name


def _shortened(name: str) -> str:
    """At most LONGEST bytes of it."""
    while len(os.fsencode(name)) > LONGEST:
        name = name[:-1]
    return name
