"""What evaluation asks of a family of presets; `evaluate.FAMILIES` has each family's own."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from genshift.errors import Refusal
from genshift.evaluation.options import EvaluationOptions
from genshift.methods import Method
from genshift.presets import Preset
from genshift.runs.folder import RunFolder
from genshift.runs.records import Evaluation
from genshift.runs.results import Results
from genshift.sampling.sampler_settings import no_sampling
from genshift.training.loop import Observer

P = TypeVar("P", bound=Preset)
M = TypeVar("M", bound=Method)


class FamilyEvaluation(Generic[P, M]):
    """How runs of a family are watched while they train, and measured afterwards. P and M are the family's presets and
    methods."""

    def observers(self, run: RunFolder, preset: P, data_root: Path | None, skip_broken: bool = False) -> list[Observer]:
        """Who looks at the networks at each check of a training, in the leading process."""
        return []

    def is_current(self, run: RunFolder, preset: P, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether `record`, of the checkpoint that stands for the run, has what this family is asked for."""
        return True

    def check_options(self, run: RunFolder, preset: P, options: EvaluationOptions) -> None:
        """Refuses, before anything is measured, what the family's runs cannot take."""
        no_sampling(run, preset, options.sampling)
        given = {"features": options.features, "weights": options.weights, "download": options.download or None}
        if named := [name for name, value in given.items() if value is not None]:
            raise Refusal(
                f"{run.path} is {preset.summary}: --{named[0]} measures a generator's pictures; leave it out."
            )

    def measure(
        self, run: RunFolder, preset: P, method: M, classes: tuple[str, ...], options: EvaluationOptions
    ) -> tuple[Results, Evaluation]:
        """The measures of a trained run, and what the report shows beside them.

        Raises Refusal where its data cannot be read.
        """
        raise NotImplementedError
