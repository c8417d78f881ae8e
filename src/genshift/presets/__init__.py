"""Presets: named, complete, frozen descriptions of experiments. Imports no torch.

- `base.py`: what every preset is, and what an option is (help, default, bounds, origin).
- `adaptation.py`, `pictures.py`, `diffusion.py`: the families, a class each, with their options.
- `methods.py`: THE table of adaptation methods, one row a method; `papers.py`: what they cite.
- `benchmark.py`: a preset of any method on any two sets, all at equal conditions; the register of backbones.
- `hw2.py`, `hw3.py`, `demo.py`: the facts of a report in one place (`reports.py`: what they share); `ours.py`: our
  generators and classifiers.
- `keywords.py`: every option as a keyword, for editors; `python tests/test_keywords.py` writes it anew.

Networks are in `genshift.nets`, how they learn in `genshift.methods`. `named` finds a preset by its name, or makes that
of a method on two sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from genshift.errors import Refusal, unknown
from genshift.presets import benchmark, demo, hw2, hw3, methods, ours
from genshift.presets.adaptation import Adaptation, HW2Adaptation
from genshift.presets.base import OURS, PUBLISHED, YOURS, Option, Preset, option_fields
from genshift.presets.benchmark import BenchmarkPreset, backbone
from genshift.presets.diffusion import STUDENT, Diffusion, Sampling, Student
from genshift.presets.methods import METHODS, MethodRow
from genshift.presets.pictures import GAN, VAE, Classifier, Generator, LatentGenerator, Pictures

_M = TypeVar("_M")
FAMILIES: dict[str, type[Preset]] = {family.family: family for family in (Adaptation, Classifier, VAE, GAN, Diffusion)}
PRESETS: dict[str, Preset] = {
    preset.name: preset.checked()
    for preset in (*demo.PRESETS, *hw2.PRESETS, *hw3.PRESETS, *benchmark.all_presets(), *ours.PRESETS)
}


def all_classes() -> list[type[Preset]]:
    """The classes of all presets, of which every option is a field."""
    return [*FAMILIES.values(), HW2Adaptation, *map(benchmark.class_of, METHODS)]


def class_of(family: str, networks: str, method: str) -> type[Preset]:
    """The class of a preset by what its config.json says; KeyError where there is no such family.

    Raises Refusal for a method that is not here, such as a plugin's.
    """
    if family == Adaptation.family:
        row = methods.row_of(method)
        if networks == benchmark.NETWORKS:
            return benchmark.class_of(row.name)
        return HW2Adaptation if networks == "hw2" else Adaptation
    return Student if method == STUDENT else FAMILIES[family]


def named(name: str, source: str | None = None, target: str | None = None) -> Preset:
    """The preset of that name, or of that method on the two sets; both sets are for a method alone.

    Raises Refusal with the nearest name where there is none, and for a method without its sets.
    """
    if name not in PRESETS:
        methods.load_installed_for([name])
    if name in PRESETS:
        return PRESETS[name]
    if name in METHODS:
        if source is None or target is None:
            raise Refusal(f"{name} is a method: give it two sets, --source LABELLED --target UNLABELLED.")
        return benchmark.preset_of(METHODS[name], source, target).checked()
    if (preset := benchmark.by_alias(name)) is not None:
        return preset.checked()
    raise unknown("preset", name, [*PRESETS, *METHODS], "`genshift ls` lists them all.")


def get(name: str) -> Preset:
    """The preset of that name; Refusal with the nearest name where there is none."""
    return named(name)


def method(
    name: str, *, like: str, title: str, summary: str, options: Mapping[str, Option] | None = None, **changes: Any
) -> Callable[[type[_M]], type[_M]]:
    """A decorator that adds a method from outside the package: a class of `genshift.methods`, under its own name.

    like: the method whose row it takes what is not said. options: what it adds to that one's. changes: other fields of
    `MethodRow`. Raises Refusal where the name is taken.
    """
    parent = methods.row_of(like)
    own = {"papers": (), "ramped": True, **changes, "options": {**parent.options, **(options or {})}}

    def add(implementation: type[_M]) -> type[_M]:
        add_method(replace(parent, name=name, title=title, summary=summary, implementation=implementation, **own))
        return implementation

    return add


def add_method(row: MethodRow) -> None:
    """Adds a method's row from outside the package, with its presets on the study's tasks.

    Raises Refusal where its name is taken.
    """
    methods.add(row)
    for source, target in benchmark.TASKS:
        preset = benchmark.preset_of(row, source, target).checked()
        PRESETS[preset.name] = preset


__all__ = [
    "FAMILIES",
    "GAN",
    "METHODS",
    "OURS",
    "PRESETS",
    "PUBLISHED",
    "VAE",
    "YOURS",
    "Adaptation",
    "BenchmarkPreset",
    "Classifier",
    "Diffusion",
    "Generator",
    "HW2Adaptation",
    "LatentGenerator",
    "MethodRow",
    "Option",
    "Pictures",
    "Preset",
    "Sampling",
    "Student",
    "add_method",
    "all_classes",
    "backbone",
    "class_of",
    "get",
    "method",
    "named",
    "option_fields",
]
