"""Run folders, found in one way. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from genshift.errors import Refusal
from genshift.paths import AnyPath, given_paths
from genshift.runs.folder import TRIALS, RunFolder

DEPTHS = ("*", "*/*", "*/*/*")
SET_ASIDE = "smaller-budget"  # a study's folder of runs that a larger budget could not go on from


def runs_below(folder: Path) -> list[Path]:
    """The folder itself where it is a run, else the runs at most three levels below it, sorted; without those that a
    study set aside."""
    if (folder / "config.json").is_file():
        return [folder]
    found = {path.parent for depth in DEPTHS for path in folder.glob(f"{depth}/config.json")}
    return sorted(path for path in found if not {SET_ASIDE, TRIALS} & {*path.relative_to(folder).parts})


def find_runs(folders: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """The runs among and below `folders`, each once, in order; Refusal for a folder that is not there or holds none."""
    runs: dict[Path, Path] = {}
    for folder in given_paths(folders):
        if not folder.is_dir():
            raise Refusal(f"There is no folder {folder}: name a run folder, or a folder of runs.")
        below = runs_below(folder)
        if not below:
            raise Refusal(f"{folder} is no run folder and holds none: name one that `genshift train` made.")
        for path in below:
            runs.setdefault(path.resolve(), path)
    return list(runs.values())


def unadapted(run: RunFolder) -> list[RunFolder]:
    """The source-only runs of the same study, sets and seed in the same parent folder; one that cannot be read is left
    out, with a line."""
    wanted = {**_learnt_from(run.config), "role": "source"}
    unadapted = []
    for path in sorted(run.path.resolve().parent.iterdir()):
        beside = RunFolder(path)
        try:
            if beside.exists() and _learnt_from(beside.config) == wanted:
                unadapted.append(beside)
        except Refusal as refusal:  # a broken neighbour is no reason to refuse a run
            neighbour_left_out(str(refusal))
    return unadapted


def say_left_out(why: str) -> None:
    """Says that one run among several is left out, as it cannot be read."""
    print(f"note: left out, as it cannot be read: {why}", file=sys.stderr)


neighbour_left_out = cache(say_left_out)  # said once: a run looks at those beside it several times


def _learnt_from(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the runs of one task and seed from others, and from each other."""
    preset = {**config["preset"], **config["preset"].get("fields", {})}
    return {"seed": config["seed"], **{key: preset.get(key) for key in ("study", "source", "target", "role")}}


def source_only_accuracy(run: RunFolder) -> float | None:
    """The last held-out source accuracy of the run that was not adapted, beside this one; None where there is none."""
    for other in unadapted(run):
        try:
            values = [row["valid/source_accuracy"] for row in other.rows() if "valid/source_accuracy" in row]
        except Refusal as refusal:
            neighbour_left_out(str(refusal))
            continue
        if values:
            return float(values[-1])
    return None
