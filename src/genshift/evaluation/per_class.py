"""Samples that were drawn class by class, measured by a classifier of the same classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.evaluation.feature_distance import FeatureSpace, RealAndGenerated, over_series
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.frechet import frechet, statistics
from genshift.runs.forms import ClassRow
from genshift.runs.results import Measure

FEWEST_WITH_COVARIANCE = 2  # pictures that have a covariance


# --- the pictures ---------------------------------------------------------------------------------------------------


def turns(count: int, classes: int) -> Tensor:
    """The labels, int64 `[count]`, of the first pictures of a series, in which the classes take turns."""
    return torch.arange(count) % classes


def kinds(labels: Tensor | None, count: int) -> Tensor:
    """What `count` real pictures are parted by, int64 `[count]`: their labels, or all alike where they have none."""
    return torch.zeros(count, dtype=torch.int64) if labels is None else labels


def even_halves(labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Rows of two halves of real pictures, int64 `[n]` each and n at most `most`, with as many of each class in both.

    labels: int64 `[N]`, alike where classes do not matter. The classes take turns, as those of samples do, until one
    has no more. The pictures of a class are chosen and parted at random, the same in every run.
    """
    shares = _in_turn(labels.bincount() // 2, most)
    return _parted(labels, shares, shares)


def even_parts(labels: Tensor, most: int, others: int) -> tuple[Tensor, Tensor]:
    """As `even_halves`, rows of a part of at most `most`, and of `others` more, which are at most half of all.

    These take no more than half of a class; then the part is as even as what is left allows.
    """
    counts = labels.bincount()
    few = _in_turn((counts + 1) // 2, others)
    other, one = _parted(labels, few, _in_turn(counts - few, most))
    return one, other


def _in_turn(counts: Tensor, most: int) -> Tensor:
    """How many of each class, int64 `[K]`, are among the first `most` where they take turns until one has no more."""
    # The first picture of every class, then the second of every class that has one, and so on.
    order = sorted((turn, number) for number, count in enumerate(counts.tolist()) for turn in range(count))
    return torch.tensor([number for _, number in order[:most]], dtype=torch.int64).bincount(minlength=len(counts))


def _parted(labels: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of two parts, with so many of each class."""
    one, other = [], []
    for number, (share, rest) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        # As many pictures of the class as both parts need, then those of the first part among them.
        rows = (labels == number).nonzero().flatten()
        rows = rows[torch.from_numpy(fixed_sample(len(rows), share + rest, number))]
        chosen = torch.zeros(len(rows), dtype=torch.bool)
        chosen[torch.from_numpy(fixed_sample(len(rows), share, number))] = True
        one.append(rows[chosen])
        other.append(rows[~chosen])
    return torch.cat(one), torch.cat(other)


def evenness(labels: Tensor, classes: int) -> str:
    """How often each class stands among real pictures, in words."""
    counts = labels.bincount(minlength=classes)
    least, often = int(counts.min()), int(counts.max())
    if often - least <= 1:  # the turns may end within a round
        return "the classes as even as in the samples"
    return f"the classes as even as the data allow ({least:,} to {often:,} of each)"


# --- the measures ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassifierOutputs:
    """What a classifier's run answers: the features `[n, D]` of the reference half, the other half and the series; and
    whether it takes each sample, and each of other real pictures of the labels `real_labels`, for its class, bool."""

    reference: Tensor
    other: Tensor
    series: list[Tensor]
    right: list[Tensor]
    right_real: Tensor
    real_labels: Tensor
    real_words: str


def knows(space: FeatureSpace, classes: Sequence[str]) -> bool:
    """Whether the space's classifier tells these classes, and no others, from one another."""
    return space.classify is not None and len(classes) > 1 and set(space.classes) == set(classes)


def classify(
    space: FeatureSpace,
    sides: RealAndGenerated,
    classes: Sequence[str],
    real: tuple[Tensor, Tensor],
    held_out: ImageSet | None,
) -> ClassifierOutputs:
    """Shows a classifier, which `knows` the classes, both sides, which have labels; `real` is `embed_real`'s.

    Its accuracy on real pictures is that on held-out ones, where there are: the training pictures may have taught it.
    """
    assert sides.labels is not None and sides.real_labels is not None
    # The samples, of the classes that took turns.
    series = [space.embed(pictures) for pictures in sides.series]
    right = [_right(space, classes, pictures, sides.labels) for pictures in sides.series]
    # Real pictures.
    pictures, labels, words = sides.reference, sides.real_labels, "training"
    if held_out is not None and held_out.labels is not None:
        pictures, labels, words = held_out.images, held_out.labels, "held-out"
    right_real = _right(space, classes, pictures, labels)
    return ClassifierOutputs(*real, series, right, right_real, labels, f"{len(pictures):,} real {words} pictures")


def _right(space: FeatureSpace, classes: Sequence[str], pictures: Tensor, labels: Tensor) -> Tensor:
    """Whether the classifier takes each picture for its class, bool `[n]`; classes are matched by name."""
    assert space.classify is not None
    # Of each of the judge's classes: its number among the run's.
    numbers = torch.tensor([classes.index(name) for name in space.classes])
    return numbers[space.classify(pictures)] == labels


def accuracy(space: FeatureSpace, sides: RealAndGenerated, outputs: ClassifierOutputs) -> Measure:
    """The share of samples that the classifier takes for the class they were asked for."""
    size = space.size_in_words(sides.reference.shape[-1])
    protocol = (
        f"share that {space.name} takes for the class asked for, pictures {size}; {sides.drawn}; floor: the same of "
        f"{outputs.real_words}"
    )
    shares = [right.double().mean().item() for right in outputs.right]
    return over_series(shares, len(sides.reference), protocol, outputs.right_real.double().mean().item())


def rows(sides: RealAndGenerated, outputs: ClassifierOutputs, classes: Sequence[str]) -> list[ClassRow]:
    """Each class's accuracy and Fréchet distance, means over the series, and the same of real pictures.

    The distance is of `n` samples from as many real pictures, and its floor that of as many of the other half from
    them; both are None for fewer than two pictures.
    """
    return [_row(sides, outputs, number, name) for number, name in enumerate(classes)]


def _row(sides: RealAndGenerated, outputs: ClassifierOutputs, number: int, name: str) -> ClassRow:
    assert sides.labels is not None and sides.real_labels is not None
    ours, theirs = sides.labels == number, sides.real_labels == number
    n = min(int(ours.sum()), int(theirs.sum()))  # a distance depends on how many: as many on both sides
    reference, other = (features[theirs][:n] for features in (outputs.reference, outputs.other))
    distances = [_frechet(reference, features[ours][:n]) for features in outputs.series]
    return {
        "class": name,
        "n": n,
        "accuracy": _share(torch.cat([right[ours] for right in outputs.right])),
        "real_accuracy": _share(outputs.right_real[outputs.real_labels == number]),
        "frechet": None if n < FEWEST_WITH_COVARIANCE else sum(d for d in distances if d is not None) / len(distances),
        "floor": _frechet(reference, other),
    }


def _frechet(real: Tensor, fake: Tensor) -> float | None:
    return None if len(real) < FEWEST_WITH_COVARIANCE else frechet(statistics(real), statistics(fake))


def _share(right: Tensor) -> float | None:
    """The share of True; None of nothing."""
    return right.double().mean().item() if len(right) else None
