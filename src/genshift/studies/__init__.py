"""Studies: which runs make one, and within which budget.

This file has the table `STUDIES`; `running` trains and evaluates what is missing of one and writes its page, `workers`
does so in several processes that end well. A new study is an entry of the table; a preset belongs to the study that it
names. What a method of adaptation may cost stands in its row (`genshift.presets.methods`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from genshift.errors import unknown
from genshift.presets import PRESETS, Preset, methods
from genshift.presets.benchmark import TASKS

BudgetName = Literal["quick", "cpu", "full"]
VARIED = "yours (varied by the study)"


@dataclass(frozen=True)
class Judge:
    """The classifier in whose features the generators of a data set are measured, and its seed."""

    name: str
    seed: int


# The digits' has a seed that no generator of a study has: nothing that it was drawn by is shared.
JUDGES = {"celeba": Judge("faces-attributes", 0), "mnistm": Judge("digits-classifier", 9)}


def judge_of(preset: Preset) -> Judge | None:
    """Who measures what a preset draws; None for one that draws nothing, or draws what no classifier of ours knows."""
    return JUDGES.get(preset.task) if preset.draws else None


@dataclass(frozen=True)
class Study:
    """A set of presets compared at equal conditions.

    `cpu` caps the images of each method, or of a preset by its name, so that on one core with AMX a run takes at most 5
    minutes of it (adaptation; in the study of that name, in `default` and of hw3's ADDA 10) or an hour (generators);
    `quick` is a tenth of that, to see that everything works; `full` is the presets' own budget.
    """

    name: str
    summary: str
    cpu: Mapping[str, int]
    seeds: int = 3
    others: tuple[str, ...] = ()  # presets of other studies that belong to it too
    variants: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)  # options, by the preset's name

    def presets(self) -> list[Preset]:
        """The study's presets, with the classifiers that judge its generators, and its variants of presets."""
        own = [preset for preset in PRESETS.values() if preset.study == self.name]
        own += [PRESETS[name] for name in self.others]
        varied = [_varied(PRESETS[name], options) for name, kinds in self.variants.items() for options in kinds]
        own += [preset for place, preset in enumerate(varied) if preset not in varied[:place]]
        judges = dict.fromkeys(judge.name for preset in own if (judge := judge_of(preset)))
        return own + [PRESETS[name] for name in judges if PRESETS[name] not in own]

    def images(self, preset: Preset, budget: BudgetName) -> int:
        """Images to train `preset` on within a budget."""
        if budget == "full":
            return preset.images
        row = methods.METHODS.get(preset.method)  # a plugin's stands there alone
        own = preset.images if row is None else row.cpu_images
        cap = min(preset.images, self.cpu.get(preset.name, self.cpu.get(preset.method, own)))
        return cap if budget == "cpu" else max(preset.step_images, cap // 10)


def _varied(preset: Preset, options: Mapping[str, Any]) -> Preset:
    """The preset with these options; itself where it has them all. What was published is not of a variant."""
    changes = {name: value for name, value in options.items() if getattr(preset, name) != value}
    if not changes:
        return preset
    origins = {**preset.origins, **dict.fromkeys(changes, VARIED)}
    return replace(preset.replaced(**changes), origins=origins, published={})


def varied_options(preset: Preset) -> dict[str, Any]:
    """The options that a study varied."""
    return {name: value for name, value in preset.options().items() if preset.origins.get(name) == VARIED}


# All GANs see the same number of faces, and all VAEs: what hw2's method B, with its gradient penalty, gets through in
# about 40 minutes of one core with AMX, and what ours gets through in 15.
FACES = {"gan": 64_000, "vae": 48_000}
# On one core with AMX hw2's U-Net learns from 15 pictures a second, ours from 60 digits or 40 faces.
DIFFUSION = {"hw2-diffusion": 50_000, "faces-diffusion": 150_000, "digits-diffusion": 212_000}
ADAPTATION = {name: row.cpu_images for name, row in methods.METHODS.items()}
DEFAULT_BUDGETS = {"source": 320_000, methods.DEFAULT_METHOD: 60_000}
# hw3 finds that ADDA's learning rate and what is done to its images matter, each by task: the rates and the transforms
# (this problem's and the one's before it) that it names, on every task. Of DANN it says so of the transforms.
ADDA = ("hw3-adda-usps-mnistm", "hw3-adda-mnistm-svhn", "hw3-adda-svhn-usps")
DANN = tuple(name.replace("adda", "dann") for name in ADDA)
RATES = tuple({"lr": lr} for lr in (1e-3, 1e-4, 1e-5))
TRANSFORMS = tuple(
    {"colour": colour, "mean": pixel, "std": 1.0 - pixel} for colour in ("rgb", "grey") for pixel in (0.0, 0.5)
)
BASELINES = ("hw2-gan-a", "hw2-gan-b", "hw3-gan", "hw3-vae")
STUDIES = {
    study.name: study
    for study in (
        Study("demo", "the embedded digits, in two minutes, no download", {}),
        Study(
            "hw2",
            "two GANs of faces; conditional diffusion of MNIST-M; DANN from MNIST-M to SVHN and USPS",
            {"source": 100_000, "dann": 100_000, "target": 100_000, **FACES, **DIFFUSION},
        ),
        Study(
            "hw3",
            "VAE and GAN of faces; DANN and ADDA on USPS→MNIST-M, MNIST-M→SVHN, SVHN→USPS",
            {"source": 120_000, "dann": 120_000, "adda": 1_000_000, "target": 120_000, **FACES},
        ),
        Study(
            "faces",
            "VAEs and GANs of both studies and ours, on equal numbers of faces; our diffusion model beside them",
            {**FACES, **DIFFUSION},
            others=BASELINES,
        ),
        Study(
            "adaptation",
            "every method from labelled to unlabelled digits, on one backbone, at about ten minutes of one core each",
            ADAPTATION,
            seeds=1,
        ),
        Study(
            "default",
            "the default method beside source-only on four tasks, at about ten minutes of one core each",
            DEFAULT_BUDGETS,
            others=tuple(
                f"{method}-{'-'.join(task)}" for method in ("source", methods.DEFAULT_METHOD) for task in TASKS
            ),
        ),
        Study(
            "adda-tables",
            "hw3's ADDA by learning rate and task, and by transform and task, at one to four minutes of one core each",
            {"adda": 120_000},
            seeds=1,
            variants=dict.fromkeys(ADDA, RATES + TRANSFORMS),
        ),
        Study(
            "dann-tables",
            "hw3's DANN by transform and task, at one to four minutes of one core each",
            {"dann": 120_000},
            seeds=1,
            variants=dict.fromkeys(DANN, TRANSFORMS),
        ),
        Study(
            "digits",
            "conditional diffusion of MNIST-M, hw2's and ours, at about an hour of one core each",
            DIFFUSION,
            others=("hw2-diffusion",),
        ),
    )
}


def get(name: str) -> Study:
    """The study of that name; Refusal with the nearest name where there is none."""
    if name not in STUDIES:
        raise unknown("study", name, STUDIES, "`genshift ls` lists them.")
    return STUDIES[name]
