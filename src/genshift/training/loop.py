"""The one training loop. It owns when; the method owns what."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from genshift.data.feed import Feed
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.methods.base import Method
from genshift.methods.schedules import Progress, learning_rate
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.owner import check_owned
from genshift.signals import leave_closed_terminal, stop_signals
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.ema import MovingAverage

# Processes agree to stop only every so many steps: agreeing costs a round trip.
AGREE_EVERY_STEPS = 8
PATIENCE = 5  # readings on end after which what looks wrong is wrong


class Observer(Protocol):
    """Somebody who looks at the networks at each check. It returns nothing, so nothing it knows can steer."""

    def __call__(self, images: int, method: Any) -> None:  # of the family that it was made for
        """`method` answers as it would at the end: with the moving average of its weights, where there is one."""


class NonFinite(Refusal):
    """A loss that is NaN or infinite."""


@dataclass(frozen=True)
class Schedule:
    """When a training reads and checks, in images; how the learning rate goes; how many checkpoints are kept."""

    total: int
    log_every: int
    check_every: int
    keep: int = 2
    lr: float = 1e-3
    lr_schedule: str = "constant"
    lr_warmup: int = 0
    marks: frozenset[int] = frozenset()  # checks besides the regular ones


class Meter:
    """Scalars of the steps since the last reading, kept on the device until then."""

    def __init__(self) -> None:
        self.steps: list[Mapping[str, Tensor]] = []

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Keeps one step's scalars without reading them."""
        self.steps.append(scalars)

    def read(self, world: World, device: torch.device) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Means over the steps and processes; and the first (step from here, name) that was not finite."""
        if not self.steps:
            return {}, None
        names = list(dict.fromkeys(name for step in self.steps for name in step))
        absent = torch.zeros((), device=device)  # a step need not give them all: a generator may rest
        given = torch.tensor([[name in step for name in names] for step in self.steps])
        rows = [[step.get(name, absent).to(device, torch.float32) for name in names] for step in self.steps]
        table = world.mean(torch.stack([torch.stack(row) for row in rows])).cpu()
        self.steps = []
        bad = (~table.isfinite()).nonzero()
        first_bad = (int(bad[0, 0]), names[int(bad[0, 1])]) if len(bad) else None
        return dict(zip(names, (table.sum(0) / given.sum(0)).tolist(), strict=True)), first_bad


@dataclass
class Trainer:
    """Trains a method from a feed into a run folder, from wherever the folder stands to the end of the budget."""

    run: RunFolder
    method: Method
    feed: Feed
    schedule: Schedule
    world: World
    console: Console
    held_out: ImageSet | None = None
    average: MovingAverage | None = None
    observers: list[Observer] = field(default_factory=list)
    sink: Callable[[Mapping[str, Any]], None] | None = None
    seen: int = 0
    best: float = -math.inf
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.method.nets = self.world.share_gradients(self.method.networks)
        self.method.begin(self.feed.parts)
        self.meter = Meter()
        self.alarms: dict[str, int] = {}
        self._read_at = self.seen

    # --- the loop -----------------------------------------------------------------------------------------------

    def train(self) -> bool:
        """Trains to the end of the budget. Returns False where a signal stopped it early (all is saved then).

        Raises NonFinite where a loss is not a number; the last good checkpoint stays.
        """
        with _Signals() as signals:
            clock = _Clock(self.seconds, self.cpu_seconds)
            while self.seen < self.schedule.total:
                self.finish_step(self.method.step(self.feed.at(self.seen), self.prepare_step()))
                self.seconds, self.cpu_seconds = clock.read()
                if self._crossed(self.schedule.log_every):
                    self.read_back()
                stopping = self._stops(signals)
                regular = self._crossed(self.schedule.check_every) or self.seen >= self.schedule.total
                if regular or self.seen in self.schedule.marks:
                    self.check()
                elif stopping:
                    self.read_back()
                    self.save()
                if stopping and self.seen < self.schedule.total:
                    return False
        return True

    def prepare_step(self) -> Progress:
        """Sets the learning rates of the step that comes, and tells how far training is."""
        progress = Progress(self.seen, self.schedule.total)
        for optimizer in self.method.optimizers.values():
            own = optimizer.defaults["lr"]
            rate = learning_rate(own, self.schedule.lr_schedule, self.schedule.lr_warmup, progress)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
        self.method.train_mode(True)
        return progress

    def finish_step(self, scalars: Mapping[str, Tensor]) -> None:
        """Keeps a step's scalars, moves the weights' average along, and counts the images."""
        self.meter.add(scalars)
        if self.average:
            self.average.update(self.method.networks, self.feed.batch, self.seen)
        self.seen += self.feed.batch

    def read_back(self) -> dict[str, Any]:
        """Reads the scalars since the last reading, writes a row, and stops where one is not finite, or where another
        process took the run folder over."""
        check_owned(self.run)
        means, bad = self.meter.read(self.world, self.method.arithmetic.device)
        start, self._read_at = self._read_at, self.seen
        if bad:
            raise NonFinite(self._explain(start + (bad[0] + 1) * self.feed.batch, f"The loss '{bad[1]}'"))
        row: dict[str, Any] = {"images": self.seen, "seconds": round(self.seconds, 3)}
        row["cpu_seconds"] = round(self.cpu_seconds, 3)
        row |= {f"train/{name}": value for name, value in means.items()}
        if means:
            alarms = self._lasting(self.method.alarms(means))
            self._write(row | ({"alarms": alarms} if alarms else {}))
            self.console.row(self.seen, self.schedule.total, self.seconds, means)
        return row

    def _lasting(self, alarms: Mapping[str, str]) -> list[str]:
        """The alarms that have held for PATIENCE readings on end; each is said once, when it has."""
        self.alarms = {name: self.alarms.get(name, 0) + 1 for name in sorted(alarms)}
        for name, readings in self.alarms.items():
            if readings == PATIENCE:
                self.console.say(f"warning: at {self.seen:,} images, {PATIENCE} readings on end, {alarms[name]}")
        return [name for name, readings in self.alarms.items() if readings >= PATIENCE]

    def check(self) -> None:
        """Reads back, validates, shows the networks to the observers and saves (best first, see `save`)."""
        self.read_back()
        with _Swapped(self.method.networks, self.average):
            measures = self._validate()
            if self.world.leads:
                for observer in self.observers:
                    observer(self.seen, self.method)
                check_owned(self.run)  # looking may have taken long
                # The latest whose score is within one standard error of the highest is the one to keep (the
                # one-standard-error rule: Hastie, Tibshirani and Friedman 2009, section 7.10): among models that
                # validation cannot tell apart, the later one has learnt longer.
                if measures:
                    score, error = measures
                    self.best = max(self.best, score)
                    if score >= self.best - error:
                        networks = checkpoint.pack_networks(self.method.networks)
                        self.run.save_best(Checkpoint(networks, self._about()))
        self.save()

    def _validate(self) -> tuple[float, float] | None:
        """Score and standard error on held-out images, in the leading process."""
        if self.held_out is None or not self.world.leads:
            return None
        measures = self.method.validate(self.held_out)
        if not measures:
            return None
        self._write({"images": self.seen, **{f"valid/{k}": v for k, v in measures.items() if k != "error"}})
        self.console.validation(self.seen, measures)
        return next(iter(measures.values())), measures.get("error", 0.0)

    # --- state --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes a numbered checkpoint. `check` writes best.safetensors before it, so that a run killed between the
        two does the check again; the other way round the best would be lost."""
        if self.world.leads:
            state = self.state()
            for name, tensor in state.tensors.items():
                if not checkpoint.is_finite(tensor):
                    raise NonFinite(self._explain(self.seen, f"The tensor '{name}'"))
            self.run.save(state, self.schedule.keep)
        self.world.wait()

    def state(self) -> Checkpoint:
        """All that a continued run needs."""
        tensors = checkpoint.pack_networks(self.method.networks)
        for name, optimizer in self.method.optimizers.items():
            tensors |= checkpoint.pack_optimizer(name, optimizer)
        if self.average:
            tensors |= {f"average/{k}": v for k, v in self.average.state.items()}
        # How many of an optimizer's parameters have state: it may rest until its phase, and some take no gradient.
        stepped = {name: len(checkpoint.stepped(name, tensors)) for name in self.method.optimizers}
        return Checkpoint(tensors, {**self._about(), "stepped": stepped})

    def restore(self, state: Checkpoint, origin: Any) -> None:
        """Puts the trainer where `state`, which `continuing.check` takes, was saved."""
        checkpoint.unpack_networks(state.tensors, self.method.networks, origin)
        for name, optimizer in self.method.optimizers.items():
            checkpoint.unpack_optimizer(name, optimizer, state.tensors)
        if self.average:
            saved = checkpoint.under(state.tensors, "average/")
            self.average.state = {k: v.to(self.average.state[k].device) for k, v in saved.items()}
        self.seen, self._read_at = state.about["images"], state.about["images"]
        best = state.about["best"]
        self.best = -math.inf if best is None else best
        self.seconds, self.cpu_seconds = state.about["seconds"], state.about["cpu_seconds"]
        self.alarms = dict(state.about.get("alarms", {}))
        self.meter = Meter()

    def _about(self) -> dict[str, Any]:
        best = None if math.isinf(self.best) else self.best
        return {
            "images": self.seen,
            "best": best,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "alarms": self.alarms,
        }

    # --- small things -------------------------------------------------------------------------------------------

    def _crossed(self, every: int) -> bool:
        return self.seen // every > (self.seen - self.feed.batch) // every

    def _stops(self, signals: _Signals) -> bool:
        """Whether any process was asked to stop; all agree on it."""
        if self.world.size == 1:
            return signals.noted
        if (self.seen // self.feed.batch) % AGREE_EVERY_STEPS:
            return False
        return self.world.any(signals.noted, self.method.arithmetic.device)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.world.leads:
            self.run.append("metrics.jsonl", row)
            if self.sink:
                self.sink(row)

    def _explain(self, images: int, what: str) -> str:
        saved = self.run.saved()
        kept = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint was written yet"
        return (
            f"{what} became NaN or infinite at step {images // self.feed.batch} ({images:,} images); "
            f"{kept}. Try a lower --lr (now {self.schedule.lr:g}), or --precision float32, in another --out folder."
        )


class _Clock:
    """Wall-clock and processor seconds, added to what earlier sittings took."""

    def __init__(self, seconds: float, cpu_seconds: float) -> None:
        self.wall = time.monotonic() - seconds
        self.cpu = time.process_time() - cpu_seconds

    def read(self) -> tuple[float, float]:
        return time.monotonic() - self.wall, time.process_time() - self.cpu


class _Signals:
    """While open, Ctrl-C, SIGTERM and SIGHUP are noted instead of killing; a second one kills as usual."""

    def __init__(self) -> None:
        self.noted = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in stop_signals():
            try:
                self.before[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread (a notebook's worker): signals stay as they are
                break
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.noted = True
        leave_closed_terminal()
        signal.signal(number, self.before[number])

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class _Swapped:
    """While open, the networks hold their moving average (where there is one)."""

    def __init__(self, networks: dict[str, nn.Module], average: MovingAverage | None) -> None:
        self.networks, self.average = networks, average

    def __enter__(self) -> None:
        if self.average:
            self.own = {n: {k: v.clone() for k, v in net.state_dict().items()} for n, net in self.networks.items()}
            for name, net in self.networks.items():
                net.load_state_dict(self.average.of(name))

    def __exit__(self, *exc: object) -> None:
        if self.average:
            for name, net in self.networks.items():
                net.load_state_dict(self.own[name])
