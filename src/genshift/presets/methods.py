"""THE table of adaptation methods: a row states all that is known of a method outside the file that computes it.

A row is a `MethodRow`. Its options with their defaults, bounds and origins become the fields of a preset and the flags
of `genshift train`; its title, summary and papers stand in tables, pages and lists of what to cite; its budget is what
the study of methods trains it on. `implementation` names the class in `genshift.methods` that learns. To add a method,
write that file and add one row here (docs/adding.md). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genshift import plugins
from genshift.errors import Refusal, unknown
from genshift.plugins import is_same_definition, load_installed
from genshift.presets.base import OURS, Option
from genshift.presets.papers import (
    ADABN_PAPER,
    ADAMATCH_PAPER,
    ADDA_PAPER,
    CBST_PAPER,
    CDAN_PAPER,
    CORAL_PAPER,
    DAN_PAPER,
    DANN_PAPER,
    ENSEMBLING_PAPER,
    MCC_PAPER,
    PROPAGATION_PAPER,
    SHOT_PAPER,
    Paper,
)


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """An adaptation method, or one of its two bounds.

    summary: a sentence in which `{source}` and `{target}` stand for the sets. implementation: "module:Class" below
    `genshift.methods`, or the class itself where it comes from outside the package. values: what the method sets
    otherwise than `benchmark.preset_of` does for all, and origins: where those values come from (ours, where unsaid).
    cpu_images: source images that it gets through in at most 10 minutes of one core with AMX, its checks included.
    """

    name: str
    title: str
    summary: str
    implementation: str | type
    cpu_images: int
    papers: tuple[Paper, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    statistics: tuple[str, ...] = ("mixed", "apart", "own")  # what --statistics may be on the common backbone
    networks: tuple[str, ...] = ("residual",)  # families of networks that it is made for
    adapts: bool = True  # False for the bounds, which learn from one domain alone
    pretrained: bool = False  # rests on a backbone's weights, so the study's digits, learnt from scratch, leave it out
    phased: bool = False  # learns the source's labels first, for a share `pretrain` of the budget, and adapts after
    ramped: bool = False  # a step goes by the share of the budget that is spent, beside what options schedule

    @property
    def paced(self) -> bool:
        """Whether a step depends on the whole budget, whatever the options are."""
        return self.phased or self.ramped

    @property
    def adversarial(self) -> bool:
        """Whether an adversary tells the domains apart, so that the option `adversary` says how it is played."""
        return self.values.get("adversary", "none") != "none"


# What several rows share.
_REVERSED: dict[str, Any] = {"adversary": "reversal", "lam": 1.0, "lam_schedule": "dann"}
_MCC = {
    "mcc": Option("weight of class confusion", 1.0, at_least=0, origin=MCC_PAPER.origin),
    "temperature": Option(
        "what logits are divided by before class confusion is measured", 2.5, above=0, origin=MCC_PAPER.origin
    ),
}
# FixMatch and AdaMatch take both views of an image themselves, and as in AdaMatch's paper three target images for one
# of the source.
_THREE_TO_ONE: dict[str, Any] = {"strong": 0.0, "statistics": "mixed", "batch_source": 32, "batch_target": 96}
_STRONG_RECOLOUR = Option(
    "probability that channels of a strong view are put in another order and each inverted or not (--strong-invert)",
    0.5,
    at_least=0,
    at_most=1,
)
_STRONG_INVERT = Option(
    "probability that a channel is inverted, in a strong view whose channels change places", 0.5, at_least=0, at_most=1
)
_ADAMATCH = {
    "threshold": Option(
        "share of the source's mean confidence above which a target image counts",
        0.9,
        at_least=0,
        at_most=1,
        origin=ADAMATCH_PAPER.origin,
    ),
    "prior": Option(
        "class frequencies that target answers are drawn to: the source's, as published, or even ones",
        "source",
        choices=("source", "even"),
        origin=ADAMATCH_PAPER.origin,
    ),
    "alignment": Option(
        "how far they are drawn there: 1 as published, 0 not at all",
        1.0,
        at_least=0,
        at_most=1,
        origin=ADAMATCH_PAPER.origin,
    ),
    "information": Option(
        "weight of information maximisation on the target, which is SHOT's; 0 as published", 0.0, at_least=0
    ),
    "try_information": Option(
        "whether two short trainings, a tenth of the budget each, decide on it", "off", choices=("off", "on")
    ),
    "strong_recolour": _STRONG_RECOLOUR,
    "strong_invert": _STRONG_INVERT,
}

# In the order of tables: the lower bound first, the upper one last.
_ROWS = (
    MethodRow(
        name="source",
        title="Source only",
        summary="trained on {source} alone, tested on {target}: what adaptation starts from",
        implementation="supervised:Supervised",
        cpu_images=320_000,
        values={"statistics": "mixed"},
        statistics=("mixed", "apart"),  # one domain alone: of statistics for two, one would stay as it was made
        networks=("residual", "hw2", "hw3"),
        adapts=False,
    ),
    MethodRow(
        name="adabn",
        title="AdaBN",
        summary="trained on labelled {source}, tested on {target} with its own batch statistics (AdaBN)",
        implementation="adabn:AdaBN",
        cpu_images=230_000,
        papers=(ADABN_PAPER,),
        statistics=("own",),
    ),
    MethodRow(
        name="coral",
        title="Deep CORAL",
        summary="trained on labelled {source} and unlabelled {target}, their logits' covariances drawn together "
        "(CORAL)",
        implementation="coral:CORAL",
        cpu_images=170_000,
        papers=(CORAL_PAPER,),
        options={"coral": Option("weight of the covariances' distance", 1.0, at_least=0)},
    ),
    MethodRow(
        name="dan",
        title="DAN",
        summary="trained on labelled {source} and unlabelled {target}, the kernel means of their features and logits "
        "drawn together (DAN)",
        implementation="dan:DAN",
        cpu_images=160_000,
        papers=(DAN_PAPER,),
        values={"lam": 1.0},
    ),
    MethodRow(
        name="jan",
        title="JAN",
        summary="trained on labelled {source} and unlabelled {target}, the joint distributions of their features and "
        "answers drawn together (JAN)",
        implementation="jan:JAN",
        cpu_images=160_000,
        papers=(
            _JAN_PAPER := Paper(
                "long2017jan",
                "Long, Mingsheng and Zhu, Han and Wang, Jianmin and Jordan, Michael I.",
                "Deep Transfer Learning with Joint Adaptation Networks",
                "ICML",
                2017,
                "1605.06636",
                short="JAN",
            ),
        ),
        values={"lam": 1.0, "lam_schedule": "dann"},
        origins=dict.fromkeys(("lam", "lam_schedule"), _JAN_PAPER.origin),
    ),
    MethodRow(
        name="dann",
        title="DANN",
        summary="trained on labelled {source} and unlabelled {target} by an adversary of domains (DANN)",
        implementation="dann:DANN",
        cpu_images=170_000,
        papers=(DANN_PAPER,),
        values=_REVERSED,
        origins=dict.fromkeys(_REVERSED, DANN_PAPER.origin),
        networks=("residual", "hw2", "hw3"),
    ),
    MethodRow(
        name="adda",
        title="ADDA",
        summary="an extractor of {target}'s own, taken past a discriminator to the features of labelled {source} "
        "(ADDA)",
        implementation="adda:ADDA",
        cpu_images=200_000,
        papers=(ADDA_PAPER,),
        values={"adversary": "inverted", "statistics": "apart", "pretrain": 0.4, "lr": 3e-5},
        origins={"adversary": ADDA_PAPER.origin},
        networks=("residual", "hw3"),
        phased=True,
    ),
    MethodRow(
        name="cdan",
        title="CDAN+E",
        summary="trained on labelled {source} and unlabelled {target} by an adversary that sees classes too (CDAN+E)",
        implementation="cdan:CDAN",
        cpu_images=170_000,
        papers=(CDAN_PAPER,),
        values=_REVERSED,
        origins=dict.fromkeys(_REVERSED, CDAN_PAPER.origin),
    ),
    MethodRow(
        name="mcd",
        title="MCD",
        summary="trained on labelled {source}, features of unlabelled {target} taken to where two classifiers agree "
        "(MCD)",
        implementation="mcd:MCD",
        cpu_images=60_000,
        papers=(
            _MCD_PAPER := Paper(
                "saito2018mcd",
                "Saito, Kuniaki and Watanabe, Kohei and Ushiku, Yoshitaka and Harada, Tatsuya",
                "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation",
                "CVPR",
                2018,
                "1712.02560",
                short="MCD",
            ),
        ),
        options={
            "generator_steps": Option(
                "times a step that the extractor brings both classifiers together", 4, above=0, origin=_MCD_PAPER.origin
            )
        },
        statistics=("apart", "own"),  # most of its passes are of the target alone
    ),
    MethodRow(
        name="mdd",
        title="MDD",
        summary="trained on labelled {source} and unlabelled {target}, against a classifier that would differ on "
        "{target} alone (MDD)",
        implementation="mdd:MDD",
        cpu_images=170_000,
        papers=(
            _MDD_PAPER := Paper(
                "zhang2019mdd",
                "Zhang, Yuchen and Liu, Tianle and Long, Mingsheng and Jordan, Michael I.",
                "Bridging Theory and Algorithm for Domain Adaptation",
                "ICML",
                2019,
                "1904.05801",
                short="MDD",
            ),
        ),
        options={
            "margin": Option(
                "γ, how much agreement on the source weighs against difference on the target",
                4.0,
                above=0,
                origin=_MDD_PAPER.origin,
            )
        },
        values={"lam": 0.1, "lam_schedule": "dann"},
        origins={"lam": _MDD_PAPER.origin, "lam_schedule": DANN_PAPER.origin},
    ),
    MethodRow(
        name="mcc",
        title="MCC",
        summary="trained on labelled {source} and unlabelled {target}, against confusing classes there (MCC)",
        implementation="mcc:MCC",
        cpu_images=170_000,
        papers=(MCC_PAPER,),
        options=_MCC,
    ),
    MethodRow(
        name="dann-mcc",
        title="DANN + MCC",
        summary="trained on labelled {source} and unlabelled {target} by DANN's adversary and MCC",
        implementation="mcc:MCC",
        cpu_images=170_000,
        papers=(DANN_PAPER, MCC_PAPER),
        options=_MCC,
        values=_REVERSED,
        origins=dict.fromkeys(_REVERSED, DANN_PAPER.origin),
    ),
    MethodRow(
        name="mean-teacher",
        title="Mean teacher",
        summary="trained on labelled {source}, and on {target} as an average of itself says (self-ensembling)",
        implementation="mean_teacher:MeanTeacher",
        cpu_images=140_000,
        papers=(ENSEMBLING_PAPER,),
        options={
            "teacher_half_life": Option(
                "half-life of the teacher's average, in source images", 4_400, above=0, origin=ENSEMBLING_PAPER.origin
            ),
            "threshold": Option(
                "confidence of the teacher above which an image counts",
                0.968,
                at_least=0,
                at_most=1,
                origin=ENSEMBLING_PAPER.origin,
            ),
            "consistency": Option(
                "weight of the student's distance from the teacher", 3.0, at_least=0, origin=ENSEMBLING_PAPER.origin
            ),
            "balance": Option(
                "weight, within that, of classes being equally frequent",
                0.005,
                at_least=0,
                origin=ENSEMBLING_PAPER.origin,
            ),
        },
        values={"ema_half_life": 0},  # its teacher is the average already
        statistics=("own",),
    ),
    MethodRow(
        name="fixmatch",
        title="FixMatch",
        summary="trained on labelled {source}, and on strong views of {target} as sure weak ones say (FixMatch)",
        implementation="fixmatch:FixMatch",
        cpu_images=50_000,
        papers=(
            _FIXMATCH_PAPER := Paper(
                "sohn2020fixmatch",
                "Sohn, Kihyuk and Berthelot, David and Carlini, Nicholas and Zhang, Zizhao and Zhang, Han and "
                "Raffel, Colin and Cubuk, Ekin D. and Kurakin, Alexey and Li, Chun-Liang",
                "{FixMatch}: Simplifying Semi-Supervised Learning with Consistency and Confidence",
                "NeurIPS",
                2020,
                "2001.07685",
                short="FixMatch",
            ),
        ),
        options={
            "threshold": Option(
                "confidence in its weak view from which a target image counts",
                0.95,
                at_least=0,
                at_most=1,
                origin=_FIXMATCH_PAPER.origin,
            ),
            "consistency": Option(
                "weight of the strong views' cross-entropy", 1.0, at_least=0, origin=_FIXMATCH_PAPER.origin
            ),
            "strong_recolour": _STRONG_RECOLOUR,
            "strong_invert": _STRONG_INVERT,
        },
        values=_THREE_TO_ONE,
        origins={"statistics": _FIXMATCH_PAPER.origin},
        statistics=("mixed",),
    ),
    MethodRow(
        name="adamatch",
        title="AdaMatch",
        summary="trained on labelled {source}, and on strong views of {target} as weak ones say (AdaMatch)",
        implementation="adamatch:AdaMatch",
        cpu_images=45_000,
        papers=(ADAMATCH_PAPER,),
        options=_ADAMATCH,
        values=_THREE_TO_ONE,
        origins={"statistics": ADAMATCH_PAPER.origin},
        statistics=("mixed",),
        ramped=True,
    ),
    MethodRow(
        name="adamatch-im",
        title="AdaMatch + IM",
        summary="trained on labelled {source}, and on {target} by AdaMatch and information maximisation",
        implementation="adamatch:AdaMatch",
        cpu_images=45_000,
        papers=(ADAMATCH_PAPER, SHOT_PAPER),
        options=_ADAMATCH,
        values={**_THREE_TO_ONE, "prior": "even", "information": 1.0},
        origins={"statistics": ADAMATCH_PAPER.origin, "prior": OURS, "information": SHOT_PAPER.origin},
        statistics=("mixed",),
        ramped=True,
    ),
    MethodRow(
        name="shot",
        title="SHOT",
        summary="trained on labelled {source}, then on unlabelled {target} alone (SHOT)",
        implementation="shot:SHOT",
        cpu_images=240_000,
        papers=(SHOT_PAPER,),
        options={
            "smoothing": Option(
                "share of a source label spread over all classes", 0.1, at_least=0, at_most=1, origin=SHOT_PAPER.origin
            ),
            "pseudo": Option("weight of the pseudo-labels' cross-entropy", 0.1, at_least=0, origin=SHOT_PAPER.origin),
            "labellings": Option("times that pseudo-labels are told anew, evenly over the adaptation", 15, above=0),
        },
        values={"statistics": "mixed", "pretrain": 0.4, "lr": 3e-4},
        statistics=("mixed",),
        phased=True,
    ),
    MethodRow(
        name="self-training",
        title="Self-training on pretrained features",
        summary="a linear head on a pretrained backbone's features, learnt from labelled {source} and from {target} as "
        "it labels that itself, round by round",
        implementation="self_training:SelfTraining",
        cpu_images=704,
        papers=(ADABN_PAPER, CBST_PAPER, PROPAGATION_PAPER),
        options={
            "rounds": Option("times that the target is labelled and the head is learnt anew", 10, above=0),
            "share_first": Option(
                "share of each class's target pictures, the surest, that the first round learns from",
                0.3,
                above=0,
                at_most=1,
            ),
            "share_last": Option("the same share of the last round; it rises evenly", 0.9, above=0, at_most=1),
            "alignment": Option(
                "how far class frequencies of the target's answers are drawn to even ones: 0 not at all, 1 wholly",
                0.5,
                at_least=0,
                at_most=1,
            ),
            "neighbours": Option("nearest target pictures that an answer is propagated to and from", 10, above=0),
            "propagation": Option(
                "share of an answer that comes from its neighbours' rather than from the head; 0 for none",
                0.8,
                at_least=0,
                at_most=0.99,
            ),
            "ridge": Option("weight of the head's squared weights, halved", 0.1, above=0),
        },
        values={"statistics": "own", "ema_half_life": 0, "strong": 0.0, "images": 704, "select": "last"},
        origins={"statistics": ADABN_PAPER.origin},
        statistics=("own",),
        pretrained=True,
        ramped=True,
    ),
    MethodRow(
        name="target",
        title="Trained on target",
        summary="trained on labelled {target}: what adaptation could reach",
        implementation="supervised:Supervised",
        cpu_images=320_000,
        values={"statistics": "mixed"},
        statistics=("mixed", "apart"),
        networks=("residual", "hw2", "hw3"),
        adapts=False,
    ),
)
METHODS: dict[str, MethodRow] = {row.name: row for row in _ROWS}
DEFAULT_METHOD = "adamatch-im"  # the method of the study `default`


def row_of(name: str) -> MethodRow:
    """The row of a method; Refusal with the nearest name where there is none, neither here nor in what is installed."""
    if not is_known(name):
        raise unknown("method", name, METHODS, "A plugin's must be installed, or named by --plugin FILE.")
    return METHODS[name]


def is_known(name: str) -> bool:
    """Whether there is a method of that name, here or in what is installed."""
    if name not in METHODS:
        load_installed(plugins.METHODS, name)
    return name in METHODS


def load_installed_for(words: Iterable[str]) -> None:
    """Imports the installed methods that these words name, alone or as METHOD-SOURCE-TARGET."""
    words = [word for word in words if not word.startswith("-")]
    for method in plugins.installed_names(plugins.METHODS) if words else ():
        if method not in METHODS and any(f"{word}-".startswith(f"{method}-") for word in words):
            load_installed(plugins.METHODS, method)


def title_of(name: str) -> str:
    """What a method is called in tables; the name itself of one that is not here."""
    return METHODS[name].title if name in METHODS else name


def add(row: MethodRow) -> None:
    """Adds the row of a method from outside the package; Refusal where the name is taken by another one."""
    known = METHODS.get(row.name)
    if known is not None and not is_same_definition(row.implementation, known.implementation):
        raise Refusal(f"There is a method '{row.name}' already: give the plugin's another name.")
    METHODS[row.name] = row
