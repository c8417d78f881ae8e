"""From a preset to a trained run folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import genshift
from genshift import device, nets
from genshift.data.augment import Augment
from genshift.data.batches import seed_of
from genshift.data.feed import Feed, PixelNormalization
from genshift.errors import Refusal
from genshift.methods import ClassifierMethod, Method, VAEMethod, build
from genshift.nets.classifier import ResidualExtractor
from genshift.nets.pretrained import TimmBackbone
from genshift.presets import BenchmarkPreset, Preset, class_of
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.selection.rules import FEWEST
from genshift.training.console import Console, tensorboard_sink
from genshift.training.distributed import World, world_of
from genshift.training.ema import MovingAverage
from genshift.training.loop import Observer, Schedule, Trainer
from genshift.training.probe import Probe, probe
from genshift.training.training_data import TrainingData, open_training_data

LOGS = 100
CHECKS = 20
MOST_MINUTES = 1_000_000


@dataclass(frozen=True)
class Settings:
    """How to run a preset: the seed, a budget in minutes instead of images, and what does not change what is learnt."""

    seed: int = 0
    minutes: float | None = None
    device: str = "auto"
    threads: int | None = None
    data_root: Path | None = None
    skip_broken: bool = False
    keep: int = 2
    tensorboard: bool = False
    command: str = ""
    observers: list[Observer] = field(default_factory=list)


def train(preset: Preset, out: Path, settings: Settings) -> bool:
    """Trains `preset` into the folder `out`, or continues what stands there.

    Returns False where Ctrl-C or SIGTERM stopped it early; the same call then continues. A finished run is left as
    it is. Raises Refusal for wrong input, and where a loss stops being finite.
    """
    _check_settings(settings)
    chosen = device.choose_device(settings.device)
    device.prepare_process(settings.threads, chosen)
    with world_of(chosen.type) as world:
        console = Console(world.leads)
        try:
            return _train(preset, RunFolder(out), settings, chosen, world, console)
        finally:
            console.close()


def _train(
    preset: Preset,
    run: RunFolder,
    settings: Settings,
    chosen: torch.device,
    world: World,
    console: Console,
) -> bool:
    begun = run.exists()
    if begun:
        _check_same(run, preset, settings)
    arithmetic = device.choose_arithmetic(preset.precision, chosen)
    training_data = open_training_data(preset, settings.data_root, settings.skip_broken)
    _check_choice(preset, training_data)
    trainer = assemble(preset, run, training_data, settings, arithmetic, world, console)
    if world.leads and not begun:
        run.create()
    world.wait()
    for note in dict.fromkeys(training_data.notes):
        console.say(f"note: {note}")
    console.say(f"{preset.name}: {preset.summary}; seed {settings.seed}, into {run.path}")
    console.say(f"{device.machine(chosen)}, {torch.get_num_threads()} threads; {arithmetic.reason}.")
    trainer.observers = list(settings.observers)
    if settings.tensorboard and world.leads:
        trainer.sink = tensorboard_sink(run.path / "tensorboard")
    return _resume_and_train(preset, run, trainer, training_data, settings, begun)


def _resume_and_train(
    preset: Preset, run: RunFolder, trainer: Trainer, training_data: TrainingData, settings: Settings, begun: bool
) -> bool:
    console, world, method = trainer.console, trainer.world, trainer.method
    if begun:
        trainer.schedule = _schedule(preset, method.phases, run.config["images"], trainer.feed.batch, settings.keep)
        saved = run.last()
        if saved is not None:
            trainer.restore(saved, run.saved()[-1])
        if trainer.seen >= trainer.schedule.total:
            console.say(f"{run.path} is finished ({trainer.seen:,} images): nothing to train.")
            return True
        console.say(f"Continuing from {trainer.seen:,} images.")
        if otherwise := _differences(run.config, trainer):
            console.say(f"note: {'; '.join(otherwise)}: the weights will differ a little from an undisturbed run's.")
    found = probe(trainer)
    if not begun:
        total = _budget(preset, settings, found, trainer.feed.batch, world, trainer)
        trainer.schedule = _schedule(preset, method.phases, total, trainer.feed.batch, settings.keep)
        if world.leads:
            spent = preset if settings.minutes is None else preset.replaced(images=total)
            run.write("config.json", _config(spent, settings, trainer, training_data, found))
    elif world.leads:
        _check_fingerprints(run, training_data)
        run.rewind(trainer.seen)
    world.wait()
    console.say(found.sentence(trainer.schedule.total - trainer.seen))
    finished = trainer.train()
    if not finished:
        console.say(f"Stopped and saved at {trainer.seen:,} images; the same command continues.")
    return finished


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
    if isinstance(method, VAEMethod) and method.preset.perceptual:
        method.features = feature_maps(Path(method.preset.features), method.rule)
    parts = {name: part for name, part in training_data.on(arithmetic.device).parts.items() if name in method.draws}
    augment = Augment(preset.flip, preset.rotate, preset.shift, preset.scale, preset.recolour, preset.strong)
    feed = Feed(parts, method.rule, arithmetic, settings.seed, world.rank, world.size, augment)
    if isinstance(preset, BenchmarkPreset) and isinstance(method, ClassifierMethod) and not run.saved():
        backbone = method.extractor_of("source")
        if isinstance(backbone, TimmBackbone):
            backbone.start_from(preset.weights)
    average = MovingAverage(method.networks, preset.ema_half_life) if preset.ema_half_life else None
    schedule = _schedule(preset, method.phases, preset.images, feed.batch, settings.keep)
    return Trainer(run, method, feed, schedule, world, console, training_data.held_out, average)


def build_method(preset: Preset, classes: int, arithmetic: device.Arithmetic, seed: int) -> Method:
    """The method over freshly initialised networks, a function of the seed."""
    torch.manual_seed(seed_of("networks", seed) % 2**63)
    networks = nets.build(preset, classes)
    for net in networks.values():
        net.to(arithmetic.device, arithmetic.dtype)
        for parameter in net.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=arithmetic.memory_format)
    rule = PixelNormalization(preset.mean, preset.std, nets.channels(preset))
    return build(preset, networks, classes, rule, arithmetic)


def feature_maps(path: Path, rule: PixelNormalization) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """The feature maps of a trained classifier's run, frozen, for pictures in another method's pixel `rule`.

    Raises Refusal where the run is no classifier that genshift's own networks make up.
    """
    preset, judge, _ = open_method(RunFolder(path))
    extractor = judge.networks.get("extractor")
    if not isinstance(extractor, ResidualExtractor):
        raise Refusal(f"--features {path} is a run of {preset.name}: name one of faces-attributes, or of its kind.")
    extractor.eval().requires_grad_(False)

    def look(x: torch.Tensor) -> list[torch.Tensor]:
        pixels = x * rule.std + rule.mean
        if pixels.shape[-1] != preset.size:
            pixels = F.interpolate(pixels, size=(preset.size, preset.size), mode="bilinear", antialias=True)
        with judge.arithmetic.autocast():
            return extractor.maps((pixels - preset.mean) / preset.std)

    return look


def open_method(run: RunFolder, which: str | None = None) -> tuple[Preset, Method, tuple[str, ...]]:
    """The trained method of a run with its preset and classes; `which` is "last", "best" or by default what
    `genshift select` chose, else the preset's choice.

    Raises Refusal where the run has no checkpoint or holds another network.
    """
    config = run.config
    preset = preset_of(config)
    chosen = device.choose_device("auto")
    same = chosen.type == config["device"]
    arithmetic = device.choose_arithmetic(config["precision"] if same else preset.precision, chosen)
    method = build_method(preset, len(config["classes"]), arithmetic, 0)
    path = (None if which else run.selected()) or run.chosen(which or preset.select)
    load_networks(method, path)
    return preset, method, tuple(config["classes"])


def load_networks(method: Method, path: Path) -> None:
    """Puts a checkpoint's networks, or their moving average, into the method; Refusal where they are others."""
    checkpoint.unpack_networks(_averaged(checkpoint.load(path).tensors), method.networks, path)


def _averaged(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The networks to use: their moving average where the checkpoint has one."""
    average = checkpoint.under(tensors, "average/")
    return tensors | {"network/" + name.replace(".", "/", 1): value for name, value in average.items()}


def preset_of(config: dict[str, Any]) -> Preset:
    """The preset that config.json describes; Refusal where it does not fit this version."""
    stored = config["preset"]
    try:
        # Runs of 0.1 and before know one family alone.
        family = class_of(stored.get("family", "adaptation"), stored["networks"], stored["role"])
        plain = {k: stored[k] for k in ("name", "study", "role", "networks", "origins", "published")}
        if extra := ", ".join(sorted(set(stored["fields"]) - {f.name for f in dataclasses.fields(family)})):
            raise Refusal(f"config.json has fields unknown to genshift {genshift.__version__}: {extra}.")
        return family(**plain, **stored["fields"]).checked()
    except (KeyError, TypeError) as error:
        raise Refusal(f"config.json describes no preset ({error}): restore it, or name another run folder.") from None


# --- the budget, and config.json ------------------------------------------------------------------------------------


def _check_settings(settings: Settings) -> None:
    if settings.minutes is not None and not 0 < settings.minutes < MOST_MINUTES:
        raise Refusal(f"--minutes must be above 0 and below {MOST_MINUTES:,}, not {settings.minutes:g}.")
    if settings.threads is not None and settings.threads < 1:
        raise Refusal(f"--threads must be 1 or more, not {settings.threads}.")
    if settings.keep < 1:
        raise Refusal(f"--keep must be 1 or more, not {settings.keep}.")


def _budget(preset: Preset, settings: Settings, found: Probe, batch: int, world: World, trainer: Trainer) -> int:
    """Images to train on, a whole number of steps. Minutes are turned into images once, by the probe's speed, so that
    schedules, and a continued run, do not depend on how busy the machine is later."""
    images = preset.images
    if settings.minutes is not None:
        speed = world.mean(torch.tensor(found.images_per_second, device=trainer.method.arithmetic.device)).item()
        images = int(speed * settings.minutes * 60)
        trainer.console.say(f"{settings.minutes:g} minutes are {images:,} images at the probe's speed.")
    return max(1, -(-images // batch)) * batch


def _schedule(preset: Preset, phases: Sequence[float], total: int, batch: int, keep: int) -> Schedule:
    def every(parts: int) -> int:
        return max(1, total // parts // batch) * batch

    return Schedule(
        total, every(LOGS), every(CHECKS), keep, preset.lr, preset.lr_schedule, preset.lr_warmup,
        frozenset(_marks(phases, total, batch, every(CHECKS))),
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
    preset: Preset, settings: Settings, trainer: Trainer, training_data: TrainingData, found: Probe
) -> dict[str, Any]:
    networks = trainer.method.networks
    return {
        "genshift": genshift.__version__,
        "preset": {
            "family": preset.family,
            "name": preset.name,
            "study": preset.study,
            "task": preset.task,
            "role": preset.method,
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
        "classes": list(training_data.classes),
        "precision": trainer.method.arithmetic.precision,
        "precision_reason": trainer.method.arithmetic.reason,
        "device": trainer.method.arithmetic.device.type,
        "machine": device.machine(trainer.method.arithmetic.device),
        "threads": torch.get_num_threads(),
        "world": trainer.world.size,
        "gflop_per_image": round(found.gflop, 6),
        "command": settings.command,
        "data": training_data.describe(),
        "networks": {net._get_name(): str(net) for net in networks.values()},
        "parameters": {n._get_name(): sum(p.numel() for p in n.parameters()) for n in networks.values()},
        "environment": device.environment(),
    }


def _check_choice(preset: Preset, training_data: TrainingData) -> None:
    """Refuses a choice by held-out images where too few are held out."""
    count = 0 if training_data.held_out is None else len(training_data.held_out)
    if preset.select == "label-free" and count < FEWEST:
        raise Refusal(
            f"--validation {preset.validation:g} holds {count} of {preset.trains_on}'s pictures out, and choosing a "
            f"checkpoint needs {FEWEST} or more: give a larger share, more pictures, or --select last."
        )


def _check_same(run: RunFolder, preset: Preset, settings: Settings) -> None:
    """Refuses to continue a run under another description."""
    config = run.config
    stored = preset_of(config)
    if stored.name != preset.name:
        raise Refusal(f"{run.path} is a run of {stored.name}, not {preset.name}: name another --out.")
    asked = {"seed": settings.seed, "minutes": settings.minutes, **preset.options()}
    begun = {"seed": config["seed"], "minutes": config.get("minutes"), **stored.options()}
    if settings.minutes is not None:  # the budget was worked out once, and stands in the configuration
        del asked["images"]
    for name, value in asked.items():
        if begun[name] != value:
            flag = f"--{name.replace('_', '-')}"
            raise Refusal(f"{run.path} was begun with {flag} {begun[name]}, not {value}: name another --out.")


def _differences(config: dict[str, Any], trainer: Trainer) -> list[str]:
    """What is otherwise than when the run was begun, so that the bits will not be those of an undisturbed run."""
    now = {
        "precision": trainer.method.arithmetic.precision,
        "device": trainer.method.arithmetic.device.type,
        "threads": torch.get_num_threads(),
        "world": trainer.world.size,
    }
    return [f"{name} {config[name]} then, {value} now" for name, value in now.items() if config[name] != value]


def _check_fingerprints(run: RunFolder, training_data: TrainingData) -> None:
    for role, now in training_data.describe().items():
        before = run.config["data"][role]
        if any(before[key] != now[key] for key in ("fingerprint", "extra") if key in now):
            raise Refusal(
                f"The {role} images are not those that {run.path} was begun with ({before['n']:,} then, {now['n']:,} "
                "now, or other pixels): restore them, or name another --out."
            )
