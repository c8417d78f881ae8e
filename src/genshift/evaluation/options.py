"""What an evaluation is asked for, and the form of what it leaves in evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation was asked for.

    draw: pictures of the latent space too (t-SNE takes about ten seconds). features: a classifier's run, for distances
    in its features. weights: Inception's, for FID. download: whether these may be fetched. sampling: changes to how a
    diffusion model draws, by the names of `presets.Sampling`. device, threads: what it computes on.
    """

    data_root: Path | None = None
    draw: bool = True
    features: Path | None = None
    weights: Path | None = None
    download: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    threads: int | None = None


class Picture(TypedDict):
    """A picture in samples/; `under` are lines below its columns."""

    file: str
    title: str
    caption: str
    under: NotRequired[list[str]]


# One row of "by_class"; "class" is no name in Python.
ClassRow = TypedDict(
    "ClassRow",
    {
        "class": str,
        "n": int,
        "accuracy": float | None,
        "real_accuracy": float | None,
        "frechet": float | None,
        "floor": float | None,
    },
)


class EvaluationRecord(TypedDict, total=False):
    """evaluation.json: what the report shows of a run beside the measures of results.json, and of which checkpoint it
    is. A family writes what it has of it."""

    # Of every family.
    images: int  # that the evaluated checkpoint had seen
    selected: str | None  # the checkpoint that `genshift select` chose
    classes: list[str]
    warnings: list[str]
    drawn: bool  # whether all is there that `EvaluationOptions.draw` asks for
    # Of classifiers and adapted models.
    confusion: list[list[int]]  # true class by predicted class
    attributes: dict[str, float]  # accuracy by attribute
    tsne: dict[str, Any] | None  # source and target features in the plane
    source_only_accuracy: float | None  # of the run beside it that was not adapted, on held-out source images
    # Of generators.
    features: str  # the classifier's run in whose features distances were measured
    by_class: list[ClassRow]
    sampling: dict[str, Any]  # how a diffusion model drew
    panel_mse: list[float]  # of the pictures of the panel of reconstructions
    pictures: list[Picture]
    snapshots: list[dict[str, Any]]  # grids of samples over training
    attribute: str  # what colours `stages`
    stages: list[dict[str, Any]]  # a VAE's latent space over training
