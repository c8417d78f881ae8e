"""What is measured of a diffusion model alone: how it draws, by which states, and what a picture costs.

The reverse process itself is watched in `reverse_process`; `sweep` tries other settings of it.
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace

import torch

from genshift.data.imageset import ImageSet
from genshift.evaluation import feature_distance, panels, reverse_process
from genshift.evaluation.findings import Findings
from genshift.evaluation.generation import SERIES, EvaluationContext, GeneratorEvaluation, ShownPictures
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import ImageWriter
from genshift.evaluation.reverse_process import Reverse
from genshift.methods import DiffusionMethod
from genshift.methods.base import CHUNK
from genshift.presets import Diffusion, Sampling
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.sampling import autoguidance
from genshift.sampling.sampler_settings import in_few_steps, sampling_of, shown_sampling, unguided
from genshift.sampling.trained_generator import draw_as
from genshift.training.console import Console
from genshift.training.loop import Observer
from genshift.training.train import Settings

UNCLIPPED = 10  # pictures beside those of the same noise that are not kept within the pixels' range
MOST_DENOISED = 1_000  # pictures of a series: in 20 steps each passes through the network 40 times


@dataclass(frozen=True)
class ShownReverse(ShownPictures):
    """Pictures that the preset's own sampler drew, the states of the first chunk, and passes and seconds a picture."""

    method: DiffusionMethod
    reverse: Reverse
    seconds: float


class DiffusionEvaluation(GeneratorEvaluation[Diffusion, DiffusionMethod]):
    """Of a diffusion model also its reverse process, and the cost of a picture."""

    most = MOST_DENOISED

    def observers(self, run: RunFolder, preset: Diffusion, settings: Settings) -> list[Observer]:
        """One more keeps its early state, which autoguidance may guide away from."""
        early = [] if preset.folded else [autoguidance.keeper(run)]  # nothing guides a student
        return [*super().observers(run, preset, settings), *early]

    def check_options(self, run: RunFolder, preset: Diffusion, options: EvaluationOptions) -> None:
        """Refuses a sampling that the run cannot take, and weights of Inception's that cannot be read."""
        sampling_of(run, preset, options.sampling)
        if options.shown_steps is not None:
            shown_sampling(preset, options.shown_steps)
        feature_distance.check_weights(options.weights)

    def is_current(self, run: RunFolder, preset: Diffusion, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether the samples were also drawn as asked for."""
        drawn_as_asked = record.get("sampling") == asdict(evaluation_sampling(run, preset, options))
        if options.shown_steps is not None:  # else whatever is shown will do
            shown = asdict(shown_sampling(preset, options.shown_steps))
            drawn_as_asked = drawn_as_asked and record.get("shown_sampling") == shown
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

    def context(
        self,
        run: RunFolder,
        preset: Diffusion,
        method: DiffusionMethod,
        train: ImageSet,
        held_out: ImageSet | None,
        found: Findings,
        options: EvaluationOptions,
    ) -> EvaluationContext[DiffusionMethod]:
        """As every generator's; and what the preset's own sampler draws, where that is asked for."""
        context = super().context(run, preset, method, train, held_out, found, options)
        if options.shown_steps is None:
            return context
        own = draw_as(run, method, shown_sampling(preset, options.shown_steps))
        words = f"drawn with {reverse_process.in_words(own)}"
        count = panels.EACH * len(context.classes) if len(context.classes) <= panels.MOST_CLASSES else 0
        chunks = max(1, -(-count // CHUNK))  # the first is watched as it is drawn
        context.console.say(f"Drawing {chunks * CHUNK} pictures to show, {words} …")
        begun = time.perf_counter()
        reverse = reverse_process.watch(own)
        rest = [own.sample((chunks - 1) * CHUNK, 0, CHUNK)] if chunks > 1 else []
        seconds = (time.perf_counter() - begun) / (chunks * CHUNK)
        pictures = torch.cat([reverse.pictures, *rest])[: count or CHUNK]
        return replace(context, shown=ShownReverse(pictures, words, own, reverse, seconds))

    def pictures(self, writer: ImageWriter, context: EvaluationContext[DiffusionMethod]) -> None:
        """As every generator's; and what comes of the same noise where no predicted picture is clipped."""
        super().pictures(writer, context)
        method = context.method
        if method.sampling.clip == "on":
            free = copy.copy(method)
            free.sampling = replace(method.sampling, clip="off")
            kept = context.sides.series[0][:UNCLIPPED]
            with context.found.measuring("unclipped.png"):
                words = reverse_process.in_words(method)
                context.found.show(panels.unclipped(writer, kept, free.sample(len(kept), 0), words))

    def own_measures(self, writer: ImageWriter, context: EvaluationContext[DiffusionMethod]) -> None:
        """What a picture costs, and the states of the reverse process as a strip and as a film."""
        method, found = context.method, context.found
        found.record["sampling"] = asdict(method.sampling)
        drawing = method
        if isinstance(context.shown, ShownReverse):
            drawing, reverse = context.shown.method, context.shown.reverse
            found.record["shown_sampling"] = asdict(drawing.sampling)
            n = len(context.shown.pictures)
            found.results |= reverse_process.shown_costs(drawing, reverse.evaluations, context.shown.seconds, n)
        else:
            reverse = reverse_process.watch(method)
        with found.measuring(*reverse_process.COSTS):
            seconds, drawn = context.seconds, SERIES * context.n
            found.results |= reverse_process.costs(method, method.evaluations, seconds, drawn)
        with found.measuring("reverse.png", "reverse.webp"):
            for picture in reverse_process.pictures(writer, drawing, reverse, context.classes):
                found.show(picture)


def evaluation_sampling(run: RunFolder, preset: Diffusion, options: EvaluationOptions) -> Sampling:
    """How a run's pictures are drawn for its evaluation: in few steps where nobody, and no sweep, asked for the
    preset's many. Raises Refusal for changes that the run cannot take."""
    own = sampling_of(run, preset, options.sampling)
    # A sweep's choice, or a user's, is taken as it is; the preset's own many steps are for `genshift sample`.
    by_user = bool({"sampler", "steps"} & set(options.sampling))
    as_preset = (own.sampler, own.steps) == (preset.sampler, preset.steps)
    return in_few_steps(own) if as_preset and not by_user else own
