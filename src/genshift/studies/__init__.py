"""Studies: which runs make one, and within which budget.

This file has the table `STUDIES`; `jobs` makes runs of one, `needs` looks for what they need, `plan` tells what they
cost; `running` trains and evaluates what is missing and writes the page, `workers` does so in several processes that
end well, `cluster` on the nodes of a Ray cluster; `commands` is a run as a command line, for those and for torchrun. A
new study is an entry of the table; a preset belongs to the study that it names. What a method of adaptation may cost
stands in its row (`genshift.presets.methods`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from genshift.errors import unknown
from genshift.paths import given_path
from genshift.presets import PRESETS, Preset, methods
from genshift.presets.benchmark import TASKS
from genshift.presets.reports import BOUNDS_AND_DANN

BudgetName = Literal["quick", "cpu", "full"]
VARIED = "yours (varied by the study)"
QUICK_MINUTES = 30  # of one core, for all trainings of a study; with evaluations about 25 minutes on two cores
MOST_MINUTES = 100  # of one core that a run of the cpu budget takes, all but LONG
LONG = ("hw2-diffusion",)
# Core-seconds for a thousand images, checks included, as recorded on one core with AMX: by preset, or by networks, of
# which the dearest role counts for all, since those of a table learn from equal numbers.
CORE_SECONDS = {
    "hw2-gan-a": 11.0, "hw2-gan-b": 40.0, "hw3-gan": 10.0, "hw3-vae": 13.0, "faces-gan": 26.0, "faces-vae": 11.0,
    "hw2-diffusion": 62.0, "faces-diffusion": 21.0, "digits-diffusion": 17.0,
    "faces-attributes": 2.0, "digits-classifier": 1.4, "hw2": 2.3, "hw3": 2.5,
}  # fmt: skip


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

    `cpu` says the images of a preset by its name, or caps those of each method, so that on one core with AMX a run
    takes at most MOST_MINUTES of it (adaptation in the study of that name and in `default` 10); `quick` shares
    QUICK_MINUTES among the presets, to see that everything works; `full` is the presets' own budget. Presets in `once`
    are trained with the first seed alone.
    """

    name: str
    summary: str
    cpu: Mapping[str, int]
    seeds: int = 3
    others: tuple[str, ...] = ()  # presets of other studies that belong to it too
    variants: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)  # options, by the preset's name
    once: tuple[str, ...] = ()
    processes: int = 1  # that share each run's batch

    @property
    def argument(self) -> str:
        """What `genshift study` takes for it."""
        return self.name

    def presets(self) -> list[Preset]:
        """The study's presets, with the classifiers that judge its generators, and its variants of presets."""
        own = [preset for preset in PRESETS.values() if preset.study == self.name]
        own += [PRESETS[name] for name in self.others]
        kinds = [varied(PRESETS[name], options) for name, kinds in self.variants.items() for options in kinds]
        own += [preset for place, preset in enumerate(kinds) if preset not in kinds[:place]]
        judges = dict.fromkeys(judge.name for preset in own if (judge := judge_of(preset)))
        return own + [PRESETS[name] for name in judges if PRESETS[name] not in own]

    def images(self, preset: Preset, budget: BudgetName) -> int:
        """Images to train `preset` on within a budget."""
        if budget == "full":
            return preset.images
        cpu = self.cpu_images(preset)
        if budget == "cpu":
            return cpu
        seconds = 60 * QUICK_MINUTES / len(self.presets())
        return min(cpu, max(preset.step_images, int(1000 * seconds / core_seconds(preset))))

    def cpu_images(self, preset: Preset) -> int:
        """Images to train `preset` on within the cpu budget."""
        row = methods.METHODS.get(preset.method)  # a plugin's stands there alone
        own = preset.images if row is None else row.cpu_images
        return self.cpu.get(preset.name, min(preset.images, self.cpu.get(preset.method, own)))


def core_seconds(preset: Preset) -> float:
    """Of a thousand images, about."""
    if (known := CORE_SECONDS.get(preset.name, CORE_SECONDS.get(preset.networks))) is not None:
        return known
    return 600_000 / methods.row_of(preset.method).cpu_images  # it takes at most ten minutes


def varied(preset: Preset, options: Mapping[str, Any]) -> Preset:
    """The preset with these options; itself where it has them all. What was published is not of a variant."""
    changes = {name: value for name, value in options.items() if getattr(preset, name) != value}
    if not changes:
        return preset
    origins = {**preset.origins, **dict.fromkeys(changes, VARIED)}
    return replace(preset.replaced(**changes), origins=origins, published={})


def _by_role(report: str, tasks: Mapping[str, int]) -> dict[str, int]:
    """The images of a task for each of its roles, by the presets' names."""
    return {f"{report}-{role}-{task}": images for task, images in tasks.items() for role in BOUNDS_AND_DANN}


def varied_options(preset: Preset) -> dict[str, Any]:
    """The options that a study varied."""
    return {name: value for name, value in preset.options().items() if preset.origins.get(name) == VARIED}


# All GANs see the same number of faces, and all VAEs: what hw2's method B, with its gradient penalty, gets through in
# about 40 minutes of one core with AMX, and what ours gets through in 15.
FACES = {"gan": 64_000, "vae": 48_000}
# On one core with AMX hw2's U-Net learns from 15 pictures a second, ours from 60 digits or 40 faces.
DIFFUSION = {"hw2-diffusion": 50_000, "faces-diffusion": 150_000, "digits-diffusion": 212_000}
# Where a report's own budget fits, it is given; the roles of a task learn from as many images, DANN's. Of hw2's 12
# million from MNIST-M to SVHN a part fits; hw3's faces are 100 epochs of the 4,500 that a part of CelebA trains on.
HW2_TASKS = {"mnistm-svhn": 500_000, "mnistm-usps": PRESETS["hw2-dann-mnistm-usps"].images}
HW3_TASKS = {task: PRESETS[f"hw3-dann-{task}"].images for task in ("usps-mnistm", "mnistm-svhn", "svhn-usps")}
ADDA = ("hw3-adda-usps-mnistm", "hw3-adda-mnistm-svhn", "hw3-adda-svhn-usps")
HW2 = {"gan": 128_000, "hw2-diffusion": 300_000}
HW3 = {"gan": 450_000, "vae": 450_000, **{name: PRESETS[name].images for name in ADDA}}
ADAPTATION = {name: row.cpu_images for name, row in methods.METHODS.items()}
DEFAULT_BUDGETS = {"source": 320_000, methods.DEFAULT_METHOD: 60_000}
# hw3 finds that ADDA's learning rate and what is done to its images matter, each by task: the rates and the transforms
# (this problem's and the one's before it) that it names, on every task. Of DANN it says so of the transforms.
DANN = tuple(name.replace("adda", "dann") for name in ADDA)
RATES = tuple({"lr": lr} for lr in (1e-3, 1e-4, 1e-5))
TRANSFORMS = tuple(
    {"colour": colour, "mean": pixel, "std": 1.0 - pixel} for colour in ("rgb", "grey") for pixel in (0.0, 0.5)
)
# It also finds that batches of unequal sizes make up for sets of unequal sizes; its loaders are zipped.
LOADERS = ({"loaders": "zipped"}, {"batch_source": 64, "batch_target": 64})
# hw2 finds that its source's five max-poolings lose SVHN's details. Five need 32 pixels: two stand beside them at the
# report's 28 and at 32, so that size and pooling are told apart.
POOLINGS = (
    {"pooling": "two"},
    {"pooling": "two-averaged", "size": 32},
    {"pooling": "five", "size": 32},
)
POOLED = tuple(f"hw2-{method}-mnistm-{target}" for target in ("svhn", "usps") for method in BOUNDS_AND_DANN)
# hw3 finds that neither network of a GAN may be much stronger: either at a quarter of the preset's width.
BALANCES = ({"width": 64}, {"width": 16, "discriminator_width": 64}, {"discriminator_width": 16})
BASELINES = ("hw2-gan-a", "hw2-gan-b", "hw3-gan", "hw3-vae")
STUDIES = {
    study.name: study
    for study in (
        Study("demo", "the embedded digits, in two minutes, no download", {}),
        Study(
            "hw2",
            "two GANs of faces; conditional diffusion of MNIST-M; DANN from MNIST-M to SVHN and USPS",
            {**HW2, **_by_role("hw2", HW2_TASKS)},
            once=LONG,
        ),
        Study(
            "hw3",
            "VAE and GAN of faces; DANN and ADDA on USPS→MNIST-M, MNIST-M→SVHN, SVHN→USPS",
            {**HW3, **_by_role("hw3", HW3_TASKS)},
            once=("hw3-vae", "hw3-gan"),
            variants={"hw3-gan": ({"first_norm": "off"},)},  # as printed it collapses; so it does not
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
            "hw3's DANN by transform, by what its loaders do and task, at one to four minutes of one core each",
            {"dann": 120_000},
            seeds=1,
            variants=dict.fromkeys(DANN, TRANSFORMS + LOADERS),
        ),
        Study(
            "pooling-tables",
            "hw2's three roles by the max-poolings of their extractor and task, at five minutes of one core each",
            {"source": 100_000, "dann": 100_000, "target": 100_000},
            variants=dict.fromkeys(POOLED, POOLINGS),
        ),
        Study(
            "balance-tables",
            "our GAN of faces by the sizes of generator and discriminator, at ten minutes of one core each",
            {"gan": 16_000},
            seeds=1,
            variants={"faces-gan": BALANCES},
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
    """The study of that name, or that a file NAME.toml describes (`studies.own`); Refusal with the nearest name where
    there is none."""
    if name.endswith(".toml"):
        from genshift.studies.own import read_study

        return read_study(given_path(name))
    if name not in STUDIES:
        raise unknown("study", name, STUDIES, "`genshift ls` lists them.")
    return STUDIES[name]
