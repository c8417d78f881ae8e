"""What is measured and pictured of a diffusion model alone: its reverse process, and what a picture costs."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from genshift.device import conditions
from genshift.diffusion.process import Discrete, Process
from genshift.evaluation.panels import ImageWriter
from genshift.methods import DiffusionMethod
from genshift.methods.base import CHUNK, to_bytes
from genshift.runs.forms import PictureEntry
from genshift.runs.png import grid
from genshift.runs.results import Measure, Results

SHOWN = 10  # pictures of the animation: one of each class of digits
STAGES = 6  # of the reverse process in one picture: of 1,000 steps the report shows 0, 200, …, 1,000
COSTS = ("evaluations_per_image", "seconds_per_image", "gflop_per_image")  # of results.json
FRAMES = 40  # of the animation: four seconds
AWAY = {
    "unconditional": "the model without a label",
    "weak": "its own early state",
    "both": "the mean of the model without a label and its own early state",
}


# --- how it draws ---------------------------------------------------------------------------------------------------


def in_words(method: DiffusionMethod) -> str:
    """Sampler, steps, guidance and clipping, and what of them is not the preset's."""
    how, own = method.sampling, method.preset
    words = f"{how.sampler} in {how.steps:,} steps"
    # What a sweep, a user or an evaluation in few steps changed.
    if (how.sampler, how.steps) != (own.sampler, own.steps):
        words += f" instead of the preset's {own.sampler} in {own.steps:,}"
    if how.sampler == "ddim" and how.eta:
        words += f", η = {how.eta:g}"
    clipped = ", predicted pictures kept within the pixels' range" if how.clip == "on" else ""
    return f"{words}, {_guidance(method)}{clipped}"


def _guidance(method: DiffusionMethod) -> str:
    folded = method.preset.folded
    how = folded or method.sampling
    if how.guidance == 1 or (how.by_label and not method.classes):  # 1: the guided prediction is the model's own
        return "without guidance"
    skip = f" in all but {how.skip:.0%} of the steps" if how.skip else ""
    where = f"for t in ({how.guidance_from:g}, {how.guidance_to:g}]{skip}"
    inside = " (folded in)" if folded else ""
    return f"guidance {how.guidance:g}{inside} away from {AWAY[how.guide]} {where}"


# --- the reverse process --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """After `done` steps: the noise level t, and uint8 `[N, C, H, W]` of the noisy state and of the picture that is
    predicted from it; at the end both are the picture."""

    done: int
    t: float
    noisy: Tensor
    predicted: Tensor


@dataclass(frozen=True)
class Reverse:
    """The reverse process of the first pictures of series 0: `steps` in all, and those stages that are shown.

    evaluations: passes through the network for each picture. labels: of the pictures, empty where they have none.
    pictures: uint8 `[CHUNK, C, H, W]`, the whole chunk as `sample` draws it.
    """

    steps: int
    stages: dict[int, Stage]
    evaluations: float
    labels: tuple[int, ...]
    pictures: Tensor


@torch.inference_mode()
def watch(method: DiffusionMethod) -> Reverse:
    """Draws the first chunk of series 0, as `sample` does, and keeps what is shown of it."""
    total = len(method.ladder)
    labels = method.start(0, 0)[1]
    drawn = {stage.done: stage for stage in stages(method, {*spread(total, STAGES), *spread(total, FRAMES)})}
    pictures = drawn[total].predicted
    shown = {done: replace(s, noisy=s.noisy[:SHOWN], predicted=s.predicted[:SHOWN]) for done, s in drawn.items()}
    names = () if labels is None else tuple(labels[:SHOWN].tolist())
    return Reverse(total, shown, method.evaluations, names, pictures)


@torch.inference_mode()
def stages(
    method: DiffusionMethod, kept: Container[int], seed: int = 0, label: int | None = None, rows: slice = slice(None)
) -> Iterator[Stage]:
    """Those stages of the reverse process of the first chunk of a series, or of its `rows` alone, whose number of steps
    is in `kept`, as they come, and the end. Raises Refusal as `DiffusionMethod.reverse`."""
    ladder = method.ladder
    generator, labels = method.start(0, seed, label)

    def stage(done: int, x: Tensor, x_0: Tensor) -> Stage:
        norm = max(1.0, (ladder.alpha[done] ** 2 + ladder.sigma[done] ** 2).sqrt().item())  # EDM's noise has σ = 80
        noisy, predicted = (to_bytes(method.pictures(state)) for state in (x / norm, x_0))
        return Stage(done, ladder.time[done].item(), noisy, predicted)

    # The noise that it starts from is drawn by a generator of its own: the process draws the same from its own.
    x = method.noise(method.start(0, seed)[0])[rows] * ladder.sigma[0].item()
    # A sampler tells x after a step with the picture that was predicted before it: that belongs to the x before.
    for state in method.reverse(generator, labels, rows):
        if state.step - 1 in kept:
            yield stage(state.step - 1, x, state.x0)
        x = state.x
    yield stage(len(ladder), x, x)


def spread(steps: int, count: int) -> list[int]:
    """At most `count` of the numbers 0 to `steps`, both ends and evenly between them."""
    return sorted({round(place * steps / (count - 1)) for place in range(count)})


# --- its pictures ---------------------------------------------------------------------------------------------------


def pictures(
    writer: ImageWriter, method: DiffusionMethod, reverse: Reverse, classes: Sequence[str]
) -> Iterator[PictureEntry]:
    """The reverse process: of the first picture, which is of class 0, as a strip, and of ten pictures as a film."""
    process = method.process
    # The strip: under each column stand the steps that were done and the level that they came to.
    scale = f", step k of {len(process.abar) - 1:,}" if isinstance(process, Discrete) else ""
    stages = [reverse.stages[done] for done in spread(reverse.steps, STAGES)]
    shown = torch.cat([stage.noisy[:1] for stage in stages] + [stage.predicted[:1] for stage in stages])
    which = f"of the class {classes[reverse.labels[0]]}" if reverse.labels else "of series 0"
    caption = (
        f"The first sample {which}, {in_words(method)}. Above: the noisy state; below: the picture predicted from it, "
        f"after so many steps, at the noise level t{scale}."
    )
    entry = writer.keep("reverse", shown, len(stages), "The reverse process", caption, {})
    yield {**entry, "under": [_level(process, stage) for stage in stages]}
    # The film.
    stages = [reverse.stages[done] for done in spread(reverse.steps, FRAMES)]
    frames = [grid(torch.cat([stage.noisy, stage.predicted]), SHOWN) for stage in stages]
    which = f" of the classes {', '.join(classes[label] for label in reverse.labels)}" if reverse.labels else ""
    caption = (
        f"The first {SHOWN} samples of series 0{which}, at {len(frames)} of the {reverse.steps + 1:,} states from "
        "noise to picture. Above: the noisy state; below: the picture predicted from it."
    )
    yield writer.animate("reverse", frames, "The reverse process, moving", caption)


def _level(process: Process, stage: Stage) -> str:
    """How far a stage is, in short lines: its step k too, where the process has discrete ones."""
    words = f"{stage.done:,} {'step' if stage.done == 1 else 'steps'}\nt = {stage.t:.3g}"
    if not isinstance(process, Discrete):
        return words
    return f"{words}\nk = {int(process.step(torch.tensor(stage.t, dtype=torch.float64))):,}"


# --- what a picture costs -------------------------------------------------------------------------------------------


def costs(method: DiffusionMethod, evaluations: float, seconds: float, drawn: int) -> Results:
    """Network passes, wall clock and arithmetic for each picture: they alone say how it was drawn, those of the passes
    after their semicolon, where reports read it.

    evaluations, seconds: for each of the `drawn` pictures.
    """
    how, gflop = in_words(method), gflop_per_pass(method)
    passes = f"pictures that pass through the network for each one drawn; {how}"
    return {
        "evaluations_per_image": Measure(evaluations, CHUNK, passes),
        "seconds_per_image": Measure(seconds, drawn, _clock(method)),
        "gflop_per_image": Measure(gflop * evaluations, 1, f"{gflop:.4f} GFLOP a pass; {passes}"),
    }


def shown_costs(method: DiffusionMethod, evaluations: float, seconds: float, drawn: int) -> Results:
    """The first two of pictures that are shown and not measured."""
    passes = f"pictures that pass through the network for each one shown; {in_words(method)}"
    return {
        "shown_evaluations_per_image": Measure(evaluations, CHUNK, passes),
        "shown_seconds_per_image": Measure(seconds, drawn, _clock(method)),
    }


def _clock(method: DiffusionMethod) -> str:
    """How seconds were taken."""
    return f"wall clock, {CHUNK} pictures at a time; {in_words(method)}; {conditions(method.arithmetic)}"


def gflop_per_pass(method: DiffusionMethod) -> float:
    """10⁹ floating-point operations of one picture's pass through the network, a multiplication and an addition
    counting as two."""
    net, side = method.drawing_network, method.preset.size
    weights = next(net.parameters())
    x = torch.zeros(1, method.rule.channels, side, side, device=weights.device, dtype=weights.dtype)
    y = torch.zeros(1, dtype=torch.int64, device=weights.device) if method.classes else None
    method.train_mode(False)
    # With gradients, and plain attention: the counter sees into no fused kernel.
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        net(x, x.new_ones(1), y)
    return flops.get_total_flops() / 1e9
