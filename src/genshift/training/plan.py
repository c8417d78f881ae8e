"""What a training would cost: minutes, memory and disk, by the steps of the probe; nothing is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genshift import device
from genshift.presets import Preset
from genshift.runs.folder import RunFolder
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.loop import Trainer
from genshift.training.probe import STEPS, duration, probe
from genshift.training.train import Settings, assemble, check_choice, check_same
from genshift.training.training_data import open_training_data

CANDIDATES = 11  # checkpoints that an adapting run keeps to choose from, beside the numbered ones, about


@dataclass(frozen=True)
class Plan:
    """seconds: of training, without evaluations. memory_gib: at its highest; None where the system does not tell it.
    disk_gib: of the run folder at its end."""

    images: int
    seconds: float
    memory_gib: float | None
    disk_gib: float

    def sentence(self) -> str:
        """For the user."""
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.2f} GiB of memory"
        minutes = f"{duration(self.seconds)} of training on this machine"
        return f"{self.images:,} images: {minutes}{memory}, {self.disk_gib:.2f} GiB of disk."


def plan(preset: Preset, run: RunFolder, settings: Settings) -> Plan:
    """Reads the data, takes the probe's steps and tells what `train` would cost; Refusal as `train`."""
    if run.exists():
        check_same(run, preset, settings)
    else:
        run.check_place()
    chosen = device.choose_device(settings.device)
    device.prepare_process(settings.threads, chosen)
    arithmetic = device.choose_arithmetic(preset.precision, chosen)
    with Console().phase(f"Reading {preset.task}"):
        training_data = open_training_data(preset, settings.data_root, settings.skip_broken)
    check_choice(preset, training_data)
    trainer = assemble(preset, run, training_data, settings, arithmetic, World(), Console(False))
    with Console().phase(f"Taking {STEPS} steps to see how fast it goes"):
        measured = probe(trainer)
    images = preset.images if settings.minutes is None else int(measured.images_per_second * settings.minutes * 60)
    memory = None if math.isnan(measured.memory_gib) else measured.memory_gib
    disk = kept_bytes(trainer, settings.keep) / 2**30
    return Plan(images, images / measured.images_per_second, memory, disk)


def kept_bytes(trainer: Trainer, keep: int) -> int:
    """Of the checkpoints of a run at its end, `keep` of which are numbered."""
    state = trainer.state().tensors
    whole = sum(tensor.nbytes for tensor in state.values())
    networks = sum(tensor.nbytes for name, tensor in state.items() if name.startswith("network/"))
    return keep * whole + (CANDIDATES * networks if trainer.method.preset.adapts else networks)
