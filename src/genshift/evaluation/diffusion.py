"""What is measured of a diffusion model alone: how it draws, by which states, and what a picture costs.

The reverse process itself is watched in `reverse_process`; `sweep` tries other settings of it.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

from genshift.data.imageset import ImageSet
from genshift.evaluation import feature_distance, reverse_process
from genshift.evaluation.generation import SERIES, EvaluationContext, GeneratorEvaluation
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import ImageWriter
from genshift.methods import DiffusionMethod
from genshift.presets import Diffusion, Sampling
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.sampling import autoguidance
from genshift.sampling.sampler_settings import in_few_steps, sampling_of, unguided
from genshift.sampling.trained_generator import draw_as
from genshift.training.console import Console
from genshift.training.loop import Observer
from genshift.training.train import Settings

MOST_DENOISED = 1_000  # pictures of a series: in 20 steps each passes through the network 40 times


class DiffusionEvaluation(GeneratorEvaluation[Diffusion, DiffusionMethod]):
    """Of a diffusion model also its reverse process, and the cost of a picture."""

    most = MOST_DENOISED

    def observers(self, run: RunFolder, preset: Diffusion, settings: Settings) -> list[Observer]:
        """One more keeps its early state, which autoguidance may guide away from."""
        return [*super().observers(run, preset, settings), autoguidance.keeper(run)]

    def check_options(self, run: RunFolder, preset: Diffusion, options: EvaluationOptions) -> None:
        """Refuses a sampling that the run cannot take, and weights of Inception's that cannot be read."""
        sampling_of(run, preset, options.sampling)
        feature_distance.check_weights(options.weights)

    def is_current(self, run: RunFolder, preset: Diffusion, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether the samples were also drawn as asked for."""
        drawn_as_asked = record.get("sampling") == asdict(evaluation_sampling(run, preset, options))
        return drawn_as_asked and super().is_current(run, preset, record, options)

    def plain(self, method: DiffusionMethod) -> DiffusionMethod:
        """In few steps; and without the early state where it is not kept yet."""
        plain = copy.copy(method)  # the networks are shared: they stay as they are
        plain.sampling = sampling = in_few_steps(method.sampling)
        if sampling.by_weak and method.weak is None:
            plain.sampling = replace(sampling, guide="unconditional") if sampling.by_label else unguided(sampling)
        return plain

    def prepared(
        self, run: RunFolder, method: DiffusionMethod, train: ImageSet, options: EvaluationOptions, console: Console
    ) -> DiffusionMethod:
        """Drawing as `evaluation_sampling` says, with a line where that is in fewer steps than the run's own."""
        own = sampling_of(run, method.preset, options.sampling)
        sampling = evaluation_sampling(run, method.preset, options)
        prepared = draw_as(run, method, sampling)
        if sampling != own:
            words = reverse_process.in_words(prepared)
            console.say(f"note: these are drawn with {words}; `--steps {own.steps}` takes as many.")
        return prepared

    def own_measures(self, writer: ImageWriter, context: EvaluationContext[DiffusionMethod]) -> None:
        """What a picture costs, and the states of the reverse process as a strip and as a film."""
        method, found = context.method, context.found
        found.record["sampling"] = asdict(method.sampling)
        reverse = reverse_process.watch(method)
        with found.measuring(*reverse_process.COSTS):
            found.results |= reverse_process.costs(method, reverse, context.seconds, SERIES * context.n)
        with found.measuring("reverse.png", "reverse.webp"):
            for picture in reverse_process.pictures(writer, method, reverse, context.classes):
                found.show(picture)


def evaluation_sampling(run: RunFolder, preset: Diffusion, options: EvaluationOptions) -> Sampling:
    """How a run's pictures are drawn for its evaluation: in few steps where nobody, and no sweep, asked for the
    preset's many. Raises Refusal for changes that the run cannot take."""
    own = sampling_of(run, preset, options.sampling)
    # A sweep's choice, or a user's, is taken as it is; the preset's own many steps are for `genshift sample`.
    by_user = bool({"sampler", "steps"} & set(options.sampling))
    as_preset = (own.sampler, own.steps) == (preset.sampler, preset.steps)
    return in_few_steps(own) if as_preset and not by_user else own
