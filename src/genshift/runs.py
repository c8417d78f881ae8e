"""Run folders, found in one way, and the verbs that only read them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def compare(runs: Iterable[Path | str]) -> list[dict[str, Any]]:
    """One row a (task, role) over the runs: mean and deviation beside the published figure."""
    from genshift.report.console import compare_table

    return compare_table(find_runs(runs))


def report(folders: Iterable[Path | str], out: Path | str, title: str | None = None) -> Path:
    """Writes a page (`.html`) of the runs in `folders`, or, where `out` ends in `.md`, the table of recorded results
    from one folder of `<study>/<run>/`."""
    folders, out = list(folders), Path(out)
    if out.suffix == ".md":
        if len(folders) != 1:
            raise Refusal("A results table is written from one folder of <study>/<run>/: name just that one.")
        from genshift.report.results_md import write_results

        return write_results(Path(folders[0]), out)
    from genshift.report.page import write_page

    return write_page(find_runs(folders), out, title)
