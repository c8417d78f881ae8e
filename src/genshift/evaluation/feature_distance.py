"""Generated pictures beside real ones, in the features of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genshift.data.pixels import finish
from genshift.errors import Refusal
from genshift.evaluation.findings import Findings
from genshift.methods import ClassifierMethod
from genshift.metrics.frechet import frechet, statistics
from genshift.metrics.inception import load_inception
from genshift.metrics.kid import kid
from genshift.metrics.manifold import precision_recall
from genshift.metrics.repeats import repeats
from genshift.presets import Classifier
from genshift.runs.folder import RunFolder
from genshift.runs.results import Measure
from genshift.runs.trained_run import open_run

# Measures by their names in results.json, and their kinds.
IN_CLASSIFIER = {"frechet": "frechet", "precision": "precision", "recall": "recall"}
OF_EQUAL = {"frechet_1000": "frechet", "precision_1000": "precision", "recall_1000": "recall"}  # n is EQUAL for all
IN_INCEPTION = {"fid": "frechet", "kid": "kid", "inception_precision": "precision", "inception_recall": "recall"}
MEANING = {
    "frechet": "squared Fréchet distance",
    "kid": "kernel distance (x·y/D + 1)³, unbiased",
    "precision": "share of samples among the real pictures (3 nearest neighbours)",
    "recall": "share of real pictures among the samples (3 nearest neighbours)",
}
# By the kinds that it gives: a distance from features `[N, D]` of real pictures to `[M, D]` of others.
DISTANCES: Mapping[tuple[str, ...], Callable[[Tensor, Tensor], tuple[float, ...]]] = {
    ("frechet",): lambda real, other: (frechet(statistics(real), statistics(other)),),
    ("kid",): lambda real, other: (kid(real, other),),
    ("precision", "recall"): precision_recall,
}

EQUAL = 1_000  # pictures of which every family of generators is compared


@dataclass(frozen=True)
class FeatureSpace:
    """What pictures are compared in: a function from uint8 `[N, C, H, W]` to features `[N, D]`, and what it is.

    side: of the pictures that it sees, in pixels; resize: how it brings others to it. measures: kinds, by the names
    they have in results.json. classify: of a classifier of classes, from the same pictures to numbers int64 `[N]` of
    its `classes`. attributes: of one that tells attributes, from the same pictures to whether they have each of its
    `classes`, bool `[N, K]`.
    """

    embed: Callable[[Tensor], Tensor]
    name: str
    side: int
    resize: str
    measures: Mapping[str, str]
    classify: Callable[[Tensor], Tensor] | None = None
    classes: tuple[str, ...] = ()
    attributes: Callable[[Tensor], Tensor] | None = None

    def size_in_words(self, side: int) -> str:
        """The size at which pictures of `side` pixels are seen, in words."""
        return f"at {side} px" if side == self.side else f"resized from {side} to {self.side} px ({self.resize})"


@dataclass(frozen=True)
class RealAndGenerated:
    """uint8 pictures `[n, C, H, W]`, as many on each side: two halves of a real set, and series of generated ones.

    words: how the two are held against each other; drawn: the series alone, in words. Where classes take turns,
    `real_labels` are those of each half, and `labels` those of each series, int64 `[n]`.
    """

    reference: Tensor
    other: Tensor
    series: Sequence[Tensor]
    words: str
    drawn: str = ""
    real_labels: Tensor | None = None
    labels: Tensor | None = None


def judge_name(path: Path) -> str:
    """What a run is called whose features judge: its preset and seed."""
    config = RunFolder(path).whole_config
    return f"{config['preset']['name']}, seed {config['seed']}"


def classifier_space(path: Path, on: str = "auto") -> FeatureSpace:
    """The features of a classifier's run, on a device; Refusal for a run of another kind."""
    opened = open_run(path, on=on)
    preset, method = opened.preset, opened.method
    if not isinstance(preset, Classifier) or not isinstance(method, ClassifierMethod):
        raise Refusal(f"--features {path} is {preset.summary}: name a classifier's run, e.g. one of faces-attributes.")

    # Pictures of any size and colour are brought to what the classifier takes.
    def embed(images: Tensor) -> Tensor:
        return method.embed(finish(images, preset.size, preset.colour))

    def predict(images: Tensor) -> Tensor:
        return method.predict(finish(images, preset.size, preset.colour))

    space = FeatureSpace(
        embed, judge_name(path), preset.size, "bilinear, antialiased", IN_CLASSIFIER, classes=opened.classes
    )
    # One that tells attributes has no class of a picture to give.
    if preset.answers == "attributes":
        return replace(space, attributes=lambda images: predict(images) > 0.5)
    return replace(space, classify=lambda images: predict(images).argmax(1))


def check_weights(weights: Path | None) -> None:
    """Refuses a file of Inception's weights that was named and cannot be used; nothing was drawn or trained yet."""
    if weights is not None:
        load_inception(weights, say=lambda _: None)


def inception_space(weights: Path | None, download: bool, say: Callable[[str], None]) -> FeatureSpace:
    """Inception's features; Refusal where it cannot be had, for it takes an extra and a download."""
    network = load_inception(weights, download=download, say=say)
    name = "Inception (torch-fidelity's port)" if network.published else f"another Inception ({weights})"
    return FeatureSpace(network, name, 299, "as TensorFlow does", IN_INCEPTION)


def embed_real(space: FeatureSpace, sides: RealAndGenerated) -> tuple[Tensor, Tensor]:
    """The features `[n, D]` of the reference and of the other real half."""
    return space.embed(sides.reference), space.embed(sides.other)


def embed_series(space: FeatureSpace, sides: RealAndGenerated) -> list[Tensor]:
    """The features `[n, D]` of each series."""
    return [space.embed(pictures) for pictures in sides.series]


def compare(
    space: FeatureSpace,
    sides: RealAndGenerated,
    real: tuple[Tensor, Tensor],
    series: Sequence[Tensor],
    found: Findings,
) -> None:
    """Adds every measure of the space: the mean over the series and its deviation, and the floor, which is the same
    measure of the other real half. `real` is what `embed_real` gave, `series` what `embed_series` did."""
    reference, other = real
    # How it was measured, in the words of the protocol.
    size = space.size_in_words(sides.reference.shape[-1])
    where = f"in the {reference.shape[1]:,} features of {space.name}, pictures {size}; {sides.words}"
    # Each series against the reference half, and the other real half against it too.
    for kinds, distance in DISTANCES.items():
        names = {name: kinds.index(kind) for name, kind in space.measures.items() if kind in kinds}
        if not names:
            continue
        with found.measuring(*names):
            floor, by_series = distance(reference, other), [distance(reference, features) for features in series]
            for name, place in names.items():
                values = [distances[place] for distances in by_series]
                protocol = f"{MEANING[kinds[place]]} {where}"
                found.results[name] = over_series(values, len(reference), protocol, floor[place])


def count_repeats(space: FeatureSpace, real: tuple[Tensor, Tensor], series: Sequence[Tensor], found: Findings) -> None:
    """Adds how many samples are nearly another of their series, beside real pictures: of at most EQUAL of each."""
    with found.measuring("repeats"):
        reference, other, *drawn = (features[:EQUAL] for features in (*real, *series))
        n = len(reference)
        protocol = (
            f"share of {n:,} samples nearer to another of them than any two of {n:,} real pictures are to each other, "
            f"in the {reference.shape[1]:,} features of {space.name}; {len(drawn)} series, std over them; floor: the "
            "same of as many other real pictures"
        )
        values = [repeats(features, reference) for features in drawn]
        found.results["repeats"] = over_series(values, n, protocol, repeats(other, reference))


def over_series(values: Sequence[float], n: int, protocol: str, floor: float | None = None) -> Measure:
    """A measure that was taken of each series: its mean, and its standard deviation over the series."""
    by_series = torch.tensor(values, dtype=torch.float64)
    return Measure(by_series.mean().item(), n, protocol, by_series.std().item(), floor)
