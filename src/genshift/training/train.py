"""From a preset to a trained run folder: `train` reads as a run, top to bottom.

The loop itself is in `loop.py`, what is learnt from in `training_data.py`, how fast it goes in `probe.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

import genshift
from genshift import device
from genshift.data.augment import Augment
from genshift.data.catalog import CATALOG
from genshift.data.feed import Feed
from genshift.data.manifest import Manifest, Memory
from genshift.errors import Refusal
from genshift.presets import OURS, Preset
from genshift.runs import checkpoint
from genshift.runs.checkpoint import CLEANED
from genshift.runs.features import RunFeatures
from genshift.runs.folder import RunFolder
from genshift.runs.forms import CONFIG, EVALUATION, RESULTS
from genshift.runs.manifest import remembered, write_manifest
from genshift.runs.owner import MEASURING, TRAIN, TRAINING, check_owned, owned
from genshift.runs.trained_run import build_method, open_run, open_teacher, preset_of
from genshift.temporary import remove_litter
from genshift.training.augmentation_trial import Trial, as_begun, settled
from genshift.training.console import Console
from genshift.training.continuing import check
from genshift.training.distributed import World, world_of
from genshift.training.domains import FEWEST_HELD_OUT
from genshift.training.ema import MovingAverage
from genshift.training.loop import Observer, Schedule, Trainer
from genshift.training.probe import STEPS, Probe, probe
from genshift.training.road import road_taken
from genshift.training.tracking import Tracking
from genshift.training.training_data import TrainingData, open_training_data

LOGS = 100  # readings of the scalars in a training: a curve needs no more points
CHECKS = 20  # checkpoints in a training: at most a twentieth is lost where the machine dies
MOVABLE = ("data", "source", "target", "held_out", "teacher")  # options that name places
TRIAL_SHARE = 0.1  # of a budget: one of the two trials that decide on information maximisation
MOST_MINUTES = 1_000_000  # two years: above it, something else was meant


@dataclass(frozen=True)
class Settings:
    """How a preset is run: seed, budget in minutes instead of images, machine, and what is kept and shown.

    keep: numbered checkpoints besides the best. skip_broken: leave out pictures that cannot be read. command: as the
    user gave it, for config.json. start: a run whose networks this one starts from. observers: who looks at each check.
    tracking: what of a tracker of experiments, which looks last. checks: how often that is. found: what trials said
    before the run began, as config.json keeps it; said: lines of that, told when the data was read.
    """

    seed: int = 0
    minutes: float | None = None
    device: str = "auto"
    threads: int | None = None
    data_root: Path | None = None
    skip_broken: bool = False
    keep: int = 2
    command: str = ""
    start: Path | None = None
    observers: list[Observer] = field(default_factory=list)
    tracking: Tracking | None = None
    checks: int | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    @property
    def left(self) -> float:
        """The share of the budget that is the run's own; the rest was for its trials."""
        return 1 - 2 * TRIAL_SHARE if "information" in self.found else 1.0

    def checked(self) -> Self:
        """These settings, or a Refusal that names the one out of range."""
        if self.minutes is not None and not 0 < self.minutes < MOST_MINUTES:
            raise Refusal(f"--minutes must be above 0 and below {MOST_MINUTES:,}, not {self.minutes:g}.")
        if self.threads is not None and self.threads < 1:
            raise Refusal(f"--threads must be 1 or more, not {self.threads}.")
        if self.keep < 1:
            raise Refusal(f"--keep must be 1 or more, not {self.keep}.")
        return self


def train(preset: Preset, out: Path, settings: Settings) -> bool:
    """Trains `preset` into the folder `out`, or continues what stands there.

    Returns False where Ctrl-C, SIGTERM or SIGHUP stopped it early; the same call then continues. A finished run is
    left as it is; given more images it goes on, where its preset is not `bound_to_budget`. Raises Refusal for wrong
    input, and where a loss stops being finite.
    """
    # The machine, and the processes that share the batch.
    chosen = device.choose_device(settings.checked().device)
    device.prepare_process(settings.threads, chosen)
    run = RunFolder(out)
    # The run folder is this process's before anything in it is read: new, or begun with the very same description.
    with owning(run), world_of(chosen.type) as world, Console(world.leads) as console:
        begun = run.exists()
        if begun:
            check_same(run, preset, settings)
            preset = as_begun(preset, run)
            if world.leads:
                _draw_as_now(run, preset, console)
        # What is learnt from, and the trainer at its start.
        with console.phase(f"Reading {preset.task}"):
            memory = Memory(remembered(run), predecessor_of(settings))
            training_data = open_training_data(preset, settings.data_root, settings.skip_broken, memory)
        check_choice(preset, training_data)
        preset, trials = (preset, []) if begun else settled(preset, training_data, chosen, world, console)
        arithmetic = device.choose_arithmetic(preset.precision, chosen)
        trainer = assemble(preset, run, training_data, settings, arithmetic, world, console)
        if world.leads:
            if not begun:
                run.create()
            remove_litter(run.path)
        trainer.method.kept = RunFeatures(run.path, writes=world.leads)
        world.wait()
        _introduce(trainer, preset, training_data, settings, trials)
        # From where an earlier sitting saved; then a probe, whose steps are undone, tells how long it takes.
        if begun and _resume(trainer, preset, settings):
            return True
        with console.phase(f"Taking {STEPS} steps to see how fast it goes"):
            measured = probe(trainer)
        check_owned(run)
        if not begun:
            _begin(trainer, preset, settings, training_data, measured, trials)
        elif world.leads:
            _check_fingerprints(run, training_data)
            if memory.own:
                write_manifest(run, training_data.manifest)  # the sets may have moved
            with owned(run, MEASURING, command=TRAIN, say=console.say, wait=True):  # an evaluation may be at work
                if trainer.schedule.total > run.config["images"]:
                    _enlarge(run, preset, trainer.schedule.total, settings)
                run.rewind(trainer.seen)
        world.wait()
        # To the end of the budget, or to a signal.
        console.say(measured.sentence(trainer.schedule.total - trainer.seen))
        finished = trainer.train()
        if not finished:
            console.say(f"Stopped and saved at {trainer.seen:,} images; the same command continues.")
        return finished


def owning(run: RunFolder, wait: bool = False) -> AbstractContextManager[None]:
    """While open, the run is this process's to train; where another is at work in its folder, Refusal, or `wait`."""
    return owned(run, TRAINING, command=TRAIN, say=Console().say, new=True, wait=wait)


def assemble(
    preset: Preset,
    run: RunFolder,
    training_data: TrainingData,
    settings: Settings,
    arithmetic: device.Arithmetic,
    world: World,
    console: Console,
) -> Trainer:
    """The trainer of a preset at its start: networks initialised from the seed, feed, method."""
    method = build_method(preset, len(training_data.classes), arithmetic, settings.seed)
    if preset.teacher:
        method.learn_by(open_teacher(preset, method.rule))
    sets = {name: part for name, part in training_data.on(arithmetic.device).parts.items() if name in method.draws}
    augment = Augment(preset.flip, preset.rotate, preset.shift, preset.scale, preset.recolour, preset.strong)
    feed = Feed(sets, method.rule, arithmetic, settings.seed, world.rank, world.size, augment, preset.zips)
    if not run.saved():
        method.start_from_pretrained()
        if settings.start is not None and str(settings.start) != preset.teacher:  # whose weights a student has by now
            start = open_run(settings.start, on=arithmetic.device.type)
            checkpoint.unpack_networks(
                checkpoint.pack_networks(start.method.networks), method.networks, start.checkpoint
            )
    average = MovingAverage(method.networks, preset.ema_half_life) if preset.ema_half_life else None
    schedule = _schedule(preset, method.phases, preset.images, feed.batch, settings)
    return Trainer(run, method, feed, schedule, world, console, training_data.held_out, average)


def predecessor_of(settings: Settings) -> Manifest | None:
    """What the run remembers that this one starts from; None where it starts from none."""
    if settings.start is None:
        return None
    known = remembered(RunFolder(settings.start))
    if not known:
        raise Refusal(
            f"--from {settings.start} is no run that remembers its data, so what it held out is not known: name a run "
            "folder that genshift 0.3 or newer trained."
        )
    return known


def _introduce(
    trainer: Trainer, preset: Preset, training_data: TrainingData, settings: Settings, trials: list[Trial]
) -> None:
    """Says what is trained from what on which machine, and what was measured for it."""
    console, arithmetic = trainer.console, trainer.method.arithmetic
    for note in dict.fromkeys(training_data.notes):
        console.say(f"note: {note}")
    for line in (*road_taken(preset, training_data), *(trial["why"] for trial in trials), *settings.said):
        console.say(line)
    console.say(f"{preset.name}: {preset.summary}; seed {settings.seed}, into {trainer.run.path}")
    console.say(f"{device.machine(arithmetic.device)}, {torch.get_num_threads()} threads; {arithmetic.reason}.")
    trainer.observers = list(settings.observers)
    if settings.tracking is not None:
        trainer.observers.append(settings.tracking)  # last: it sends what the others have written
        trainer.sink = settings.tracking.row


def _resume(trainer: Trainer, preset: Preset, settings: Settings) -> bool:
    """Puts the trainer where the run was saved last. Returns whether nothing is left to train."""
    run, console = trainer.run, trainer.console
    begun = run.config["images"]  # as it was worked out when the run began
    trainer.schedule = _schedule(preset, trainer.method.phases, begun, trainer.feed.batch, settings)
    total = (
        begun
        if settings.minutes is not None
        else max(begun, whole_steps(int(settings.left * preset.images), trainer.feed.batch))
    )
    saved = run.last()
    if saved is not None:
        check(trainer, saved, run.saved()[-1])
        if total > begun and saved.about.get(CLEANED):
            raise Refusal(f"{run.path} was cleaned, so it cannot go on to {total:,} images: name another --out.")
        trainer.restore(saved, run.saved()[-1])
    if total > begun:
        console.say(f"The budget grows from {begun:,} to {total:,} images.")
        trainer.schedule = _schedule(preset, trainer.method.phases, total, trainer.feed.batch, settings)
    if trainer.seen >= total:
        console.say(f"{run.path} is finished ({trainer.seen:,} images): nothing to train.")
        return True
    console.say(f"Continuing from {trainer.seen:,} images.")
    # What is otherwise than when the run was begun: the bits will not be those of an undisturbed run.
    now = {
        "precision": trainer.method.arithmetic.precision,
        "device": trainer.method.arithmetic.device.type,
        "threads": torch.get_num_threads(),
        "world": trainer.world.size,
    }
    otherwise = [
        f"{name} {run.config[name]} then, {value} now" for name, value in now.items() if run.config[name] != value
    ]
    if otherwise:
        console.say(f"note: {'; '.join(otherwise)}: the weights will differ a little from an undisturbed run's.")
    return False


def _begin(
    trainer: Trainer,
    preset: Preset,
    settings: Settings,
    training_data: TrainingData,
    measured: Probe,
    trials: list[Trial],
) -> None:
    """Works the budget out and writes config.json."""
    total = _budget(preset, settings, measured, trainer)
    trainer.schedule = _schedule(preset, trainer.method.phases, total, trainer.feed.batch, settings)
    if trainer.world.leads:
        spent = preset if settings.minutes is None else preset.replaced(images=total)
        write_manifest(trainer.run, training_data.manifest)
        config = _config(spent, settings, trainer, training_data, measured)
        trainer.run.write("config.json", {**config, **({"augmentation": trials} if trials else {}), **settings.found})


def _enlarge(run: RunFolder, preset: Preset, total: int, settings: Settings) -> None:
    """Writes the larger budget into config.json. What was measured of the smaller one goes first: a process that is
    killed in between does it again."""
    for name in (EVALUATION, RESULTS, "card.md"):
        (run.path / name).unlink(missing_ok=True)
    config = run.config
    config["preset"]["fields"]["images"] = preset.images
    config["preset"]["origins"]["images"] = preset.origins.get("images", OURS)
    run.write(CONFIG, {**config, "images": total, "command": settings.command or config["command"]})


# --- the budget, and config.json ------------------------------------------------------------------------------------


def _budget(preset: Preset, settings: Settings, measured: Probe, trainer: Trainer) -> int:
    """Images to train on, a whole number of steps. Minutes are turned into images once, by the probe's speed, so that
    schedules, and a continued run, do not depend on how busy the machine is later."""
    images = preset.images
    if settings.minutes is not None:
        own = torch.tensor(measured.images_per_second, device=trainer.method.arithmetic.device)
        speed = trainer.world.mean(own).item()
        images = int(speed * settings.minutes * 60)
        trainer.console.say(f"{settings.minutes:g} minutes are {images:,} images at the probe's speed.")
    return whole_steps(int(settings.left * images), trainer.feed.batch)


def whole_steps(images: int, batch: int) -> int:
    """The budget in whole steps, at least one."""
    return max(1, -(-images // batch)) * batch


def _schedule(preset: Preset, phases: Sequence[float], total: int, batch: int, settings: Settings) -> Schedule:
    """The schedule of so many images: readings, checks and the learning rate, in whole steps."""

    def every(parts: int) -> int:
        return max(1, total // parts // batch) * batch

    check_every = every(settings.checks or CHECKS)
    return Schedule(
        total, every(LOGS), check_every, settings.keep, preset.lr, preset.lr_schedule, preset.lr_warmup,
        frozenset(_marks(phases, total, batch, check_every)),
    )  # fmt: skip


def _marks(phases: Sequence[float], total: int, batch: int, every: int) -> Iterator[int]:
    """Where a later phase begins, and 4, 8, 16, ... steps on: a training moves most there, and between two regular
    checks may gain and lose what it was begun for."""
    for phase in phases[1:]:
        start = math.ceil(phase * total / batch)
        yield start * batch
        steps = 4
        while steps * batch < every:
            yield (start + steps) * batch
            steps *= 2


def _config(
    preset: Preset, settings: Settings, trainer: Trainer, training_data: TrainingData, measured: Probe
) -> dict[str, Any]:
    networks = trainer.method.networks
    return {
        "genshift": genshift.__version__,
        "preset": {
            "family": preset.family,
            "name": preset.name,
            "study": preset.study,
            "task": preset.task,
            "role": preset.method,  # so called in config.json since 0.1
            "summary": preset.summary,
            "networks": preset.networks,
            "fields": preset.options(),
            "origins": {**dict.fromkeys(preset.options(), "ours"), **preset.origins},
            "published": dict(preset.published),
        },
        "seed": settings.seed,
        "images": trainer.schedule.total,
        "minutes": settings.minutes,
        "skip_broken": settings.skip_broken,
        **({} if settings.start is None else {"started_from": _told_of(RunFolder(settings.start))}),
        "classes": list(training_data.classes),
        "precision": trainer.method.arithmetic.precision,
        "precision_reason": trainer.method.arithmetic.reason,
        "device": trainer.method.arithmetic.device.type,
        "machine": device.machine(trainer.method.arithmetic.device),
        "threads": torch.get_num_threads(),
        "world": trainer.world.size,
        "gflop_per_image": round(measured.gflop, 6),
        "command": settings.command,
        "data": training_data.describe(),
        "networks": {net._get_name(): str(net) for net in networks.values()},
        "parameters": {n._get_name(): sum(p.numel() for p in n.parameters()) for n in networks.values()},
        "environment": device.environment(),
    }


def _told_of(start: RunFolder) -> dict[str, Any]:
    """What config.json says of the run that another starts from; it may be gone later."""
    data = {part: known.digest() for part, known in (remembered(start) or {}).items()}
    return {"run": start.path.name, "preset": start.config["preset"]["name"], "images": start.seen, "manifest": data}


def check_choice(preset: Preset, training_data: TrainingData) -> None:
    """Refuses a choice by held-out images where too few are held out."""
    count = 0 if training_data.held_out is None else len(training_data.held_out)
    if preset.select == "label-free" and count < FEWEST_HELD_OUT:
        given = f"--held-out {preset.held_out}" if preset.held_out else f"--validation {preset.validation:g}"
        raise Refusal(
            f"{given} holds {count} of {preset.trains_on}'s pictures out, and choosing a "
            f"checkpoint needs {FEWEST_HELD_OUT} or more: give a larger share, more pictures, or --select last."
        )


def check_same(run: RunFolder, preset: Preset, settings: Settings) -> None:
    """Refuses to continue a run under another description."""
    preset = as_begun(preset, run)
    config = run.whole_config
    stored = preset_of(config)
    if stored.name != preset.name:
        raise Refusal(f"{run.path} is a run of {stored.name}, not {preset.name}: name another --out.")
    # Where data lies is no part of what a run is: its manifest knows it by content.
    moved = MOVABLE if remembered(run) else ()
    now = {"seed": settings.seed, "minutes": settings.minutes, **preset.options()}
    begun = {"seed": config["seed"], "minutes": config.get("minutes"), **stored.options()}
    if settings.minutes is not None:  # the budget was worked out once, and stands in the configuration
        del now["images"]
    if "depth" not in config["preset"]["fields"]:  # of 0.2 and before: 16, or a value that leaves the pixels the same
        del now["depth"]
    bound = preset.bound_to_budget
    for name, value in now.items():
        if name in preset.drawing:
            continue
        larger = name == "images" and value > begun[name]
        if begun[name] == value or (larger and not bound):
            continue
        if name not in moved or "" in (begun[name], value) or {begun[name], value} & set(CATALOG):
            flag, why = f"--{name.replace('_', '-')}", f", and {bound}" if larger else ""
            before, after = (setting if setting != "" else "left out" for setting in (begun[name], value))
            raise Refusal(f"{run.path} was begun with {flag} {before}, not {after}{why}: name another --out.")


def _draw_as_now(run: RunFolder, preset: Preset, console: Console) -> None:
    """A diffusion run draws as the preset now says, from here on: config.json is written anew where that is otherwise
    than when the run was begun, by an earlier version or another flag."""
    config = run.whole_config
    begun, now = preset_of(config).options(), preset.options()
    changed = [name for name in preset.drawing if begun[name] != now[name]]
    for name in changed:
        console.say(f"note: it draws with --{name.replace('_', '-')} {now[name]} from now on, {begun[name]} until now.")
        config["preset"]["fields"][name] = now[name]
        config["preset"]["origins"] = {**config["preset"]["origins"], name: preset.origins.get(name, OURS)}
    if changed:
        run.write(CONFIG, config)


def _check_fingerprints(run: RunFolder, training_data: TrainingData) -> None:
    """Refuses to continue with other images than the run was begun with."""
    for domain, now in training_data.describe().items():
        before = run.config["data"].get(domain, {"n": 0})
        if any(before.get(key) != now[key] for key in ("fingerprint", "extra") if key in now):
            raise Refusal(
                f"The {domain} images are not those that {run.path} was begun with ({before['n']:,} then, {now['n']:,} "
                "now, or other pixels): restore them, or name another --out."
            )
