"""Studies: which runs make one, and within which budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genshift.errors import unknown
from genshift.presets import PRESETS, Preset

BudgetName = Literal["quick", "cpu", "full"]


@dataclass(frozen=True)
class Study:
    """A set of presets compared at equal conditions.

    `cpu` caps the images of each role so that on one core with AMX a run takes at most 5 minutes of it (adaptation) or
    an hour (faces); `quick` is a tenth of that, to see that everything works; `full` is the presets' own budget.
    """

    name: str
    summary: str
    cpu: Mapping[str, int]
    seeds: int = 3
    others: tuple[str, ...] = ()  # presets of other studies that belong to it too
    features: str | None = None  # the classifier in whose features its generators are measured

    def presets(self) -> list[Preset]:
        """The study's presets."""
        own = [preset for preset in PRESETS.values() if preset.study == self.name]
        also = dict.fromkeys((*self.others, self.features) if self.features else self.others)
        return own + [PRESETS[name] for name in also if PRESETS[name] not in own]

    def images(self, preset: Preset, budget: BudgetName) -> int:
        """Images to train `preset` on within a budget."""
        if budget == "full":
            return preset.images
        cap = min(preset.images, self.cpu.get(preset.role, preset.images))
        return cap if budget == "cpu" else max(preset.step_images, cap // 10)


# All GANs see the same number of faces, and all VAEs: what hw2's method B, with its gradient penalty, gets through in
# about 40 minutes of one core with AMX, and what ours gets through in 15.
FACES = {"gan": 64_000, "vae": 48_000}
BASELINES = ("hw2-gan-a", "hw2-gan-b", "hw3-gan", "hw3-vae")
STUDIES = {
    study.name: study
    for study in (
        Study("demo", "the embedded digits, in two minutes, no download", {}),
        Study(
            "hw2",
            "two GANs of faces; DANN from MNIST-M to SVHN and USPS",
            {"source": 100_000, "dann": 100_000, "target": 100_000, **FACES},
            features="faces-attributes",
        ),
        Study(
            "hw3",
            "VAE and GAN of faces; DANN and ADDA on USPS→MNIST-M, MNIST-M→SVHN, SVHN→USPS",
            {"source": 120_000, "dann": 120_000, "adda": 120_000, "target": 120_000, **FACES},
            features="faces-attributes",
        ),
        Study(
            "faces",
            "VAEs and GANs of both studies and ours, on equal numbers of faces",
            FACES,
            others=BASELINES,
            features="faces-attributes",
        ),
    )
}


def get(name: str) -> Study:
    """The study of that name; Refusal with the nearest name where there is none."""
    if name not in STUDIES:
        raise unknown("study", name, STUDIES, "`genshift ls` lists them.")
    return STUDIES[name]
