"""Four steps before the start, of each phase of a training: how fast, how much arithmetic, how much memory, how long;
then all is put back."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.utils.flop_counter import FlopCounterMode

from genshift.errors import Refusal, is_out_of_memory
from genshift.runs.checkpoint import Checkpoint
from genshift.training.loop import Trainer

STEPS = 4
FEWEST_A_STEP = 2  # images a step: BatchNorm needs more than one


@dataclass(frozen=True)
class Probe:
    """What the steps of each phase showed. `gflop` is arithmetic an image of progress, forward and backward, without
    what a phase does once before its first step."""

    images_per_second: float
    gflop: float
    memory_gib: float

    def sentence(self, images_left: int) -> str:
        """For the user, before the start."""
        memory = "" if math.isnan(self.memory_gib) else f", {self.memory_gib:.2f} GiB"
        return (
            f"{STEPS}-step probe: {self.images_per_second:,.0f} images/s, {self.gflop:.3f} GFLOP an image{memory}; "
            f"{duration(images_left / self.images_per_second)} to the end."
        )


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def probe(trainer: Trainer) -> Probe:
    """Runs a few steps of each phase and restores the trainer bit for bit.

    Raises Refusal that says which batch fits where memory runs out.
    """
    state = trainer.state()
    before = Checkpoint({name: tensor.detach().clone() for name, tensor in state.tensors.items()}, state.about)
    try:
        measured = _measure(trainer)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if trainer.world.size > 1:  # the processes would have to search together, and some may not be out of memory
            raise Refusal("A step does not fit into memory: halve the batches, or take more processes.") from None
        fits = _batch_that_fits(trainer, before)
    else:
        _put_back(trainer, before)
        return measured
    raise Refusal(fits)


def _measure(trainer: Trainer) -> Probe:
    """The phases of a training, each by its share of the budget."""
    starts = trainer.method.phases
    shares = [end - start for start, end in pairwise((*starts, 1.0))]
    phases = [_measure_from(trainer, start) for start in starts]
    seconds = sum(share / phase.images_per_second for share, phase in zip(shares, phases, strict=True))
    gflop = sum(share * phase.gflop for share, phase in zip(shares, phases, strict=True))
    return Probe(1 / seconds, gflop, max(phase.memory_gib for phase in phases))


def _measure_from(trainer: Trainer, start: float) -> Probe:
    stand_at(trainer, start)
    device, batch = trainer.method.arithmetic.device, trainer.feed.batch
    one_step(trainer)
    wait_for(device)
    began, timed = time.perf_counter(), STEPS - 2
    for _ in range(timed):
        one_step(trainer)
    wait_for(device)
    seconds = time.perf_counter() - began
    with FlopCounterMode(display=False) as flops:
        one_step(trainer)
    gflop = flops.get_total_flops() / (batch / trainer.world.size) / 1e9
    return Probe(timed * batch / seconds, gflop, _memory_gib(device))


def one_step(trainer: Trainer) -> None:
    """One step of the method, as the loop takes them, without readings and checks."""
    trainer.finish_step(trainer.method.step(trainer.feed.at(trainer.seen), trainer.prepare_step()))


def stand_at(trainer: Trainer, start: float) -> None:
    """Puts the trainer at the first step from a share of the budget on; what it has learnt stays."""
    trainer.seen = math.ceil(start * trainer.schedule.total / trainer.feed.batch) * trainer.feed.batch


def _put_back(trainer: Trainer, before: Checkpoint) -> None:
    for optimizer in trainer.method.optimizers.values():
        optimizer.state.clear()
    trainer.restore(before, "the probe")


def _batch_that_fits(trainer: Trainer, before: Checkpoint) -> str:
    """Halves the batches until a step fits and says so."""
    feed = trainer.feed
    sizes = {name: part.batch for name, part in feed.parts.items()}
    factor = 2
    while factor <= feed.batch // FEWEST_A_STEP:
        trainer.feed = feed.smaller(factor)
        try:
            _put_back(trainer, before)
            for start in trainer.method.phases:
                stand_at(trainer, start)
                one_step(trainer)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            factor *= 2
            continue
        flags = " ".join(f"{part.flag} {part.batch}" for part in trainer.feed.parts.values())
        return f"A batch of {sizes[next(iter(sizes))]} does not fit into memory; this fits: {flags}."
    return f"Not even {FEWEST_A_STEP} images a step fit into memory: choose a smaller --size or a smaller network."


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _memory_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":  # it has no `resource`, and nothing in the standard library that tells as much
        return math.nan
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB on Linux
