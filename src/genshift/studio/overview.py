"""What the page shows of a folder of runs: the runs, their curves as they come, results side by side, pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from genshift.errors import Refusal
from genshift.methods import ClassifierMethod, DiffusionMethod, GeneratorMethod
from genshift.presets import Diffusion
from genshift.report.console import HEAD, MEASURED_HEAD, compare_table
from genshift.report.model.measures import TARGET_ACCURACY
from genshift.runs.folder import RunFolder
from genshift.runs.forms import CHOICE
from genshift.runs.owner import trained_by
from genshift.runs.records import RunRecord, read_record
from genshift.selection.rules import choice_lines
from genshift.studio import classes, latents
from genshift.studio.diffusion import OfRun, Seed, controls, last_pictures
from genshift.studio.pictures import png
from genshift.studio.workshop import Workshop

POINTS = 400  # of a curve at most
DRAWN = 8  # pictures of each run beside each other
Names = Annotated[list[str], Meta(max_length=200)]
CLOCKS = ("images", "seconds", "cpu_seconds")


class All(Struct, forbid_unknown_fields=True):
    """All runs."""


class SeveralRuns(Struct, forbid_unknown_fields=True):
    """Runs by their names."""

    runs: Names


class SameSeed(Struct, forbid_unknown_fields=True):
    """The first pictures of a series."""

    run: str
    seed: Seed = 0


def overview(workshop: Workshop, asked: All) -> dict[str, Any]:
    """A row a run: what it is, how far it is, and its best known figures; of one that cannot be read its sentence."""
    return {"runs": [_row(name, path) for name, path in workshop.runs().items()]}


def _row(name: str, path: Path) -> dict[str, Any]:
    try:
        record, folder = read_record(path, curves=False), RunFolder(path)
        owner = trained_by(folder)
        seen = folder.seen
        planned = record.budget or int(record.config["images"])
        state = f"being trained by {owner}" if owner else "finished" if seen >= planned else "not trained to its end"
        row = {"name": name, "preset": record.name, "family": record.family, "seed": record.seed, "draws": record.draws}
        return {
            **row,
            "seen": seen,
            "images": planned,
            "state": state,
            "training": bool(owner),
            "results": _few(record),
        }
    except (Refusal, OSError) as error:
        return {"name": name, "error": str(error)}


def _few(record: RunRecord) -> list[dict[str, Any]]:
    measured = record.results.items()
    return [
        {"name": name, "value": one.value, "std": one.std, "n": one.n, "floor": one.floor} for name, one in measured
    ]


def about(workshop: Workshop, asked: OfRun) -> dict[str, Any]:
    """What the page needs to know of one run to show its family's controls; Refusal where it cannot be opened."""
    path = workshop.path(asked.run)
    opened = workshop.open(asked.run)
    run, method = opened.model.run, opened.model.run.method
    found: dict[str, Any] = {"name": asked.run, "summary": run.preset.summary, "preset": run.preset.name}
    found |= {"classes": list(run.classes), "checkpoint": run.checkpoint.name, "size": run.preset.size}
    record = read_record(path, curves=False)
    chosen = RunFolder(path).read_if_there(CHOICE)
    choice = choice_lines(chosen) if chosen else []
    warnings = [one for one in record.evaluation.get("warnings", []) if not any(one in line for line in choice)]
    found |= {"choice": choice, "warnings": warnings, "results": _few(record)}
    if isinstance(method, DiffusionMethod):
        assert isinstance(run.preset, Diffusion)
        swept = bool(read_record(path).sweep.get("rows"))
        unlabelled = run.preset.condition != "none" and run.preset.label_dropout > 0
        return {**found, "kind": "diffusion", "controls": controls(opened), "swept": swept, "unlabelled": unlabelled}
    if isinstance(method, GeneratorMethod):
        latents.generator_of(opened)
        return {**found, "kind": "vae" if latents.is_vae(opened) else "gan"}
    assert isinstance(method, ClassifierMethod)
    digits = all(len(name) == 1 and name.isdecimal() for name in run.classes)  # there is a canvas to draw them on
    kind = "adaptation" if hasattr(run.preset, "target") else "classifier"
    by_class = not opened.model.tells_attributes
    ink = classes.ink_share(opened) if digits and by_class else None
    return {**found, "kind": kind, "by_class": by_class, "ink": ink}


def curves(workshop: Workshop, asked: SeveralRuns) -> dict[str, Any]:
    """What each run logged so far, by name, over images seen: at most POINTS points of each curve, the last one too."""
    found, errors = {}, []
    for name in asked.runs:
        try:
            rows = RunFolder(workshop.path(name)).rows()
        except (Refusal, OSError) as error:
            errors.append(f"{name}: {error}")
            continue
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            for key, value in row.items():
                if key not in CLOCKS and isinstance(value, int | float) and math.isfinite(value):
                    lines.setdefault(key, []).append((row["images"], float(f"{value:.5g}")))
        found[name] = {key: _thinned(points) for key, points in lines.items()}
    return {"curves": found, "errors": errors}


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = max(1, -(-len(points) // POINTS))
    return points[::step] if (len(points) - 1) % step == 0 else [*points[::step], points[-1]]


def compared(workshop: Workshop, asked: All) -> dict[str, Any]:
    """The tables of `genshift compare`."""
    rows = compare_table(workshop.runs().values())
    tables = []
    for head, wanted in ((HEAD, True), (MEASURED_HEAD, False)):
        if cells := [row["text"] for row in rows if (row["metric"] == TARGET_ACCURACY) == wanted]:
            tables.append({"head": head, "rows": cells})
    return {"tables": tables}


def same_seed(workshop: Workshop, asked: SameSeed) -> dict[str, Any]:
    """The first pictures of a run's series of that seed: the same latent vectors or noise in runs of one shape."""
    opened = workshop.open(asked.run)
    run = opened.model.run
    if isinstance(run.method, DiffusionMethod):
        return {"pictures": last_pictures(workshop, asked.run, asked.seed, DRAWN)}
    with workshop.computing:
        return {"pictures": list(map(png, latents.generator_of(opened).sample(DRAWN, asked.seed)))}
