"""What the page asks of a diffusion run: how it can draw, the reverse process as it happens, and its sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

from genshift.errors import Refusal
from genshift.evaluation.reverse_process import in_words, spread, stages
from genshift.methods import DiffusionMethod
from genshift.presets import Diffusion, Sampling
from genshift.report.figures.diffusion import axes_of
from genshift.runs.records import read_record
from genshift.runs.trained_run import WEAK
from genshift.sampling.sampler_settings import GUIDANCE, in_few_steps, sampling_of, unguided
from genshift.sampling.trained_generator import TrainedGenerator, open_generator
from genshift.studio.pictures import png
from genshift.studio.workshop import Opened, Workshop

MOST_STEPS = 1_000
FRAMES = 32  # states of the reverse process that are sent
Seed = Annotated[int, Meta(ge=0, lt=2**53)]


class Draw(Struct, forbid_unknown_fields=True):
    """label: a class's place, −1 for none, or nothing: the classes take turns. sampling: the fields of `Sampling` that
    are to differ from the run's own."""

    run: str
    seed: Seed = 0
    label: int | None = None
    count: Annotated[int, Meta(ge=1, le=16)] = 1
    sampling: dict[str, str | int | float] = {}


def controls(opened: Opened) -> list[dict[str, Any]]:
    """How the run draws unless it is told otherwise, in few steps, and what else each option takes."""
    run = opened.model.run
    assert isinstance(run.preset, Diffusion)
    chosen = in_few_steps(sampling_of(run.folder, run.preset, {}))
    if chosen.by_weak and not (run.folder.checkpoints / WEAK).exists():  # none yet, or none kept
        chosen = unguided(chosen) if run.preset.condition == "none" else replace(chosen, guide="unconditional")
    own, kinds = asdict(chosen), get_type_hints(Sampling)
    return [
        {
            "name": f.name,
            "help": f.metadata["option"].help,
            "value": own[f.name],
            "choices": get_args(kinds[f.name]) if get_origin(kinds[f.name]) is Literal else None,
            "whole": kinds[f.name] is int,
        }
        for f in fields(Sampling)
    ]


def generator_of(opened: Opened, sampling: Mapping[str, Any], label: int | None) -> TrainedGenerator[DiffusionMethod]:
    """The run ready to draw so, by the networks that are open. Refusal for another run, and for what it cannot."""
    run = opened.model.run
    if not isinstance(run.preset, Diffusion):
        raise Refusal(f"{run.folder.path.name} is {run.preset.summary}: it has no reverse process.")
    own = {control["name"]: control["value"] for control in controls(opened)}
    changes = {**own, **_as_typed(sampling)}
    if not isinstance(steps := changes["steps"], int) or steps > MOST_STEPS:
        raise Refusal(f"At most {MOST_STEPS:,} whole steps are taken on a page, not {steps}.")
    labelled = label != -1 and run.preset.condition != "none"
    if not labelled and changes["guide"] != "weak":  # there is nothing to guide away from
        changes = {key: value for key, value in changes.items() if key not in GUIDANCE}
    return open_generator(run.folder, changes, label != -1, run)


def _as_typed(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """JSON does not tell 2.0 from 2."""
    kinds = get_type_hints(Sampling)
    return {name: float(value) if kinds.get(name) is float else value for name, value in sampling.items()}


def draw(workshop: Workshop, asked: Draw) -> Iterator[dict[str, Any]]:
    """The first pictures of a series as they come out of the noise: a line for each state that is shown, and a last one
    that says how they were drawn."""
    opened = workshop.open(asked.run)
    label = None if asked.label == -1 else asked.label
    if label is not None and not 0 <= label < len(opened.model.classes):
        raise Refusal(f"There is no class number {label}: the run learnt {len(opened.model.classes)}, from 0.")
    with workshop.computing:
        method = generator_of(opened, asked.sampling, asked.label).method
    steps = method.sampling.steps
    states = stages(method, set(spread(steps, FRAMES)), asked.seed, label, slice(0, asked.count))
    while True:
        with workshop.computing:  # let go after each state, so that two users draw side by side
            state = next(states, None)
        if state is None:
            break
        pictures = {"noisy": list(map(png, state.noisy)), "predicted": list(map(png, state.predicted))}
        yield {"done": state.done, "steps": steps, "t": state.t, **pictures}
    yield {"words": in_words(method), "evaluations": method.evaluations}


def last_pictures(workshop: Workshop, name: str, seed: int, count: int) -> list[str]:
    """The first pictures of a series, the run's own way, in few steps."""
    drawn: list[str] = []
    for state in draw(workshop, Draw(name, seed, None, min(count, 16))):
        drawn = state.get("predicted", drawn)
    return drawn


class OfRun(Struct, forbid_unknown_fields=True):
    """A run by its name."""

    run: str


def sweep(workshop: Workshop, asked: OfRun) -> dict[str, Any]:
    """What a sweep of the run measured: a chart for each axis, whose points hold how their pictures were drawn."""
    record = read_record(workshop.path(asked.run))
    charts = []
    for axis in axes_of(record.sweep):
        lines = [
            {
                "name": name,
                "points": [
                    {"x": axis.x(row), **{key: row[key] for key in ("accuracy", "frechet", "sampling", "setting")}}
                    for row in line
                ],
            }
            for name, line in axis.lines.items()
        ]
        charts.append({"title": axis.title, "floor": axis.rows[0]["floor"], "lines": lines})
    best = (record.sweep.get("best") or {}).get("sampling")
    return {"charts": charts, "best": best}
