"""Adaptation methods compared at equal conditions: one backbone, one augmentation, one budget; each paper's own recipe.

A method's own options stand in its own class; `genshift.presets.class_of` finds it again for a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from genshift.errors import Refusal
from genshift.presets.adaptation import DANN_PAPER, Adaptation
from genshift.presets.base import HALF_LIFE, option

NETWORKS = "residual"
TASKS = ("mnistm-svhn", "mnistm-usps", "usps-mnistm", "svhn-usps")
OWN_STUDY = "own"  # of a user's folders
OWN = {"source": "source/", "target": "target/"}  # which the user names
OUR_BACKBONE, TIMM = "residual", "timm:"

ADDA_PAPER = "cited source (ADDA, arXiv 1702.05464)"
CDAN_PAPER = "cited source (CDAN, arXiv 1705.10667)"
MCC_PAPER = "cited source (MCC, arXiv 1912.03699)"
ENSEMBLING = "cited source (self-ensembling, arXiv 1706.05208)"
ADAMATCH_PAPER = "cited source (AdaMatch, arXiv 2106.04732)"
SHOT_PAPER = "cited source (SHOT, arXiv 2002.08546)"


@dataclass(frozen=True, kw_only=True)
class BenchmarkPreset(Adaptation):
    """A method, or a bound, on the common backbone."""

    positive: ClassVar[tuple[str, ...]] = (*Adaptation.positive, "width")
    normalised: ClassVar[tuple[str, ...]] = ("mixed", "apart", "own")  # what `statistics` may be

    backbone: str = option("residual, ours; or timm:NAME, an image model of timm's (extra `timm`)", OUR_BACKBONE)
    weights: str = option(
        "what timm's backbone starts from: none, a file of weights (.safetensors, .pth), or download", "none"
    )
    width: int = option("channels at half side of our backbone; they double at the next two halvings", 64)

    def checked(self) -> Self:
        """As every adaptation's; a role's adversary and statistics are part of it."""
        super().checked()
        self._check_backbone()
        adversary = ADVERSARIES.get(self.method, "none")
        if self.adversary != adversary:
            raise Refusal(f"{self.name} takes no --adversary {self.adversary}: its own is {adversary}.")
        # A bound knows one domain alone: of statistics for two, one would stay as it was made.
        normalised = [each for each in self.normalised if self.adapts or each != "own"]
        if self.statistics not in normalised:
            raise Refusal(f"{self.name} takes no --statistics {self.statistics}: {' or '.join(normalised)}.")
        return self

    def _check_backbone(self) -> None:
        if self.backbone == OUR_BACKBONE:
            if self.weights != "none":
                raise Refusal(
                    f"--weights {self.weights} are for timm's models: name one, e.g. --backbone timm:resnet18."
                )
            return
        if not self.backbone.removeprefix(TIMM) or not self.backbone.startswith(TIMM):
            raise Refusal(f"--backbone takes {OUR_BACKBONE}, or {TIMM}NAME such as timm:resnet18, not {self.backbone}.")
        if self.statistics == "own":
            raise Refusal(
                f"{self.name} keeps statistics for each domain, which timm's models do not: leave --backbone out."
            )


@dataclass(frozen=True, kw_only=True)
class AdaBN(BenchmarkPreset):
    """AdaBN's options."""

    normalised: ClassVar[tuple[str, ...]] = ("own",)


@dataclass(frozen=True, kw_only=True)
class CORAL(BenchmarkPreset):
    """Deep CORAL's options."""

    not_negative: ClassVar[tuple[str, ...]] = (*Adaptation.not_negative, "coral")

    coral: float = option("weight of the covariances' distance", 1.0)


@dataclass(frozen=True, kw_only=True)
class MCC(BenchmarkPreset):
    """MCC's options."""

    positive: ClassVar[tuple[str, ...]] = (*BenchmarkPreset.positive, "temperature")
    not_negative: ClassVar[tuple[str, ...]] = (*Adaptation.not_negative, "mcc")

    mcc: float = option("weight of class confusion", 1.0)
    temperature: float = option("what logits are divided by before class confusion is measured", 2.5)


@dataclass(frozen=True, kw_only=True)
class MeanTeacher(BenchmarkPreset):
    """Self-ensembling's options."""

    positive: ClassVar[tuple[str, ...]] = (*BenchmarkPreset.positive, "teacher_half_life")
    not_negative: ClassVar[tuple[str, ...]] = (*Adaptation.not_negative, "threshold", "consistency", "balance")
    at_most: ClassVar[dict[str, float]] = {**Adaptation.at_most, "threshold": 1}
    normalised: ClassVar[tuple[str, ...]] = ("own",)

    teacher_half_life: int = option("half-life of the teacher's average, in source images", 4_400)
    threshold: float = option("confidence of the teacher above which an image counts", 0.968)
    consistency: float = option("weight of the student's distance from the teacher", 3.0)
    balance: float = option("weight, within that, of classes being equally frequent", 0.005)


@dataclass(frozen=True, kw_only=True)
class AdaMatch(BenchmarkPreset):
    """AdaMatch's options."""

    not_negative: ClassVar[tuple[str, ...]] = (
        *Adaptation.not_negative,
        "threshold",
        "alignment",
        "information",
        "strong_recolour",
    )
    at_most: ClassVar[dict[str, float]] = {**Adaptation.at_most, "threshold": 1, "alignment": 1, "strong_recolour": 1}
    normalised: ClassVar[tuple[str, ...]] = ("mixed",)

    threshold: float = option("share of the source's mean confidence above which a target image counts", 0.9)
    prior: Literal["source", "even"] = option(
        "class frequencies that target answers are drawn to: the source's, as published, or even ones", "source"
    )
    alignment: float = option("how far they are drawn there: 1 as published, 0 not at all", 1.0)
    information: float = option(
        "weight of information maximisation on the target, which is SHOT's; 0 as published", 0.0
    )
    strong_recolour: float = option(
        "probability that channels of a strong view are put in another order and each inverted or not", 0.5
    )


@dataclass(frozen=True, kw_only=True)
class SHOT(BenchmarkPreset):
    """SHOT's options."""

    positive: ClassVar[tuple[str, ...]] = (*BenchmarkPreset.positive, "labellings")
    not_negative: ClassVar[tuple[str, ...]] = (*Adaptation.not_negative, "smoothing", "pseudo")
    at_most: ClassVar[dict[str, float]] = {**Adaptation.at_most, "smoothing": 1}
    normalised: ClassVar[tuple[str, ...]] = ("mixed",)

    smoothing: float = option("share of a source label spread over all classes", 0.1)
    pseudo: float = option("weight of the pseudo-labels' cross-entropy", 0.1)
    labellings: int = option("times that pseudo-labels are told anew, evenly over the adaptation", 15)


CLASSES: dict[str, type[BenchmarkPreset]] = {
    "source": BenchmarkPreset,
    "dann": BenchmarkPreset,
    "adda": BenchmarkPreset,
    "adabn": AdaBN,
    "coral": CORAL,
    "cdan": BenchmarkPreset,
    "mcc": MCC,
    "dann-mcc": MCC,
    "mean-teacher": MeanTeacher,
    "adamatch": AdaMatch,
    "adamatch-im": AdaMatch,
    "shot": SHOT,
    "target": BenchmarkPreset,
}
DEFAULT_ROLE = "adamatch-im"  # of the study `default`
# What a role changes of the common description, and where those values come from; the rest is ours.
_REVERSED: dict[str, Any] = {"adversary": "reversal", "lam": 1.0, "lam_schedule": "dann"}
# It takes both views of every image itself, and as in the paper three target images for one of the source.
_MATCHED: dict[str, Any] = {"strong": 0.0, "statistics": "mixed", "batch_source": 32, "batch_target": 96}
_ROLES: dict[str, dict[str, Any]] = {
    "dann": _REVERSED,
    "adda": {"adversary": "inverted", "statistics": "apart", "pretrain": 0.4, "lr": 3e-5},
    "cdan": _REVERSED,
    "dann-mcc": _REVERSED,
    # Its teacher is the average already.
    "mean-teacher": {"ema_half_life": 0},
    "adamatch": _MATCHED,
    "adamatch-im": {**_MATCHED, "prior": "even", "information": 1.0},
    "shot": {"statistics": "mixed", "pretrain": 0.4, "lr": 3e-4},
    "source": {"statistics": "mixed"},
    "target": {"statistics": "mixed"},
}
# Roles with an adversary of domains, and how it is played.
ADVERSARIES = {role: changed["adversary"] for role, changed in _ROLES.items() if "adversary" in changed}
_FROM_ADAMATCH = ("threshold", "statistics", "alignment", "prior")
_ORIGINS: dict[str, dict[str, str]] = {
    "dann": dict.fromkeys(_REVERSED, DANN_PAPER),
    "adda": {"adversary": ADDA_PAPER},
    "cdan": dict.fromkeys(_REVERSED, CDAN_PAPER),
    "mcc": dict.fromkeys(("mcc", "temperature"), MCC_PAPER),
    "dann-mcc": {**dict.fromkeys(_REVERSED, DANN_PAPER), **dict.fromkeys(("mcc", "temperature"), MCC_PAPER)},
    "mean-teacher": dict.fromkeys(("teacher_half_life", "threshold", "consistency", "balance"), ENSEMBLING),
    "adamatch": dict.fromkeys(_FROM_ADAMATCH, ADAMATCH_PAPER),
    "adamatch-im": {**dict.fromkeys(_FROM_ADAMATCH[:3], ADAMATCH_PAPER), "information": SHOT_PAPER},
    "shot": dict.fromkeys(("smoothing", "pseudo"), SHOT_PAPER),
}


def _preset(role: str, task: str) -> BenchmarkPreset:
    source, target = task.split("-")
    select = "last" if role in ("source", "target") else "label-free"
    options: dict[str, Any] = {"statistics": "own", "ema_half_life": HALF_LIFE, "strong": 0.5, "lr": 1e-3}
    return CLASSES[role](
        name=f"{role}-{task}",
        study="adaptation",
        method=role,  # type: ignore[arg-type]
        networks=NETWORKS,
        source=source,
        target=target,
        images=1_000_000,
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
        select=select,  # type: ignore[arg-type]
        origins=_ORIGINS.get(role, {}),
        **{**options, **_ROLES.get(role, {})},
    )


def _own() -> Iterator[BenchmarkPreset]:
    """For a user's own two folders, of whatever is in them: AdaMatch, of which nothing is mirrored, no colour is
    inverted, and only unsure answers are drawn to even class frequencies (no IM: docs/methods.md); and source-only, in
    weak views, to stand beside it."""
    own: dict[str, Any] = {"study": OWN_STUDY, **OWN, "size": 32, "validation": 0.1}
    common = _preset("adamatch", "mnistm-usps")
    assert isinstance(common, AdaMatch)
    origins = {key: origin for key, origin in common.origins.items() if key != "prior"}
    yield replace(common, name="adapt", images=300_000, strong_recolour=0.0, prior="even", origins=origins, **own)
    yield replace(_preset("source", "mnistm-usps"), name="adapt-source", images=600_000, strong=0.0, **own)


def all_presets() -> Iterator[BenchmarkPreset]:
    """Every preset of the study, and those for a user's own folders."""
    yield from _own()
    for task in TASKS:
        yield from (_preset(role, task) for role in CLASSES)
