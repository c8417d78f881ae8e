"""From image sets to batches: which images, on which process, in which form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genshift.data.augment import Augment
from genshift.data.batches import Stream, seed_of, to_float
from genshift.data.imageset import ImageSet
from genshift.data.strong import strong_view
from genshift.device import Arithmetic
from genshift.errors import Refusal


@dataclass(frozen=True)
class TrainingSet:
    """One set that a step draws from, and how many images a step takes, over all processes; `flag` sets that.

    `rows`, int64, are the images drawn from; None: all.
    """

    images: ImageSet
    batch: int
    flag: str = "--batch"
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images) if self.rows is None else len(self.rows)


@dataclass(frozen=True)
class StepRandom:
    """The random numbers of a step: a function of (seed, images seen, name, row of the global batch) alone.

    A process takes the rows of its share, so what is drawn does not depend on how many processes share the batch.
    """

    seed: int
    start: int
    batch: int
    rank: int = 0
    processes: int = 1

    def normal(self, name: str, *shape: int) -> Tensor:
        """float32 `[share, *shape]` on the CPU, from N(0, 1)."""
        return self._own(torch.randn(self.batch, *shape, generator=self._generator(name)))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """float32 `[share, *shape]` on the CPU, from U[0, 1)."""
        return self._own(torch.rand(self.batch, *shape, generator=self._generator(name)))

    def spread(self, name: str) -> Tensor:
        """float32 `[share]` on the CPU: each from U[0, 1), the whole batch's evenly spread (arXiv 2107.00630, I.1)."""
        shift = torch.rand((), generator=self._generator(name))
        return self._own((torch.arange(self.batch) / self.batch + shift) % 1.0)

    def shared(self, name: str) -> Tensor:
        """float32 on the CPU: one number from U[0, 1) for the whole batch."""
        return torch.rand((), generator=self._generator(name))

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of("draws", name, self.seed, self.start))

    def _own(self, values: Tensor) -> Tensor:
        share = self.batch // self.processes
        return values[self.rank * share : (self.rank + 1) * share]


@dataclass(frozen=True)
class Batch:
    """Images float `[B, C, H, W]`, normalised; labels int64 `[B]` and attributes uint8 `[B, A]`, or None; a step's
    random numbers; `weak_view`, the same images all in their weak view, where some of `x` are in their strong one."""

    x: Tensor
    y: Tensor | None
    draws: StepRandom
    attributes: Tensor | None = None
    weak_view: Tensor | None = None

    @property
    def weak(self) -> Tensor:
        """The images, float `[B, C, H, W]`, none of them in its strong view."""
        return self.x if self.weak_view is None else self.weak_view


@dataclass(frozen=True)
class PixelNormalization:
    """How stored bytes become a network's input: x = (pixel/255 - mean)/std, grey repeated to `channels`."""

    mean: float
    std: float
    channels: int = 3

    def __call__(self, images: Tensor, arithmetic: Arithmetic) -> Tensor:
        """uint8 `[N, C, H, W]` to float `[N, channels, H, W]` on the arithmetic's device."""
        on_device = images.to(arithmetic.device)
        return to_float(on_device, self.mean, self.std, self.channels, arithmetic.memory_format).to(arithmetic.dtype)


class Feed:
    """The batches of a training, as a function of (seed, images seen) alone; progress is counted in
    images of the first set.

    zipped: all sets begin a new order together, when the shortest has no whole batch left, as loaders that are zipped
    do; otherwise each goes on to its own end. Raises Refusal where a set to zip has no whole batch.
    """

    def __init__(
        self,
        parts: Mapping[str, TrainingSet],
        rule: PixelNormalization,
        arithmetic: Arithmetic,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        augment: Augment | None = None,
        zipped: bool = False,
    ) -> None:
        self.parts, self.rule, self.arithmetic = dict(parts), rule, arithmetic
        self.seed, self.rank, self.processes, self.augment = seed, rank, processes, augment or Augment()
        self.batch = next(iter(parts.values())).batch
        self.streams = {name: Stream(len(part), seed, name) for name, part in parts.items()}
        self.shares = {name: _share(name, part.batch, processes) for name, part in parts.items()}
        self.epoch = min(len(part) // part.batch for part in parts.values()) if zipped else 0  # in steps; 0: none
        if zipped and not self.epoch:
            short = next(name for name, part in parts.items() if len(part) < part.batch)
            raise Refusal(f"The {short} set has fewer images than a batch of it: give smaller batches to zip them.")

    def at(self, images_seen: int) -> dict[str, Batch]:
        """This process's share of the step that begins at `images_seen`."""
        step = images_seen // self.batch
        return {name: self._draw(name, self._place(step, part)) for name, part in self.parts.items()}

    def _place(self, step: int, part: TrainingSet) -> int:
        """Where in its set's stream a step begins."""
        if not self.epoch:
            return step * part.batch
        epoch, step = divmod(step, self.epoch)
        return epoch * len(part) + step * part.batch

    def _draw(self, name: str, start: int) -> Batch:
        # Which images: this process's share, of the rows that are trained on.
        share, images, rows = self.shares[name], self.parts[name].images, self.parts[name].rows
        indices = self.streams[name].indices(start + self.rank * share, share)
        where = (indices if rows is None else rows[indices]).to(images.images.device)
        labels, attributes = (
            None if values is None else values[where].to(self.arithmetic.device)
            for values in (images.labels, images.attributes)
        )
        draws = StepRandom(seed_of(self.seed, name), start, self.parts[name].batch, self.rank, self.processes)
        # The weak views: other colours, then moved.
        weak = self.rule(images.images[where], self.arithmetic)
        if self.augment.recolour:
            u = draws.uniform("recolour", 1 + 2 * weak.shape[1])
            weak = self.augment.colours(weak, u, (0.5 - self.rule.mean) / self.rule.std)
            weak = weak.contiguous(memory_format=self.arithmetic.memory_format)
        if not self.augment.idle:
            maps = self.augment.draw(self.parts[name].batch, seed_of(self.seed, name), start)
            own = maps[self.rank * len(weak) : (self.rank + 1) * len(weak)]
            weak = self.augment.apply(weak, own).contiguous(memory_format=self.arithmetic.memory_format)
        if not self.augment.strong:
            return Batch(weak, labels, draws, attributes)
        # A share of the images, at random, in a strong view instead.
        strong = (draws.uniform("strong") < self.augment.strong).nonzero().flatten()
        x = weak.clone()
        x[strong.to(x.device)] = strong_view(weak, draws, self.rule.mean, self.rule.std, strong)
        return Batch(x, labels, draws, attributes, weak)

    def smaller(self, factor: int) -> Feed:
        """The same feed with its batches divided by `factor` (at least two images each)."""
        parts = {n: replace(p, batch=max(2, p.batch // factor)) for n, p in self.parts.items()}
        zipped = bool(self.epoch)
        return Feed(parts, self.rule, self.arithmetic, self.seed, self.rank, self.processes, self.augment, zipped)


def _share(name: str, batch: int, processes: int) -> int:
    if batch % processes:
        raise Refusal(f"The {name} batch of {batch} does not divide among {processes} processes: change one.")
    return batch // processes


def to_device(images: ImageSet, device: torch.device) -> ImageSet:
    """The set on `device` where it fits in a quarter of what is free there; on the host otherwise."""
    if device.type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(device)
    return images.to(device) if images.images.nelement() < free // 4 else images
