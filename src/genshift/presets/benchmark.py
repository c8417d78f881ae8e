"""Every adaptation method at equal conditions: one backbone, one augmentation, one budget; each paper's own recipe.

A preset of any method on any two sets is made here from the method's row (genshift.presets.methods).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from genshift import plugins
from genshift.data.catalog import CATALOG, lookup
from genshift.errors import Refusal
from genshift.plugins import is_same_definition, load_installed
from genshift.presets.adaptation import Adaptation
from genshift.presets.base import HALF_LIFE, option
from genshift.presets.methods import METHODS, MethodRow, row_of
from genshift.presets.papers import DAN_PAPER

NETWORKS = "residual"
STUDY = "adaptation"
TASKS = (("mnistm", "svhn"), ("mnistm", "usps"), ("usps", "mnistm"), ("svhn", "usps"))
OWN_STUDY = "own"  # of a user's folders
OWN = {"source": "source/", "target": "target/"}  # which the user names
OWN_SIZE = 32  # pixels
LARGE_SIZE = 64  # where the pictures of a folder are at least that large: of photographs 32 pixels leave less to see
OWN_VALIDATION = 0.1  # share of the source held out: folders are smaller than the catalogue's sets
OUR_BACKBONE, TIMM, TORCHVISION = "residual", "timm:", "torchvision:"
SQUEEZENETS = ("squeezenet1_0", "squeezenet1_1")  # which genshift builds itself
PHOTOS = "adapt-photos"  # the preset of `adapt`'s road with pretrained weights
PHOTO_SIZE = 128  # pixels: see docs/methods/adaptation.md
_B = TypeVar("_B", bound=Callable[[int, int], Any])


# Backbones from outside the package by name: each makes, of channels and the side in pixels, a module that maps
# pictures `[N, C, side, side]` to features `[N, D]`, where D is its attribute `features`.
BACKBONES: dict[str, Callable[[int, int], Any]] = {}


def backbone(name: str) -> Callable[[_B], _B]:
    """A decorator that adds a backbone from outside the package (see BACKBONES); Refusal where its name is taken."""

    def add(make: _B) -> _B:
        is_taken = name in BACKBONES and not is_same_definition(make, BACKBONES[name])
        if is_taken or name == OUR_BACKBONE or is_pretrained(name):
            raise Refusal(f"There is a backbone '{name}' already: give the plugin's another name.")
        BACKBONES[name] = make
        return make

    return add


def is_pretrained(name: str) -> bool:
    """Whether a backbone is one that weights are published of."""
    return name in SQUEEZENETS or any(name.startswith(of) and name != of for of in (TIMM, TORCHVISION))


@dataclass(frozen=True, kw_only=True)
class BenchmarkPreset(Adaptation):
    """A method, or a bound, on the common backbone. Its own options are those of its row (see `class_of`)."""

    backbone: str = option(
        "residual, ours; squeezenet1_0 or squeezenet1_1; or an image model of a package's, torchvision:NAME (extra "
        "`fid`) or timm:NAME (extra `timm`)",
        OUR_BACKBONE,
    )
    weights: str = option(
        "what a backbone but ours starts from: none, a file of weights (.safetensors, .pth), or download", "none"
    )
    pixels: Literal["model", "preset"] = option(
        "what that backbone is given: pixels by its own mean and deviation (model), or by --mean and --std (preset)",
        "model",
    )
    backbone_rate: float = option(
        "learning rate of a backbone that starts from weights, as a share of lr", 0.1, above=0, at_most=1
    )
    augment: Literal["given", "auto"] = option(
        "flips, turns and other colours: as their options say (given), or those that a short training shows to cost "
        "the source nothing (auto; an option that is given is not measured)",
        "given",
    )
    width: int = option("channels at half side of our backbone; they double at the next two halvings", 64, above=0)

    if TYPE_CHECKING:  # the fields that a row adds are known when the package runs

        def __getattr__(self, name: str) -> Any: ...

    def checked(self) -> Self:
        """As every adaptation's; a method's adversary and statistics are part of it."""
        super().checked()
        self._check_backbone()
        row = row_of(self.method)
        adversary = row.values.get("adversary", "none")
        if self.adversary != adversary:
            raise Refusal(f"{self.name} takes no --adversary {self.adversary}: its own is {adversary}.")
        if self.statistics not in row.statistics:
            raise Refusal(f"{self.name} takes no --statistics {self.statistics}: {' or '.join(row.statistics)}.")
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its method's name: the class was made from a row, and is no attribute of a module."""
        return _remade, (self.method, {f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    def _check_backbone(self) -> None:
        if self.backbone == OUR_BACKBONE:
            if self.weights != "none":
                raise Refusal(
                    f"--weights {self.weights} are for a pretrained model: name it, e.g. --backbone {SQUEEZENETS[1]}."
                )
            return
        if is_pretrained(self.backbone):
            return
        if self.backbone not in BACKBONES:
            load_installed(plugins.BACKBONES, self.backbone)
        if self.backbone not in BACKBONES:
            others = ", ".join((OUR_BACKBONE, *BACKBONES, *SQUEEZENETS))
            raise Refusal(
                f"--backbone takes {others}, {TORCHVISION}NAME or {TIMM}NAME (timm:resnet18), not {self.backbone}."
            )
        if self.statistics == "own":
            raise Refusal(
                f"{self.name} keeps statistics for each domain, which {self.backbone} does not: leave --backbone out."
            )


# By method the row and the class made of it: a plugin's method that is defined anew gets a class of its new options.
_made: dict[str, tuple[MethodRow, type[BenchmarkPreset]]] = {}


def class_of(name: str) -> type[BenchmarkPreset]:
    """The class of a method's presets: what all have in common, and a field for each option of its row."""
    row = row_of(name)
    if name not in _made or _made[name][0] is not row:
        fields = [(key, own.kind, own.field()) for key, own in row.options.items()]
        made = dataclasses.make_dataclass(f"{name}-preset", fields, bases=(BenchmarkPreset,), frozen=True, kw_only=True)
        assert issubclass(made, BenchmarkPreset)
        _made[name] = row, made
    return _made[name][1]


def _remade(method: str, values: dict[str, Any]) -> BenchmarkPreset:
    return class_of(method)(**values)


def preset_of(row: MethodRow, source: str, target: str) -> BenchmarkPreset:
    """The preset of a method that learns from `source` and adapts to `target`: names of the catalogue's, or paths."""
    # What all methods have in common and a row may change; what follows in the call, none changes.
    changeable: dict[str, Any] = {"statistics": "own", "ema_half_life": HALF_LIFE, "strong": 0.5, "lr": 1e-3}
    changeable |= {"images": 1_000_000, "select": "label-free" if row.adapts else "last"}
    of_catalogue = None not in (lookup(source), lookup(target))
    preset = class_of(row.name)(
        name=f"{row.name}-{source}-{target}" if of_catalogue else row.name,
        study=STUDY if (source, target) in TASKS else OWN_STUDY,
        method=row.name,
        networks=NETWORKS,
        source=source,
        target=target,
        mean=0.5,
        std=0.5,
        rotate=5.0,
        shift=0.07,
        scale=0.1,
        validation=0.05,
        optimizer="adamw",
        weight_decay=0.01,
        lr_schedule="cosine",
        lr_warmup=3_200,
        origins={
            "backbone_rate": DAN_PAPER.origin,
            **{name: own.origin for name, own in row.options.items() if own.origin},
            **row.origins,
        },
        **{**changeable, **row.values},
    )
    return preset if of_catalogue else replace(preset, size=OWN_SIZE, validation=OWN_VALIDATION)


def by_alias(name: str) -> BenchmarkPreset | None:
    """The preset of `METHOD-SOURCE-TARGET`, of a method and two sets of the catalogue; None for any other name."""
    for row in METHODS.values():
        for source in CATALOG:
            prefix = f"{row.name}-{source}-"
            if name.startswith(prefix) and name.removeprefix(prefix) in CATALOG:
                return preset_of(row, source, name.removeprefix(prefix))
    return None


def presets_for_folders() -> Iterator[BenchmarkPreset]:
    """For a user's own two folders, of whatever is in them: AdaMatch, whose unsure answers are drawn to even class
    frequencies; the data decides on mirrors, turns, colours and information maximisation (docs/guide/two-domains.md);
    and source-only, in weak views, to stand beside it."""
    adamatch, source_only = (preset_of(METHODS[name], **OWN) for name in ("adamatch", "source"))
    origins = {key: origin for key, origin in adamatch.origins.items() if key != "prior"}
    changes: dict[str, Any] = {"images": 300_000, "strong_recolour": 0.0, "prior": "even"}
    changes |= {"augment": "auto", "try_information": "on"}
    yield replace(adamatch, name="adapt", origins=origins, **changes)
    yield replace(source_only, name="adapt-source", images=600_000, strong=0.0, augment="auto")
    still: dict[str, Any] = {"rotate": 0.0, "shift": 0.0, "scale": 0.0}  # nothing is moved: features are kept
    pretrained = next(row for row in METHODS.values() if row.pretrained)
    yield replace(preset_of(pretrained, **OWN), name=PHOTOS, backbone=SQUEEZENETS[1], size=PHOTO_SIZE, **still)


def road(name: str, weights: str | None) -> str:
    """The preset that is meant by a name: `adapt` has one for pretrained weights, where these are given."""
    return PHOTOS if name == "adapt" and weights not in (None, "none") else name


def all_presets() -> Iterator[BenchmarkPreset]:
    """Those for a user's own folders, and every method on every task of the study."""
    yield from presets_for_folders()
    for source, target in TASKS:
        yield from (preset_of(row, source, target) for row in METHODS.values() if not row.pretrained)
