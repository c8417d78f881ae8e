"""What an evaluation is asked for. The types of what it leaves in a run are in `runs.results` and `runs.records`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation was asked for.

    draw: pictures of the latent space too (t-SNE takes about ten seconds). features: a classifier's run, for distances
    in its features. most: pictures of a series, or of a domain's map, at most (the family's own number). weights:
    Inception's, for FID. download: whether these may be fetched. sampling: changes to how a diffusion model draws, by
    the names of `presets.Sampling`. shown_steps: of a diffusion model, steps of the preset's own sampler by which the
    pictures of each class and the reverse process are drawn, apart from those that are measured. device, threads: what
    it computes on. keep_pictures: whether real pictures of the run's sets may be left in it. size, skip_broken: how
    pictures that belong to no run are read. places: where the run's sets lie now, by the option that names them (data,
    source, target), where they were moved.
    """

    data_root: Path | None = None
    draw: bool = True
    features: Path | None = None
    weights: Path | None = None
    download: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    shown_steps: int | None = None
    device: str = "auto"
    threads: int | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    skip_broken: bool = False
    most: int | None = None
    keep_pictures: bool = True

    @property
    def drawing(self) -> dict[str, Any]:
        """What is asked for of how a run draws, by the names of the flags."""
        shown = {} if self.shown_steps is None else {"shown_steps": self.shown_steps}
        return {**self.sampling, **shown}
