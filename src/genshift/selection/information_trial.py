"""Whether an adaptation maximises information on its target: decided inside its budget by two short trainings.

Information maximisation draws answers to the target towards even classes. That reads a target which looks very
different far sooner, and misleads where classes are unequal. No score of one model tells which it is: a misled model is
as sure. Two tell: one is trained with it and one without, each on TRIAL_SHARE of the budget and with schedules of its
own. Where they differ, the target pictures nearest to the one in question, on which they agree, say who is right.

The trials are runs like any other below RUN/trials: the same command continues them. No target label is read. What was
decided stands in config.json, and the run has what is left of the budget.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.manifest import Memory
from genshift.device import leads_processes, several_processes
from genshift.methods import ClassifierMethod
from genshift.metrics.binomial import interval
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.neighbour_votes import neighbour_votes
from genshift.presets import YOURS, BenchmarkPreset, Preset
from genshift.runs.folder import TRIALS, RunFolder
from genshift.runs.forms import InformationTrial
from genshift.runs.manifest import remembered
from genshift.runs.trained_run import open_run
from genshift.selection.checkpoint_selection import IMAGES
from genshift.training.augmentation_trial import as_begun, with_measured
from genshift.training.domains import open_domains
from genshift.training.plan import plan
from genshift.training.train import TRIAL_SHARE, Settings, train

FEWEST = 12_000  # images of a trial, below which what a model says of the target tells little (ours, on mnistm→usps)
WEIGHT = 1.0  # of information maximisation where it is used: SHOT's own
WEIGHTS = {"without": 0.0, "with": WEIGHT}


def decided(preset: Preset, run: RunFolder, settings: Settings) -> tuple[Preset, Settings] | None:
    """The preset and the settings of a run after its trials, where it asks for these and they are not made yet; None
    where a signal stopped one (the same call continues). Refusal as `train`."""
    if not isinstance(preset, BenchmarkPreset) or preset.options().get("try_information") != "on":
        return preset, settings
    if run.exists():  # it began with what was found then
        found = {"information": run.config["information"]} if "information" in run.config else {}
        return preset, replace(settings, found=found)
    if preset.origins.get("information") == YOURS:
        return preset, settings
    if several_processes():
        line = (
            "Information maximisation is left as it is: one process alone tries it; give --information, or one process."
        )
        return preset, replace(settings, said=(line,))
    run.check_place()
    folders = {name: RunFolder(run.path / TRIALS / name) for name in WEIGHTS}
    images = _images(preset, folders["without"], settings)
    if images < FEWEST:
        few = f"a tenth of the budget is {images:,} images, and a trial takes {FEWEST:,}"
        line = f"Information maximisation is left as it is ({preset.information:g}): {few}."
        return preset, replace(settings, said=(line,))
    own = replace(settings, minutes=None, keep=1, observers=[], checks=4)
    trial: Preset = preset.replaced(images=images, select="last", try_information="off")
    for name, weight in WEIGHTS.items():
        line = f"This is a trial of {images:,} images, {name} information maximisation."
        if not train(trial.replaced(information=weight), folders[name].path, replace(own, said=(line,))):
            return None
        # What the first one measured on the source, the others need not measure again.
        trial = as_begun(trial, folders[name])
    answer = _compared({name: folder.path for name, folder in folders.items()}, settings)
    found = {"information": answer}
    config = folders["without"].config
    found |= {"augmentation": config["augmentation"]} if "augmentation" in config else {}
    information = WEIGHT if answer["used"] else 0.0
    measured = with_measured(as_begun(preset, folders["without"]), {"information": information})
    return measured, replace(settings, found=found, said=(answer["why"],))


def tidied(run: RunFolder) -> None:
    """Drops the trials of a run that has begun, in the leading process: what they said stands in its config.json."""
    if leads_processes() and run.exists():
        shutil.rmtree(run.path / TRIALS, ignore_errors=True)


def _images(preset: BenchmarkPreset, begun: RunFolder, settings: Settings) -> int:
    """Of a trial: those it began with, or its share of the budget, of which minutes are turned into images once."""
    if begun.exists():
        return int(begun.config["images"])
    images = preset.images if settings.minutes is None else plan(preset, begun, settings).images
    return int(TRIAL_SHARE * images)


def _compared(paths: Mapping[str, Path], settings: Settings) -> InformationTrial:
    """What the trials say of the target's training pictures, and which is to be believed."""
    said: list[Tensor] = []
    features: list[Tensor] = []
    target, images = torch.empty(0), 0
    for path in paths.values():
        opened = open_run(path, "last", on=settings.device, threads=settings.threads)
        assert isinstance(opened.method, ClassifierMethod)
        if not said:
            preset: Any = opened.preset
            memory = Memory(remembered(opened.folder))
            pictures = open_domains(preset, settings.data_root, settings.skip_broken, memory).target.images
            target, images = pictures[torch.from_numpy(fixed_sample(len(pictures), IMAGES, 0))], opened.config["images"]
        said.append(opened.method.predict(target).argmax(1))
        features.append(opened.method.embed(target))
    differ, without, with_it = neighbour_votes((said[0], said[1]), (features[0], features[1]))
    votes = without + with_it
    used = votes > 0 and interval(with_it / votes, votes)[0] > 0.5
    why = (
        f"Information maximisation is {'used' if used else 'not used'} (--information {WEIGHT if used else 0:g}): two "
        f"trials of {images:,} images, with and without it, differ on {differ:,} of {len(target):,} target pictures; "
        f"by their nearest pictures on which both agree, {with_it:,} of these go to the first and {without:,} to the "
        "other."
    )
    return {
        "used": used,
        "images": images,
        "n": len(target),
        "differ": differ,
        "votes_with": with_it,
        "votes_without": without,
        "why": why,
    }
