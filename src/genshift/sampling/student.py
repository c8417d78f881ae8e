"""The description of a student: the diffusion run's own, its guidance folded in, and a budget by what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from genshift.diffusion.guidance import Guidance
from genshift.diffusion.process import PROCESSES, levels
from genshift.errors import Refusal
from genshift.presets import OURS, Diffusion, Sampling, Student
from genshift.presets.diffusion import DRAWING, FOLDED, PASSES, STUDENT
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import placed
from genshift.runs.trained_run import drawing_as, preset_of, weights_digest
from genshift.sampling.sampler_settings import sampling_of

LEARNING = 3  # passes that a step costs for each picture: one forward, and a gradient of weights and of inputs
RATE = 0.5  # of the teacher's learning rate


def student_of(run: RunFolder, options: Mapping[str, Any], places: Mapping[str, str] | None = None) -> Student:
    """The preset of a student of the diffusion run `run`.

    options: of `STUDENT_OPTIONS`, and of FOLDED those by which the teacher is to draw otherwise than it does. places:
    as in `EvaluationOptions`. Raises Refusal for a run that no student can learn by, and for options that cannot be.
    """
    preset = preset_of(run.whole_config)
    if preset.learner == STUDENT:
        raise Refusal(f"{run.path} is a student itself: name its teacher, {preset.teacher}.")
    if not isinstance(preset, Diffusion):
        raise Refusal(f"{run.path} is {preset.summary}: there is nothing to distill; name a diffusion model's run.")
    # How the teacher draws, but for its sampler: its flow is solved, so what it skips or adds at random is left out.
    folded = sampling_of(run, preset, {name: options[name] for name in FOLDED if name in options})
    own = _own(placed(run, preset, places), folded)
    own = own.replaced(**{name: value for name, value in options.items() if name not in FOLDED})
    teacher = drawing_as(run, own.folded)
    budget = own.images if "images" in options else affordable(own, run.seen, teacher.classes)
    warmup = own.lr_warmup if "lr_warmup" in options else budget // 20
    digest = weights_digest(teacher)
    return replace(own, teacher=str(run.path), teacher_weights=digest, images=budget, lr_warmup=warmup)


def _own(preset: Diffusion, folded: Sampling) -> Student:
    """The student that takes over what a diffusion preset says of data and network."""
    same = {f.name: getattr(preset, f.name) for f in fields(preset) if f.name not in DRAWING}
    taught = {own: getattr(folded, name) for name, own in FOLDED.items()}
    changed: dict[str, Any] = {
        "name": f"{preset.name}-student", "method": STUDENT, "epochs": 0, "published": {},
        # The error of ε says nothing of the picture where there is noise alone (arXiv 2202.00512, section 4).
        "predict": "v" if preset.predict == "epsilon" else preset.predict,
        "weighting": "uniform", "label_dropout": 0.0, "dropout": 0.0,
        "lr": RATE * preset.lr, "lr_schedule": "cosine",
        "sampler": "ddim", "steps": PASSES[-1], "spacing": folded.spacing,
    }  # fmt: skip
    origins = {**preset.origins, **dict.fromkeys([*changed, *taught], OURS)}
    return Student(**{**same, **changed, **taught, "origins": origins})


def affordable(preset: Student, seen: int, classes: int) -> int:
    """Images whose learning costs what the teacher's training on `seen` images did, in network passes."""
    how = preset.folded
    guidance = Guidance(how.guidance, how.guidance_from, how.guidance_to)
    more = (how.by_label and classes > 0) + how.by_weak
    time = levels(PROCESSES[preset.process](), how.steps, how.spacing).time[:-1].tolist()
    # Of as many images in each number of passes: the teacher solves one part of its flow, or the student passes twice.
    solving = sum(1 + more * guidance.acts(t) for t in time) / PASSES[-1]
    target = (solving + 2 * (len(PASSES) - 1)) / len(PASSES)
    return max(1, int(LEARNING * seen / (target + LEARNING)))
