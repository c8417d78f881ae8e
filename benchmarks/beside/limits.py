"""What a machine can do at most, and what a step of a preset makes of it: `python -m beside.limits JSON`.

The JSON names a ceiling or a preset, threads and rounds' seconds; the last line printed is what was found.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from beside.stepping import Stepping
from beside.tasks import CLASSES, SEED
from genshift import device, presets
from genshift.data.augment import Augment
from genshift.data.feed import Feed, TrainingSet
from genshift.data.imageset import ImageSet
from genshift.presets import Preset
from genshift.runs.trained_run import build_method
from genshift.training.ema import MovingAverage

SIDE = 2048  # of the matrices
CONVOLUTION = (64, 128, 28)  # pictures, channels in and out, side: in the middle of what the presets' layers have
COPIED = 256 << 20  # bytes: far above any cache
ATTRIBUTES = 40  # of faces
STEPS = 8

# --- ceilings ---------------------------------------------------------------------------------------------------------


def matrix_product(dtype: torch.dtype) -> tuple[Callable[[], Any], float]:
    """A product of two square matrices, and its arithmetic in GFLOP."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return lambda: a @ b, 2 * SIDE**3 / 1e9


def convolution(dtype: torch.dtype) -> tuple[Callable[[], Any], float]:
    """A 3×3 convolution, channels last, and its arithmetic."""
    n, c, side = CONVOLUTION
    x = torch.randn(n, c, side, side).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(c, c, 3, 3).to(dtype, memory_format=torch.channels_last)
    return lambda: F.conv2d(x, weight, padding=1), 2 * n * side**2 * c * c * 9 / 1e9


def memory_copy(_: torch.dtype) -> tuple[Callable[[], Any], float]:
    """A copy, and the GB that it reads and writes."""
    a, b = (torch.ones(COPIED, dtype=torch.uint8) for _ in range(2))
    return lambda: b.copy_(a), 2 * COPIED / 1e9


CEILINGS: dict[str, tuple[Callable[[torch.dtype], tuple[Callable[[], Any], float]], torch.dtype]] = {
    "matrix product, bfloat16": (matrix_product, torch.bfloat16),
    "matrix product, float32": (matrix_product, torch.float32),
    "3×3 convolution, bfloat16": (convolution, torch.bfloat16),
    "3×3 convolution, float32": (convolution, torch.float32),
    "memory copy": (memory_copy, torch.uint8),
}
PRODUCT = "matrix product, bfloat16"  # the ceiling that shares are of
COPY = "memory copy"  # in GB/s, all others in GFLOP/s


@torch.inference_mode()
def ceiling(name: str, seconds: float) -> dict[str, float]:
    """The most that a few repetitions reached, a second: a ceiling is what the machine can, not what it mostly does."""
    make, dtype = CEILINGS[name]
    work, amount = make(dtype)
    work()
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return {"a_second": amount / best}


# --- a preset's step --------------------------------------------------------------------------------------------------


class Step(Stepping):
    """Steps of a preset as its training takes them, on noise: what pictures show costs nothing."""

    def __init__(self, preset: Preset, precision: str = "auto", share: float = 0.0) -> None:
        arithmetic = device.choose_arithmetic(precision, torch.device("cpu"))
        self.method = build_method(preset, classes_of(preset), arithmetic, SEED)
        parts = {name: TrainingSet(noise(preset, name), batch_of(preset, name)) for name in self.method.draws}
        augment = Augment(preset.flip, preset.rotate, preset.shift, preset.scale, preset.recolour, preset.strong)
        self.feed = Feed(parts, self.method.rule, arithmetic, SEED, augment=augment)
        self.method.begin(parts)
        self.average = MovingAverage(self.method.networks, preset.ema_half_life) if preset.ema_half_life else None
        self.total = 10_000 * self.feed.batch
        self.seen = int(share * 10_000) * self.feed.batch


def classes_of(preset: Any) -> int:
    """How many classes, or attributes, its networks tell or are told."""
    if preset.learns == "attributes":
        return ATTRIBUTES
    if preset.learns == "nothing":
        return 0
    return 2 if getattr(preset, "labelling_attribute", "") else CLASSES


def batch_of(preset: Any, name: str) -> int:
    """Images of a set that a step draws."""
    return preset.batch_target if name == "target" else preset.step_images


def noise(preset: Any, name: str) -> ImageSet:
    """Four steps' pictures with all that a step may ask of them."""
    n = 4 * batch_of(preset, name)
    generator = torch.Generator().manual_seed(SEED)
    channels = 1 if preset.colour == "grey" else 3
    pixels = torch.randint(0, 256, (n, channels, preset.size, preset.size), dtype=torch.uint8, generator=generator)
    classes = max(2, classes_of(preset))
    labels = torch.randint(0, classes, (n,), generator=generator)
    attributes = torch.randint(0, 2, (n, ATTRIBUTES), dtype=torch.uint8, generator=generator)
    names = tuple(f"attribute {number}" for number in range(ATTRIBUTES))
    return ImageSet(name, pixels, labels, tuple(map(str, range(classes))), attributes, names)


def cycle_of(preset: Any) -> int:
    """Steps after which a training repeats itself: penalties and a resting generator come every so often."""
    return math.lcm(getattr(preset, "penalty_every", 1) or 1, getattr(preset, "critic_steps", 1) or 1)


def share(name: str, steps: int) -> dict[str, Any]:
    """GFLOP and seconds of a step, and where the time of it goes."""
    preset = presets.get(name)
    cycle = cycle_of(preset)
    count = max(1, -(-steps // cycle)) * cycle
    step = Step(preset)
    step.run(cycle)
    with FlopCounterMode(display=False) as flops:
        step.run(cycle)
    began = time.perf_counter()
    step.run(count)
    seconds = (time.perf_counter() - began) / count
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step.run(cycle)
    return {
        "gflop_a_step": flops.get_total_flops() / cycle / 1e9,
        "seconds_a_step": seconds,
        "images": step.feed.batch,
        "precision": step.method.arithmetic.precision,
        "kinds": kinds_of(seen.events()),
    }


# Kinds of work by the beginning of an operation's name; the first that fits counts.
KINDS: dict[str, tuple[str, ...]] = {
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution", "aten::_convolution", "aten::slow_conv",
                     "aten::thnn_conv", "mkldnn"),
    "attention": ("aten::_scaled_dot_product", "aten::scaled_dot_product", "aten::_softmax", "aten::softmax"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "aten::linear"),
    "normalisation": ("aten::native_batch_norm", "aten::native_group_norm", "aten::native_layer_norm",
                      "aten::batch_norm", "aten::group_norm", "aten::_batch_norm"),
    "pooling and resizing": ("aten::max_pool", "aten::avg_pool", "aten::adaptive", "aten::_adaptive",
                             "aten::upsample", "aten::pixel", "aten::grid_sampler", "aten::affine_grid"),
    "activations": ("aten::relu", "aten::silu", "aten::gelu", "aten::leaky_relu", "aten::threshold", "aten::tanh",
                    "aten::sigmoid", "aten::clamp"),
    "copies and casts": ("aten::copy_", "aten::to", "aten::_to_copy", "aten::clone", "aten::contiguous", "aten::cat",
                         "aten::fill_", "aten::zero_", "aten::constant_pad"),
    "random numbers and gathering": ("aten::normal_", "aten::uniform_", "aten::randperm", "aten::index",
                                     "aten::random_", "aten::ndtri"),
    "sums and elementwise": ("aten::add", "aten::mul", "aten::sub", "aten::div", "aten::sum", "aten::mean",
                             "aten::pow", "aten::square", "aten::sqrt", "aten::rsqrt", "aten::lerp", "aten::_foreach",
                             "aten::exp", "aten::log", "aten::neg", "aten::where"),
}  # fmt: skip
OPTIMIZER, OTHER = "optimizer", "the rest, Python included"


def kind_of(name: str) -> str:
    """The kind of work of an operation, a backward one by what it goes back through."""
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), OTHER)


def kinds_of(events: Iterable[Any]) -> dict[str, float]:
    """The share of a profile's time by kind; all that an optimizer does is the optimizer's."""
    spent: dict[str, float] = defaultdict(float)
    for event in events:
        spent[OPTIMIZER if in_optimizer(event) else kind_of(event.name)] += event.self_cpu_time_total
    total = sum(spent.values()) or 1.0
    return {kind: time / total for kind, time in sorted(spent.items(), key=lambda item: -item[1])}


def in_optimizer(event: Any) -> bool:
    """Whether an operation runs within an optimizer's step, which PyTorch marks."""
    while event is not None:
        if event.name.startswith("Optimizer.step"):
            return True
        event = event.cpu_parent
    return False


def main() -> None:
    """Measures one thing, prints one line of JSON."""
    asked: Mapping[str, Any] = json.loads(sys.argv[1])
    device.prepare_process(asked["threads"], torch.device("cpu"))
    torch.manual_seed(SEED)
    name = asked["task"]
    found = ceiling(name, asked["seconds"]) if name in CEILINGS else share(name, asked["steps"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
