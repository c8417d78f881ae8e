"""How networks learn: one file a method, each read as its paper.

A method is a class: `step` is one optimisation step, `validate` measures it while it trains, and what it answers with
(`predict`, `embed`, `sample`, `decode`) stands in its base class (`base.py`). Its options are fields of its preset.
A method of adaptation is found through its row in `genshift.presets.methods`; to add one, write a file here and a row
there (docs/adding.md). `aligning.py` and `dann.py` hold what several share; `schedules.py` what changes over training.
"""

from __future__ import annotations

import importlib

from torch import nn

from genshift import nets
from genshift.data.feed import PixelNormalization
from genshift.device import Arithmetic
from genshift.methods.attributes import Attributes
from genshift.methods.base import ClassifierMethod, GeneratorMethod, LatentGeneratorMethod, Method
from genshift.methods.dann import DANN
from genshift.methods.diffusion import DiffusionMethod
from genshift.methods.gan import GANMethod
from genshift.methods.student import StudentMethod
from genshift.methods.supervised import Supervised
from genshift.methods.vae import VAEMethod
from genshift.nets.backbone import BackboneParts
from genshift.presets import Adaptation, BenchmarkPreset, Preset
from genshift.presets.methods import row_of

# Methods by what a preset says that learns it, beside those of the table of adaptation methods.
BUILT_IN: dict[str, type[Method]] = {
    "classes": Supervised,
    "attributes": Attributes,
    "gan": GANMethod,
    "vae": VAEMethod,
    "diffusion": DiffusionMethod,
    "student": StudentMethod,
}


def class_of(preset: Preset) -> type[Method]:
    """The class of a preset's method. Raises Refusal for an adaptation method that is not here."""
    if not isinstance(preset, Adaptation):
        return BUILT_IN[preset.learner]
    implementation = row_of(preset.method).implementation
    if isinstance(implementation, type):
        return implementation
    module, _, title = implementation.partition(":")
    return getattr(importlib.import_module(f"genshift.methods.{module}"), title)


def networks_of(preset: Preset, classes: int) -> dict[str, nn.Module]:
    """The networks of a preset by name, freshly initialised; `classes` is the number of what is learnt beside the
    pictures, or 0. Raises Refusal where they cannot take the preset's size."""
    if not isinstance(preset, BenchmarkPreset):
        return nets.build(preset, classes)
    method = class_of(preset)
    assert issubclass(method, ClassifierMethod)
    parts = BackboneParts(preset, classes, nets.channels(preset))
    return {**parts.common(), **method.own_networks(preset, parts)}


def build(
    preset: Preset, networks: dict[str, nn.Module], classes: int, rule: PixelNormalization, arithmetic: Arithmetic
) -> Method:
    """The method of a preset over its networks; `classes` is the number of what is learnt beside the pictures."""
    return class_of(preset)(preset, networks, classes, rule, arithmetic)


__all__ = [
    "DANN",
    "Attributes",
    "ClassifierMethod",
    "DiffusionMethod",
    "GANMethod",
    "GeneratorMethod",
    "LatentGeneratorMethod",
    "Method",
    "StudentMethod",
    "Supervised",
    "VAEMethod",
    "build",
    "class_of",
    "networks_of",
]
