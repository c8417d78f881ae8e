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

    `cpu` caps the images of each preset so that a run takes at most 5 CPU minutes on one core with AMX; `quick` is a
    tenth of that, to see that everything works; `full` is the presets' own budget.
    """

    name: str
    summary: str
    cpu: Mapping[str, int]
    seeds: int = 3

    def presets(self) -> list[Preset]:
        """The study's presets."""
        return [preset for preset in PRESETS.values() if preset.study == self.name]

    def images(self, preset: Preset, budget: BudgetName) -> int:
        """Images to train `preset` on within a budget."""
        if budget == "full":
            return preset.images
        cap = min(preset.images, self.cpu.get(preset.role, preset.images))
        return cap if budget == "cpu" else max(preset.step_images, cap // 10)


STUDIES = {
    study.name: study
    for study in (
        Study("demo", "the embedded digits, in two minutes, no download", {}),
        Study(
            "hw2",
            "DANN from MNIST-M to SVHN and USPS",
            {"source": 100_000, "dann": 100_000, "target": 100_000},
        ),
        Study(
            "hw3",
            "DANN on USPS→MNIST-M, MNIST-M→SVHN, SVHN→USPS",
            {"source": 120_000, "dann": 120_000, "target": 120_000},
        ),
    )
}


def get(name: str) -> Study:
    """The study of that name; Refusal with the nearest name where there is none."""
    if name not in STUDIES:
        raise unknown("study", name, STUDIES, "`genshift ls` lists them.")
    return STUDIES[name]
