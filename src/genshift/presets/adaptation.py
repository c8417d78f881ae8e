"""An experiment in unsupervised domain adaptation: what all of them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from genshift.errors import Refusal
from genshift.paths import given_path
from genshift.presets.base import Preset, option, short
from genshift.presets.methods import row_of


@dataclass(frozen=True, kw_only=True)
class Adaptation(Preset):
    """An experiment in unsupervised domain adaptation, or one of its two bounds."""

    family: ClassVar[str] = "adaptation"
    labelled: ClassVar[str] = "source"
    source: str = option("labelled data set, or a folder")
    target: str = option("unlabelled data set, or a folder")
    extra: str = option("labelled pictures that join the source's in training, a generator's say: a folder", "")
    frame: Literal["mnist", "full"] = option("usps digits in MNIST's frame (20 of 28 pixels), or filling it", "mnist")
    batch_source: int = option("source images a step", 64, above=0)
    batch_target: int = option("target images a step", 64, above=0)
    loaders: Literal["walked", "zipped"] = option(
        "each set to its own end (walked), or all anew when the shortest ends (zipped)", "walked"
    )
    adversary: Literal["none", "alternating", "reversal", "inverted"] = option("how the domain loss is played", "none")
    statistics: Literal["mixed", "apart", "own"] = option(
        "BatchNorm: domains in one batch (mixed), each by itself (apart), or each with running statistics too (own)",
        "mixed",
    )
    lam: float = option("λ, weight of the domain loss in the extractor", 0.0, at_least=0)
    lam_schedule: Literal["constant", "dann"] = option("λ fixed, or 2/(1+exp(-10p))-1 times lam", "constant")
    pretrain: float = option("share of the budget spent on source labels alone, before ADDA or SHOT adapts", 0.0)
    pretrain_lr: float = option("learning rate of that share; lr is the adaptation's", 1e-3, above=0)

    @property
    def task(self) -> str:
        """The two domains, e.g. "mnistm→svhn"."""
        return f"{short(self.source)}→{short(self.target)}"

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return row_of(self.method).summary.format(source=short(self.source), target=short(self.target))

    @property
    def trains_on(self) -> str:
        """The labelled set that is learnt from: the target's own by the method 'target'."""
        return self.target if self.method == "target" else self.source

    @property
    def zips(self) -> bool:
        return self.loaders == "zipped"

    @property
    def adapts(self) -> bool:
        return row_of(self.method).adapts

    @property
    def step_images(self) -> int:
        """Images by which one step moves progress."""
        return self.batch_target if self.method == "target" else self.batch_source

    @property
    def bound_to_budget(self) -> str:
        if row_of(self.method).paced:
            return f"{row_of(self.method).title} goes by the share of the budget that is spent"
        if self.lam and self.lam_schedule != "constant":
            return "its λ rises over the budget"
        return super().bound_to_budget

    def checked(self) -> Self:
        """This preset, or a Refusal that names what does not go together."""
        row = row_of(self.method)
        super().checked()
        if self.networks not in row.networks:
            raise Refusal(f"{row.title} is not made for the networks {self.networks}: {' or '.join(row.networks)}.")
        if same_set(self.source, self.target):
            raise Refusal(f"--source and --target are both {self.source}: name another target, of unlabelled pictures.")
        inverted = self.method == "adda"
        if inverted != (self.adversary == "inverted"):
            raise Refusal(f"{self.name} takes no --adversary {self.adversary}: 'inverted' is ADDA's presets' alone.")
        if row.adversarial != (self.adversary != "none"):
            rule = "it learns from an adversary, by reversal or alternating" if row.adversarial else "its own is none"
            raise Refusal(f"{self.name} takes no --adversary {self.adversary}: {rule}.")
        if inverted and self.statistics != "apart":
            raise Refusal(
                f"{self.name} takes no --statistics {self.statistics}: an extractor for each domain keeps apart."
            )
        if self.statistics == "own" and self.networks != "residual":
            raise Refusal(f"{self.name}'s networks keep no statistics for each domain: give --statistics apart.")
        if row.phased != (0 < self.pretrain < 1):
            right = "above 0 and below 1" if row.phased else "0 but in ADDA's and SHOT's presets"
            raise Refusal(f"--pretrain of {self.name} is a share of the budget, {right}, not {self.pretrain}.")
        if min(self.batch_source, self.batch_target) < 2:
            raise Refusal(f"{self.name} takes 2 images of a domain a step at least: BatchNorm needs more than one.")
        if self.zips and not self.adapts:
            raise Refusal(f"--loaders zipped walks two sets together, and {self.name} learns from one: leave it out.")
        if self.extra and self.method == "target":
            raise Refusal(f"--extra joins the source's pictures, of which {self.name} learns nothing: leave it out.")
        if row.phased and self.select == "best":
            raise Refusal(
                f"--select best goes by source accuracy, which is highest before {self.name} adapts: take label-free."
            )
        return self


@dataclass(frozen=True, kw_only=True)
class HW2Adaptation(Adaptation):
    """An experiment on hw2's printed networks."""

    pooling: Literal["two", "two-averaged", "five"] = option(
        "max-poolings of the extractor: two as printed (28 to 31 pixels), two and then averaged to 1×1 (28 to 63), or "
        "the cited source's five (32 to 63)",
        "two",
    )


def same_set(one: str, other: str) -> bool:
    """Whether two sets, by name or path, are one."""
    return given_path(one).resolve() == given_path(other).resolve()
