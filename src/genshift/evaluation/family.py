"""What evaluation asks of a family of presets; `evaluate.FAMILIES` has each family's own."""

from __future__ import annotations

from typing import Generic, TypeVar

from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.evaluation.findings import Findings
from genshift.evaluation.options import EvaluationOptions
from genshift.methods import Method
from genshift.presets import Preset
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.sampling.sampler_settings import no_sampling
from genshift.training.loop import Observer
from genshift.training.train import Settings

P = TypeVar("P", bound=Preset)
M = TypeVar("M", bound=Method)


class FamilyEvaluation(Generic[P, M]):
    """How runs of a family are watched while they train, and measured afterwards. P and M are the family's presets and
    methods."""

    def observers(self, run: RunFolder, preset: P, settings: Settings) -> list[Observer]:
        """Who looks at the networks at each check of a training, in the leading process."""
        return []

    def is_current(self, run: RunFolder, preset: P, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether `record`, of the checkpoint that stands for the run, has what this family is asked for."""
        return True

    def check_options(self, run: RunFolder, preset: P, options: EvaluationOptions) -> None:
        """Refuses, before anything is measured, what the family's runs cannot take."""
        no_sampling(run, preset, options.drawing)
        given = {"features": options.features, "weights": options.weights, "download": options.download or None}
        if named := [name for name, value in given.items() if value is not None]:
            raise Refusal(
                f"{run.path} is {preset.summary}: --{named[0]} measures a generator's pictures; leave it out."
            )

    def reference(self, run: RunFolder, preset: P, options: EvaluationOptions) -> tuple[ImageSet, str]:
        """The real pictures that a run is measured against, and what they are in words.

        Raises Refusal where there are none, or they cannot be read.
        """
        raise NotImplementedError

    def not_asked(self, options: EvaluationOptions) -> frozenset[str]:
        """The measures that are taken only where they are asked for, as far as `options` do not ask: what an earlier
        evaluation of the same checkpoint found of them stays."""
        return frozenset()

    def measure(
        self, run: RunFolder, preset: P, method: M, classes: tuple[str, ...], options: EvaluationOptions
    ) -> Findings:
        """The measures of a trained run, each ending for itself, and what the report shows beside them.

        Raises Refusal where its data cannot be read.
        """
        raise NotImplementedError
