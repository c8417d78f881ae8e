"""Run folders, found in one way. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from genshift.errors import Refusal

DEPTHS = ("*", "*/*", "*/*/*")


def runs_below(folder: Path) -> list[Path]:
    """The folder itself where it is a run, else the runs at most three levels below it, sorted."""
    if (folder / "config.json").is_file():
        return [folder]
    return sorted({path.parent for depth in DEPTHS for path in folder.glob(f"{depth}/config.json")})


def find_runs(folders: Iterable[Path | str]) -> list[Path]:
    """The runs among and below `folders`, each once, in order; Refusal for a folder that is not there or holds none."""
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise Refusal(f"There is no folder {folder}: name a run folder, or a folder of runs.")
        below = runs_below(folder)
        if not below:
            raise Refusal(f"{folder} is no run folder and holds none: name one that `genshift train` made.")
        for path in below:
            found.setdefault(path.resolve(), path)
    return list(found.values())
