"""What every arm offers, genshift's own arm, and ready batches for loops that take any iterable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from beside.stepping import Stepping
from beside.tasks import SEED, Pictures, Task, batch_of, method_of, pictures_of
from genshift import device
from genshift.data.feed import Batch, Feed, TrainingSet
from genshift.training.ema import MovingAverage

READY = 4  # batches that lie ready in memory: more would be more of the same
FIRST = 0.9  # share of its budget at which ADDA's second phase is at work


@dataclass(frozen=True)
class Loss:
    """What an arm's own code says of the first batch, and what plain PyTorch computes of the same networks."""

    own: float
    expected: float


class Arm:
    """A way of doing a task. `floor` is the images of an epoch; None: only ready batches are there.

    `batches` are float pictures with labels, by the set's name, of READY steps.
    """

    bfloat16 = False

    def __init__(self, task: Task, folder: Path | None, count: int) -> None:
        self.task, self.preset = task, task.preset_now()
        self.sizes = batch_of(task)
        self.pictures = {name: pictures_of(task, name, count, folder) for name in self.sizes}
        self.from_files, self.count = folder is not None, count
        self.build()

    def build(self) -> None:
        """Makes networks, optimizers and the loop's data, once."""
        raise NotImplementedError

    def run(self, steps: int) -> None:
        """Trains so many steps."""
        raise NotImplementedError

    def first_loss(self) -> Loss | None:
        """Of the first batch in float32, before anything is learnt; None where nothing can be compared."""
        return None

    def parameters(self) -> int:
        """Of all networks that learn."""
        return sum(p.numel() for net in self.networks.values() for p in net.parameters())

    networks: Mapping[str, nn.Module]

    @property
    def batch(self) -> int:
        """The images by which a step is counted."""
        return next(iter(self.sizes.values()))

    @property
    def steps_an_epoch(self) -> int:
        """Steps until every picture of the first set was seen."""
        return self.count // self.batch

    def first(self, name: str) -> tuple[Tensor, Tensor]:
        """The first batch of a set: float32 pictures, int64 labels."""
        pictures = self.pictures[name]
        size = self.sizes[name]
        array = pictures.bytes()[:size]
        return Pictures(pictures.labels, array).floats(self.preset), torch.from_numpy(pictures.labels[:size])

    def loader(self, name: str) -> Iterator[Any]:
        """An endless loader: of pictures that PIL reads one by one where they are files, else of ready batches."""
        if self.from_files:
            files = PictureFiles(self.pictures[name], self.preset)
            return endless(DataLoader(files, self.sizes[name], shuffle=True, drop_last=True))
        return cycle(self.ready(name))

    def ready(self, name: str) -> list[tuple[Tensor, Tensor]]:
        """Batches of float pictures and labels in memory."""
        pictures, size = self.pictures[name], self.sizes[name]
        x, y = pictures.floats(self.preset), torch.from_numpy(pictures.labels)
        most = min(READY, len(x) // size)
        return [(x[i * size : (i + 1) * size], y[i * size : (i + 1) * size]) for i in range(most)]


class PictureFiles(Dataset[tuple[Tensor, int]]):
    """As a tutorial reads a folder: each file opened, made a tensor and normalised when it is asked for."""

    def __init__(self, pictures: Pictures, preset: Any) -> None:
        self.pictures, self.preset, self.files = pictures, preset, pictures.files()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        one = Pictures(self.pictures.labels[index : index + 1], folder=None, array=None)
        return read_picture(self.files[index], self.preset), int(one.labels[0])


def read_picture(path: Path, preset: Any) -> Tensor:
    """One file as a float tensor `[3, side, side]`."""
    import numpy as np
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    if picture.size != (preset.size, preset.size):
        picture = picture.resize((preset.size, preset.size))
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
    return (x - preset.mean) / preset.std


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


# --- genshift's own arm -----------------------------------------------------------------------------------------------


class Genshift(Stepping, Arm):
    """A training as genshift's loop takes its steps, its feed and its moving average included."""

    precision = "auto"

    def build(self) -> None:
        self.method = method_of(self.task, self.precision)
        self.networks = self.method.networks
        parts = {
            name: TrainingSet(self.pictures[name].images(name), size)
            for name, size in self.sizes.items()
            if name in self.method.draws
        }
        self.feed = Feed(parts, self.method.rule, self.method.arithmetic, SEED)
        self.method.begin(parts)
        half_life = self.preset.ema_half_life
        self.average = MovingAverage(self.method.networks, half_life) if half_life else None
        self.total = 1_000_000 * self.feed.batch
        start = FIRST if getattr(self.preset, "pretrain", 0) else 0.0
        self.seen = int(start * self.total) // self.feed.batch * self.feed.batch

    def first_batches(self) -> dict[str, Batch]:
        """The first pictures of each set, with the random numbers of a first step."""
        drawn = self.feed.at(self.seen)
        return {name: Batch(*self.first(name), drawn[name].draws) for name in drawn}


def of_float32(arm: type[Genshift]) -> type[Genshift]:
    """The same arm in float32, for the comparison of losses."""
    return type(arm.__name__, (arm,), {"precision": "float32"})


def on_cpu() -> torch.device:
    """Where everything is measured."""
    return device.choose_device("cpu")
