"""Presets: named, complete, frozen descriptions of experiments. Imports no torch."""

from __future__ import annotations

from genshift.errors import unknown
from genshift.presets import adaptation, benchmark, diffusion, pictures
from genshift.presets.adaptation import Adaptation
from genshift.presets.base import OURS, PUBLISHED, YOURS, Preset, option_fields
from genshift.presets.benchmark import BenchmarkPreset
from genshift.presets.diffusion import Diffusion, Sampling
from genshift.presets.pictures import GAN, VAE, Classifier, Generator, LatentGenerator, Pictures

FAMILIES: dict[str, type[Preset]] = {family.family: family for family in (Adaptation, Classifier, VAE, GAN, Diffusion)}
PRESETS: dict[str, Preset] = {
    preset.name: preset.checked()
    for module in (adaptation, benchmark, pictures, diffusion)
    for preset in module.all_presets()
}


def class_of(family: str, networks: str, role: str) -> type[Preset]:
    """The class of a preset by what its config.json says; KeyError where there is no such family."""
    own = benchmark.CLASSES.get(role, benchmark.BenchmarkPreset)
    return own if (family, networks) == (Adaptation.family, benchmark.NETWORKS) else FAMILIES[family]


def get(name: str) -> Preset:
    """The preset of that name; Refusal with the nearest name where there is none."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "`genshift ls` lists them all.")
    return PRESETS[name]


__all__ = [
    "FAMILIES",
    "GAN",
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
    "LatentGenerator",
    "Pictures",
    "Preset",
    "Sampling",
    "class_of",
    "get",
    "option_fields",
]
