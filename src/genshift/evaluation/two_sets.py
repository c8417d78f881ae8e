"""Two sets of pictures beside each other, in features: distances of a folder from another, or from a run's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genshift import device
from genshift.data import load
from genshift.data.check import look
from genshift.data.files import is_archive
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.feature_distance import (
    DISTANCES,
    IN_CLASSIFIER,
    MEANING,
    FeatureSpace,
    classifier_space,
    inception_space,
)
from genshift.evaluation.findings import Findings
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.per_class import even_halves
from genshift.metrics.embedding import fixed_sample
from genshift.paths import given_path
from genshift.presets import Classifier
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import placed
from genshift.runs.results import Measure
from genshift.runs.trained_run import preset_of
from genshift.training.console import Console
from genshift.training.domains import evaluation_split

MEASURES = {**IN_CLASSIFIER, "kernel_distance": "kid"}  # in a classifier's features; `kid` is Inception's alone
MOST = 5_000  # pictures of a side where time grows with their square: all but the Fréchet distance
COUNTS = {  # what a protocol says of them, by a distance's first kind
    "frechet": "of few pictures it is too large, and so is its floor: compare equal counts alone",
    "kid": f"at most {MOST:,} of a side, drawn at random; unbiased, whatever the counts",
    "precision": f"as many of each side, at most {MOST:,}, drawn at random: compare equal counts alone",
}


def compare_sets(
    pictures: str, reference: str, options: EvaluationOptions, families: Mapping[str, FamilyEvaluation[Any, Any]]
) -> Findings:
    """How far `pictures`, a folder or a set's name, lie from `reference`, which may be a run too: then from what the
    run is measured against, as its family of `families` reads it.

    They are compared in the features of `options.features`, or of the reference where it is a classifier's run, and in
    Inception's where its weights are given. Raises Refusal where there are no features, or a set cannot be read.
    """
    device.prepare_process(options.threads, device.choose_device(options.device))
    run = RunFolder(given_path(reference))
    if RunFolder(given_path(pictures)).exists():
        raise Refusal(
            f"--pictures {pictures} is a run: `genshift evaluate {pictures}` measures it; for pictures of it, "
            "`genshift sample` draws them into a folder."
        )
    if run.exists() and options.size is not None:
        raise Refusal(f"--size goes with two sets: {reference} is a run, at whose own size pictures are compared.")
    found, console = Findings(()), Console()
    for space in _spaces(run, options, console):
        # Both sets at one size where a run or a classifier has one; beside Inception each at its own.
        if run.exists():
            preset = placed(run, preset_of(run.config))
            real, words = families[preset.family].reference(run, preset, options)
            for note in real.notes:
                console.say(f"note: {note}")
            size: int | None = preset.size
        else:
            size = options.size or (None if space.measures is not MEASURES else space.side)
            real, words = _read(reference, size, options, console)
        drawn, drawn_words = _read(pictures, size, options, console)
        console.say(f"Comparing {len(drawn):,} pictures with {len(real):,} in the features of {space.name} …")
        _measure(found, space, (real.images, words), (drawn.images, drawn_words))
    return found


def _spaces(run: RunFolder, options: EvaluationOptions, console: Console) -> list[FeatureSpace]:
    """The features that are asked for; Refusal where there are none, or they cannot be had."""
    by_inception = options.weights is not None or options.download
    judge = options.features
    if judge is None and not by_inception:
        if not run.exists() or not isinstance(preset_of(run.config), Classifier):
            raise Refusal(
                "Pictures are compared in features: name a classifier's run by --features RUN, or Inception's weights "
                "by --weights FILE."
            )
        judge = run.path
    spaces = [] if judge is None else [replace(classifier_space(judge, options.device), measures=MEASURES)]
    return spaces + ([inception_space(options.weights, options.download, console.say)] if by_inception else [])


def _read(name: str, size: int | None, options: EvaluationOptions, console: Console) -> tuple[ImageSet, str]:
    """A folder's or a set's pictures, and what they are in words; says what is to be known of them."""
    images = load(name, data_root=options.data_root, size=size, labels=False, skip_broken=options.skip_broken)
    against, unusual = look(images)  # pictures of a generator that has collapsed are measured all the same
    for note in (*images.notes, *filter(None, [against]), *unusual):
        console.say(f"note: {note}")
    path = given_path(name)
    parted = (not path.is_file() or is_archive(path)) and evaluation_split(name) == "test"
    part = ", its part train" if parted else ""
    return images, f"{images.name}{part}"


def _measure(found: Findings, space: FeatureSpace, real: tuple[Tensor, str], drawn: tuple[Tensor, str]) -> None:
    """Every measure of the space, `real` and `drawn` being uint8 pictures `[N, C, H, W]` and what they are in words."""
    side = f"brought to {space.side} px ({space.resize})"
    of_real, of_drawn = (f"{words} ({_shape(images)})" for images, words in (real, drawn))
    features, others = space.embed(real[0]), space.embed(drawn[0])
    halves = even_halves(torch.zeros(len(features), dtype=torch.int64), len(features))
    for kinds, distance in DISTANCES.items():
        names = {name: kinds.index(kind) for name, kind in space.measures.items() if kind in kinds}
        even = min(len(features), len(others)) if "precision" in kinds else MOST
        most = len(features) + len(others) if "frechet" in kinds else min(even, MOST)
        a, b, one, other = (
            part[torch.from_numpy(fixed_sample(len(part), most, 0))]
            for part in (features, others, *(features[rows] for rows in halves))
        )
        counts = f"{len(b):,} pictures of {of_drawn} against {len(a):,} of {of_real}, {side}; {COUNTS[kinds[0]]}"
        floor_words = f"floor: two halves of the reference, {len(one):,} each"
        with found.measuring(*names):
            values, floor = distance(a, b), distance(one, other)
            for name, place in names.items():
                where = f"{MEANING[kinds[place]]} in the {features.shape[1]:,} features of {space.name}"
                protocol = f"{where}; {counts}; {floor_words}"
                found.results[name] = Measure(values[place], len(b), protocol, None, floor[place])


def _shape(images: Tensor) -> str:
    channels, height, width = images.shape[1:]
    return f"{'grey' if channels == 1 else 'colour'}, {width}×{height} px"
