"""What every preset is: a named, complete, frozen description of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from genshift.data.dataset import Background, Fit
from genshift.data.text import check_encoding
from genshift.errors import Refusal, unknown

PUBLISHED = "published"
OURS = "ours"
YOURS = "yours"
BY_SIZES = "by the pictures' sizes"
MEASURED = "measured by a short training"  # when the run began

# How earlier runs read, or learnt, which had no such options.
LATER = {
    "fit": "crop",
    "background": "white",
    "depth": 0,
    "encoding": "utf-8",
    "pooling": "two",
    "first_norm": "on",
    "loaders": "walked",
    "discriminator_width": 0,
    "recolour": 0.0,
    "augment": "given",
    "try_information": "off",
    "strong_invert": 0.5,
    "strong": 0.0,
    "pretrain": 0.0,
    "pretrain_lr": 1e-3,
    "held_out": "",
}

# Ours, in every preset that has one: what a generator or a classifier answers swings between steps, and a mean over
# the last ten thousand images steadies it.
HALF_LIFE = 10_000


@dataclass(frozen=True)
class Option:
    """An option of `genshift train`: help, default, the values that it takes, and where its default comes from.

    A default of None is none: the preset must give a value. choices: the words that it takes. above, at_least, at_most:
    bounds of a number; a number with `at_most` is a share.
    """

    help: str
    default: Any = dataclasses.MISSING
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    origin: str = ""

    def field(self) -> Any:
        """The dataclass field of a preset."""
        return field(default=self.default, metadata={"option": self})

    @property
    def kind(self) -> Any:
        """The type of its values."""
        return Literal[self.choices] if self.choices else type(self.default)

    def check(self, name: str, value: Any) -> None:
        """Refuses a value out of bounds, and nothing where a name or a path is needed."""
        if value == "" != self.default:
            raise Refusal(f"{flag(name)} takes a name or a path, not nothing.")
        if self.above is not None and not value > self.above:
            raise Refusal(f"{flag(name)} must be above {self.above:g}, not {value}.")
        if self.at_least is not None and not value >= self.at_least:
            raise Refusal(f"{flag(name)} must be {self.at_least:g} or more, not {value}.")
        if self.at_most is not None and value > self.at_most:
            raise Refusal(f"{flag(name)} is a share of at most {self.at_most}, not {value}.")


def option(help: str, default: Any = dataclasses.MISSING, **bounds: Any) -> Any:
    """A field that `genshift train` takes as a flag; `bounds` are those of `Option`."""
    return Option(help, default, **bounds).field()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What all experiments have in common.

    Every field with a help text is a flag of `genshift train`. `origins` says of each field where its value comes
    from: the report (published), a source the report cites, or us.
    """

    family: ClassVar[str]
    labelled: ClassVar[str]  # the name of the set whose labels are learnt and whose images count progress
    name: str
    study: str
    method: str
    networks: str
    images: int = option("budget, counted in images of the first set (in adaptation: the source)", above=0)
    epochs: int = 0  # behind the budget, for information
    size: int = option("side of the images in pixels", 28, above=0)
    colour: Literal["rgb", "grey"] = option("rgb, or grey", "rgb")
    fit: Fit = option(
        "of a rectangular picture the centred square (crop), or all of it on a black square (pad)", "crop"
    )
    background: Background = option("what lies under transparent parts of pictures", "white")
    depth: int = option("bits that 16-bit pictures hold, 1 to 16; 0: 16, asked where they would be dark", 0, at_least=0)
    encoding: str = option("text encoding of a CSV with labels, where no mark at its beginning tells it", "utf-8")
    mean: float = option("subtracted from pixels in [0, 1]", 0.0)
    std: float = option("what pixels are then divided by", 1.0, above=0)
    flip: float = option("probability of a horizontal flip in training; never for digits", 0.0, at_least=0, at_most=1)
    rotate: float = option("largest rotation in training, in degrees", 0.0, at_least=0)
    shift: float = option("largest shift in training, as a share of the side", 0.0, at_least=0, at_most=1)
    scale: float = option("largest relative change of scale in training", 0.0, at_least=0, at_most=0.9)
    recolour: float = option(
        "probability that channels are put in another order and each inverted or not, in training",
        0.0,
        at_least=0,
        at_most=1,
    )
    strong: float = option(
        "probability that an image is moved, recoloured and cut strongly, in training", 0.0, at_least=0, at_most=1
    )
    validation: float = option("share of each training split held out", 0.0)
    held_out: str = option("pictures, labelled as the set is, held out instead of that share: a folder or CSV", "")
    select: Literal["last", "best", "label-free"] = option(
        "checkpoint to use: last, best on held-out images (the latest within one standard error), or, of a run that "
        "adapts, label-free: what `genshift select` chooses, after training",
        "last",
    )
    optimizer: Literal["adam", "adamw", "muon", "sgd"] = option(
        "optimizer; muon: Muon for convolutions' kernels, AdamW for the rest", "adam"
    )
    lr: float = option("learning rate", 1e-3, above=0)
    lr_schedule: Literal["constant", "cosine", "linear"] = option("learning rate over progress", "constant")
    lr_warmup: int = option("images over which the learning rate rises from 0", 0, at_least=0)
    weight_decay: float = option("weight decay", 0.0, at_least=0)
    ema_half_life: int = option("half-life in images of the weights' moving average; 0 for none", 0, at_least=0)
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
    def learner(self) -> str:
        """What learns it, by a name of `genshift.methods.BUILT_IN`."""
        return self.family

    @property
    def learns(self) -> str:
        """What is learnt beside the pictures: their "classes", their "attributes", or "nothing"."""
        return "classes"

    @property
    def draws(self) -> bool:
        """Whether its runs draw pictures."""
        return False

    @property
    def measures_others(self) -> bool:
        """Whether generated pictures are measured in what its runs have learnt."""
        return False

    @property
    def teacher(self) -> str:
        """The run that the method learns by, of a classifier or of a diffusion model; "" for none."""
        return ""

    @property
    def drawing(self) -> tuple[str, ...]:
        """The options that say how its runs draw, and are no part of what they learn."""
        return ()

    @property
    def adapts(self) -> bool:
        """Whether its runs learn from unlabelled target images, so that a checkpoint can be chosen for those."""
        return False

    @property
    def zips(self) -> bool:
        """Whether the sets of a step begin anew together."""
        return False

    @property
    def step_images(self) -> int:
        """Images by which one step moves progress."""
        raise NotImplementedError

    @property
    def bound_to_budget(self) -> str:
        """Why a larger budget is another training from the first step on, as a clause; "" where a run of a smaller one
        goes on to the same weights."""
        if self.lr_schedule != "constant":
            return "its learning rate falls over the budget"
        return "" if self.select == "last" else "its checkpoint is chosen among those of the whole budget"

    def reading(self, split: str) -> dict[str, Any]:
        """How `genshift.data.load` is to read its pictures. Only of those to learn from is a depth asked for: a test
        split's is theirs."""
        depth = self.depth or (0 if split == "train" else 16)
        own = {"size": self.size, "colour": self.colour, "fit": self.fit, "background": self.background}
        return {**own, "depth": depth, "encoding": self.encoding}

    def options(self) -> dict[str, Any]:
        """The fields that a user may set, with their values."""
        return {f.name: getattr(self, f.name) for f in option_fields(self)}

    def replaced(self, **changes: Any) -> Self:
        """This preset with some options changed, each marked as the user's own.

        Raises Refusal for a value that the option cannot take.
        """
        origins = {**self.origins, **dict.fromkeys(changes, YOURS)}
        kinds = get_type_hints(type(self))
        for name, value in changes.items():
            if name not in self.options():
                raise unknown("option", name, self.options())
            changes[name] = of_kind(kinds[name], name, value)
        other_data = {"source", "target", "extra", "data", "held_out"} & set(changes)
        published = {} if other_data else self.published
        return dataclasses.replace(self, **changes, origins=origins, published=published).checked()

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise unknown(f"{name} called", str(getattr(self, name)), get_args(kind))
        for option_field in option_fields(self):
            option_field.metadata["option"].check(option_field.name, getattr(self, option_field.name))
        check_encoding(self.encoding)
        if self.depth > 16:
            raise Refusal(f"--depth is a number of bits from 1 to 16, or 0, not {self.depth}.")
        if not 0 <= self.validation <= 0.9:
            raise Refusal(f"--validation is a share from 0 to 0.9, not {self.validation}.")
        if self.held_out and self.validation and self.origins.get("validation") == YOURS:
            raise Refusal(f"--held-out {self.held_out} takes the place of --validation {self.validation:g}: give one.")
        if self.select == "label-free" and not self.adapts:
            raise Refusal(f"--select label-free chooses for an unlabelled target, and {self.name} adapts to none.")
        if self.select != "last" and self.validation == 0 and not self.held_out:
            raise Refusal(f"--select {self.select} needs held-out images: give --validation a share, e.g. 0.3.")
        return self


def of_kind(kind: Any, name: str, value: Any) -> Any:
    """The value as an option of that type holds it: 1e6 is a whole number too. Refusal of a value of another type."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind is int and is_number and float(value).is_integer():
        return int(value)
    if kind in (int, float):
        raise Refusal(f"{flag(name)} takes {'a whole number' if kind is int else 'a number'}, not {value!r}.")
    if kind is str and not isinstance(value, str):
        raise Refusal(f"{flag(name)} takes a name or a path, not {value!r}.")
    return value


def option_fields(preset: Preset | type[Preset]) -> list[dataclasses.Field[Any]]:
    """The dataclass fields that are options of the command line."""
    return [f for f in dataclasses.fields(preset) if "option" in f.metadata]


def flag(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def short(name: str) -> str:
    """The last part of a path; a data set's name as it is."""
    return name.rstrip("/").rsplit("/", 1)[-1]
