"""What every preset is: a named, complete, frozen description of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from genshift.errors import Refusal, unknown

PUBLISHED = "published"
OURS = "ours"
YOURS = "yours"

# Ours, in every preset that has one: what a generator or a classifier answers swings between steps, and a mean over
# the last ten thousand images steadies it.
HALF_LIFE = 10_000


def option(help: str, default: Any = dataclasses.MISSING) -> Any:
    """A field that `genshift train` takes as a flag."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What all experiments have in common.

    Every field with a help text is a flag of `genshift train`. `origins` says of each field where its value comes
    from: the report (published), a source the report cites, or us.
    """

    family: ClassVar[str]
    # Options that must be above 0, those that must not be below, and the largest value of some.
    positive: ClassVar[tuple[str, ...]] = ("images", "size", "lr", "std")
    not_negative: ClassVar[tuple[str, ...]] = (
        "weight_decay", "lr_warmup", "ema_half_life", "flip", "rotate", "shift", "scale", "recolour", "strong"
    )  # fmt: skip
    at_most: ClassVar[Mapping[str, float]] = {"flip": 1, "shift": 1, "scale": 0.9, "recolour": 1, "strong": 1}

    name: str
    study: str
    method: str
    networks: str
    images: int = option("budget, counted in images of the first set (in adaptation: the source)")
    epochs: int = 0  # behind the budget, for information
    size: int = option("side of the images in pixels", 28)
    colour: Literal["rgb", "grey"] = option("rgb, or grey", "rgb")
    mean: float = option("subtracted from pixels in [0, 1]", 0.0)
    std: float = option("what pixels are then divided by", 1.0)
    flip: float = option("probability of a horizontal flip in training; never for digits", 0.0)
    rotate: float = option("largest rotation in training, in degrees", 0.0)
    shift: float = option("largest shift in training, as a share of the side", 0.0)
    scale: float = option("largest relative change of scale in training", 0.0)
    recolour: float = option(
        "probability that channels are put in another order and each inverted or not, in training", 0.0
    )
    strong: float = option("probability that an image is moved, recoloured and cut strongly, in training", 0.0)
    validation: float = option("share of each training split held out", 0.0)
    select: Literal["last", "best", "label-free"] = option(
        "checkpoint to use: last, best on held-out images (the latest within one standard error), or, of a run that "
        "adapts, label-free: what `genshift select` chooses, after training",
        "last",
    )
    optimizer: Literal["adam", "adamw", "muon", "sgd"] = option(
        "optimizer; muon: Muon for convolutions' kernels, AdamW for the rest", "adam"
    )
    lr: float = option("learning rate", 1e-3)
    lr_schedule: Literal["constant", "cosine", "linear"] = option("learning rate over progress", "constant")
    lr_warmup: int = option("images over which the learning rate rises from 0", 0)
    weight_decay: float = option("weight decay", 0.0)
    ema_half_life: int = option("half-life in images of the weights' moving average; 0 for none", 0)
    precision: Literal["auto", "float32", "bfloat16", "float64"] = option("arithmetic; auto states why", "auto")
    origins: Mapping[str, str] = field(default_factory=dict, hash=False)
    published: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def task(self) -> str:
        """What the run is compared within, e.g. "mnistm→svhn" or "celeba"."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        raise NotImplementedError

    @property
    def trains_on(self) -> str:
        """The set whose images count progress."""
        raise NotImplementedError

    @property
    def adapts(self) -> bool:
        """Whether its runs learn from unlabelled target images, so that a checkpoint can be chosen for those."""
        return False

    @property
    def step_images(self) -> int:
        """Images by which one step moves progress."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """The fields that a user may set, with their values."""
        return {f.name: getattr(self, f.name) for f in option_fields(self)}

    def replaced(self, **changes: Any) -> Self:
        """This preset with some options changed, each marked as the user's own.

        Raises Refusal for a value that the option cannot take.
        """
        origins = {**self.origins, **dict.fromkeys(changes, YOURS)}
        for name in changes:
            if name not in self.options():
                raise unknown("option", name, self.options())
        other_data = {"source", "target", "extra", "data"} & set(changes)
        published = {} if other_data else self.published
        return dataclasses.replace(self, **changes, origins=origins, published=published).checked()

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise unknown(f"{name} called", str(getattr(self, name)), get_args(kind))
        for name in self.positive:
            if not getattr(self, name) > 0:
                raise Refusal(f"{flag(name)} must be above 0, not {getattr(self, name)}.")
        for name in self.not_negative:
            if not getattr(self, name) >= 0:
                raise Refusal(f"{flag(name)} must be 0 or more, not {getattr(self, name)}.")
        for name, top in self.at_most.items():
            if getattr(self, name) > top:
                raise Refusal(f"{flag(name)} is a share of at most {top}, not {getattr(self, name)}.")
        if not 0 <= self.validation <= 0.9:
            raise Refusal(f"--validation is a share from 0 to 0.9, not {self.validation}.")
        if self.select == "label-free" and not self.adapts:
            raise Refusal(f"--select label-free chooses for an unlabelled target, and {self.name} adapts to none.")
        if self.select != "last" and self.validation == 0:
            raise Refusal(f"--select {self.select} needs held-out images: give --validation a share, e.g. 0.3.")
        return self


def option_fields(preset: Preset | type[Preset]) -> list[dataclasses.Field[Any]]:
    """The dataclass fields that are options of the command line."""
    return [f for f in dataclasses.fields(preset) if "help" in f.metadata]


def flag(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def short(name: str) -> str:
    """The last part of a path; a data set's name as it is."""
    return name.rstrip("/").rsplit("/", 1)[-1]
