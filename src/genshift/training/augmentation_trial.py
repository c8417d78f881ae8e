"""Which augmentations leave a source's classes as they are, measured on labelled source pictures alone.

One short training of a small network decides on all of them. Over one extractor stands a head for pictures as they are,
and for each augmentation a head that learns from plain and augmented pictures in equal parts, without being told which
is which. What an augmentation makes of one class that looks like another, or hides, that head gets wrong more often
than the plain one does, on pictures that the training did not see: plain ones, augmented ones, or both. No target
picture is looked at. Of few pictures every one is held out once (cross-fitting).

All of it is computed in float32 by one thread on the CPU, and is a function of the pictures alone: not of the run's
seed, nor of how many processes train it. A run keeps what was found in config.json, and never measures again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.augment import Augment
from genshift.data.batches import Stream, seed_of, to_float
from genshift.data.imageset import ImageSet
from genshift.data.strong import MOVES
from genshift.device import one_thread
from genshift.metrics.binomial import standard_error
from genshift.nets.backbone import Backbone
from genshift.presets import Preset
from genshift.presets.base import MEASURED, YOURS, flag
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Trial
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.training_data import TrainingData

SIDE = 24  # pixels at most, whatever the preset's size
MOST = 6_000  # pictures that it learns from and is measured on
FEW = 2_000  # pictures below which every one is held out once
FEWEST = 40  # pictures that anything can be measured on
FOLDS = 4  # of few pictures; of many the first of them alone is held out
STEPS, BATCH, WIDTH, RATE = 1_000, 80, 16, 6e-3
WEAK = Augment(degrees=5.0, shift=0.07, scale=0.1)  # the small moves that every head learns with
ANY_ANGLE = 180.0
# What may be lost of accuracy on held-out pictures (ours, by MNIST-M and PACS's photos). Of plain ones nothing, as far
# as shows (mirrored, digits lose 2 points of them, photos 0.5 ± 0.5), and so many are to be held out that more than
# PLAIN_COST would. Augmented ones are harder to learn: of channels inverted at random so short a training gets 6 points
# less right on MNIST-M, though they tell no digit apart; of photos 15.
NOTHING, PLAIN_COST, AUGMENTED_COST = 0.005, 0.04, 0.1
Z = 1.645  # of the end of a one-sided 95% interval
DRAWS = 9  # random numbers that an augmentation may take of a picture


@dataclass(frozen=True)
class Augmentation:
    """What may be done to pictures. options: those of a preset that it is switched on by. apply: makes of floats
    `[N, C, H, W]` in [-1, 1] the augmented ones, by numbers u of U[0, 1), `[N, DRAWS]`."""

    name: str
    done: str
    options: dict[str, float]
    apply: Callable[[Tensor, Tensor], Tensor]
    needs: str = ""  # the one without which it is not used


def _turned(x: Tensor, u: Tensor) -> Tensor:
    turn = Augment(degrees=ANY_ANGLE)
    return turn.apply(x, turn.maps(u[:, :5]))


def _recoloured(x: Tensor, u: Tensor, invert: float) -> Tensor:
    return Augment(recolour=1.0, invert=invert).colours(x, u[:, : 1 + 2 * x.shape[1]], 0.0)


AUGMENTATIONS = (
    Augmentation("flip", "mirrored", {"flip": 0.5}, lambda x, u: x.flip(-1)),
    Augmentation("rotate", "turned by any angle", {"rotate": ANY_ANGLE}, _turned),
    Augmentation(
        "order",
        "shown with channels in another order",
        {"strong_recolour": MOVES.recolour, "strong_invert": 0.0},
        lambda x, u: _recoloured(x, u, 0.0),
    ),
    Augmentation(
        "invert",
        "shown with channels in another order and inverted",
        {"strong_recolour": MOVES.recolour, "strong_invert": MOVES.invert},
        lambda x, u: _recoloured(x, u, MOVES.invert),
        needs="order",
    ),
)


def as_begun(preset: Preset, run: RunFolder) -> Preset:
    """The preset with what was measured when the run began, where that is so and nothing else is given now."""
    if not run.exists():
        return preset
    stored = run.config["preset"]
    fields, origins = stored["fields"], stored.get("origins", {})
    measured = {
        name: fields[name]
        for name in preset.options()
        if origins.get(name) == MEASURED and preset.origins.get(name) != YOURS
    }
    return with_measured(preset, measured)


def with_measured(preset: Preset, values: dict[str, Any]) -> Preset:
    """The preset with these values of options, marked as a trial's."""
    return replace(preset, **values, origins={**preset.origins, **dict.fromkeys(values, MEASURED)})


def settled(
    preset: Preset, data: TrainingData, device: torch.device, world: World, console: Console
) -> tuple[Preset, list[Trial]]:
    """The preset with the augmentations that a trial shows to cost nothing, where it asks for that, and the trials.

    What the user gave is not measured. Every process learns, on its `device`, what the leading one found.
    """
    tried = [each for each in AUGMENTATIONS if _open(preset, each)]
    source = data.parts.get("source")
    if getattr(preset, "augment", "given") != "auto" or source is None or not tried:
        return preset, []
    if world.size > 1:
        console.say("Augmentations stay as they are: one process alone measures their cost; give their options.")
        return preset, []
    if len(source) < FEWEST:
        console.say(f"Augmentations stay as they are: {len(source)} source pictures are too few to measure their cost.")
        return preset, []
    rows = torch.arange(len(source.images)) if source.rows is None else source.rows
    found: list[Trial] = []
    if world.leads:
        with console.phase("Measuring on the source which augmentations cost it nothing"):
            found = trials(source.images.take(_sample(rows)), tried)
    used = world.of_leader([trial["used"] for trial in found], len(tried), device)
    # What is not used stays as the preset has it; that was measured too.
    values = {name: getattr(preset, name) for each in tried for name in each.options}
    for each, is_used in zip(tried, used, strict=True):
        values |= each.options if is_used else {}
    return with_measured(preset, values), found


def _open(preset: Preset, augmentation: Augmentation) -> bool:
    """Whether a preset has the options of an augmentation, and none of them was given, or measured before."""
    known = preset.options()
    return all(name in known and preset.origins.get(name) not in (YOURS, MEASURED) for name in augmentation.options)


def _sample(rows: Tensor) -> Tensor:
    """At most MOST of the rows, int64, at random."""
    order = torch.randperm(len(rows), generator=_chance("pictures"))
    return rows[order[:MOST]]


def _chance(*what: object) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of("augmentation trial", *what))


# --- the trial --------------------------------------------------------------------------------------------------------


def trials(source: ImageSet, tried: Sequence[Augmentation]) -> list[Trial]:
    """What each augmentation costs on labelled pictures, of which some, or of few all in turn, are held out."""
    assert source.labels is not None
    x, y, classes = _shrunk(source.images), source.labels.cpu(), len(source.classes)
    fold = torch.empty_like(y)
    fold[y.argsort(stable=True)] = torch.arange(len(y)) % FOLDS  # every class in every fold
    folds = range(FOLDS if len(y) < FEW else 1)
    right, known = [], []
    with one_thread(), torch.random.fork_rng(devices=[]):
        for number in folds:
            held = fold == number
            net = _learnt(x[~held], y[~held], classes, tried, STEPS if len(folds) == 1 else STEPS // 2, number)
            right.append(net.right(x[held], y[held], number))
            known.append(y[held])
    commonest = torch.cat(known).bincount(minlength=classes).max().item() / sum(map(len, known))
    return _told(torch.cat(right), commonest, tried)


def _shrunk(images: Tensor) -> Tensor:
    """uint8 `[N, C, H, W]` on the CPU, at most SIDE pixels wide: areas are averaged."""
    if images.shape[-1] <= SIDE:
        return images.cpu()
    return F.interpolate(images.cpu().float(), size=(SIDE, SIDE), mode="area").round().to(torch.uint8)


class _Network(nn.Module):
    """One extractor, and over it a head for plain pictures and one for each augmentation."""

    def __init__(self, channels: int, side: int, classes: int, tried: Sequence[Augmentation]) -> None:
        super().__init__()
        self.tried, self.classes = tried, classes
        self.extractor = Backbone(WIDTH, channels, side)
        self.heads = nn.Linear(self.extractor.features, (1 + len(tried)) * classes)

    def forward(self, x: Tensor, head: Tensor) -> Tensor:
        """Logits `[N, K]` of floats `[N, C, H, W]`, each by the head of its number, int64 `[N]`."""
        logits: Tensor = self.heads(self.extractor(x)).view(len(x), -1, self.classes)
        return logits[torch.arange(len(x)), head]

    @torch.no_grad()
    def right(self, images: Tensor, labels: Tensor, fold: int) -> Tensor:
        """Which of uint8 `[M, C, H, W]` are right, bool `[M, 1 + 2 A]`: plain by the plain head, then by each
        augmentation's head plain and augmented."""
        self.eval()
        x, u = to_float(images, 0.5, 0.5), torch.rand(len(images), DRAWS, generator=_chance("held out", fold))
        shown = [(x, 0)]
        for number, each in enumerate(self.tried, 1):
            shown += [(x, number), (each.apply(x, u), number)]
        said = [
            torch.cat([self(part, torch.full((len(part),), head)).argmax(1) for part in view.split(BATCH)])
            for view, head in shown
        ]
        return torch.stack([answer == labels for answer in said], 1)


def _learnt(x: Tensor, y: Tensor, classes: int, tried: Sequence[Augmentation], steps: int, fold: int) -> _Network:
    """The network after so many steps on pictures uint8 `[N, C, H, W]` with labels `[N]`."""
    torch.manual_seed(seed_of("augmentation trial", "network", fold) % 2**63)
    net = _Network(x.shape[1], x.shape[-1], classes, tried)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    stream, chance = Stream(len(x), fold, "augmentation trial"), _chance("training", fold)
    head = torch.arange(BATCH) % (1 + len(tried))
    for step in range(steps):
        rows = stream.indices(step * BATCH, BATCH)
        view = to_float(x[rows], 0.5, 0.5)
        view = WEAK.apply(view, WEAK.maps(torch.rand(BATCH, 5, generator=chance)))
        # Of each augmentation's share half are augmented.
        u, is_augmented = torch.rand(BATCH, DRAWS, generator=chance), torch.rand(BATCH, generator=chance) < 0.5
        for number, each in enumerate(tried, 1):
            chosen = is_augmented & (head == number)
            view[chosen] = each.apply(view[chosen], u[chosen])
        loss = F.cross_entropy(net(view, head), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


# --- what it says -----------------------------------------------------------------------------------------------------


def _told(right: Tensor, commonest: float, tried: Sequence[Augmentation]) -> list[Trial]:
    """The trials, of which pictures were right, bool `[M, 1 + 2 A]`; `commonest` is the largest share of a class."""
    shares, n = right.double(), len(right)
    without = shares[:, 0].mean().item()
    is_learnt = without - Z * standard_error(without, n) > commonest
    found: list[Trial] = []
    for number, each in enumerate(tried):
        plain, augmented = (_lost(shares[:, 0], shares[:, 1 + 2 * number + place]) for place in range(2))
        used = is_learnt and plain.at_least <= NOTHING
        used &= plain.at_most <= PLAIN_COST and augmented.at_most <= AUGMENTED_COST
        used &= all(other["used"] for other in found if other["augmentation"] == each.needs)
        trial: Trial = {
            "augmentation": each.name,
            "n": n,
            "without": without,
            "plain": without - plain.mean,
            "augmented": without - augmented.mean,
            "plain_error": plain.error,
            "augmented_error": augmented.error,
            "used": used,
            "why": "",
        }
        found.append({**trial, "why": _why(each, trial, is_learnt)})
    return found


@dataclass(frozen=True)
class _Lost:
    """A share of pictures that is lost, with its standard error."""

    mean: float
    error: float

    @property
    def at_least(self) -> float:
        return self.mean - Z * self.error

    @property
    def at_most(self) -> float:
        return self.mean + Z * self.error


def _lost(before: Tensor, after: Tensor) -> _Lost:
    """What of the same pictures, 0 or 1 `[M]`, is right before and not after."""
    lost = before - after
    # The error is never 0: as if one picture more had changed.
    return _Lost(lost.mean().item(), math.sqrt((lost - lost.mean()).square().sum().item() + 1) / len(lost))


def _why(each: Augmentation, trial: Trial, is_learnt: bool) -> str:
    """A sentence for the user."""
    options = " ".join(f"{flag(name)} {value:g}" for name, value in each.options.items())
    does = f"Pictures are {'' if trial['used'] else 'not '}{each.done} ({options})"
    of = f"{trial['n']:,} held-out source pictures"
    if not is_learnt:
        return f"{does}: a short training learnt too little to tell ({trial['without']:.1%} of {of} right)."
    lost = [
        f"{100 * (trial['without'] - right):.1f} ± {100 * error:.1f} points of {what} ones"
        for right, error, what in (
            (trial["plain"], trial["plain_error"], "plain"),
            (trial["augmented"], trial["augmented_error"], "such"),
        )
    ]
    told = f"{does}: in a short training that costs {lost[0]} and {lost[1]}"
    return f"{told}, of {of}, {trial['without']:.1%} of which are right without."
