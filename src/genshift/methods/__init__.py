"""How networks learn: one file a method, each read as its paper."""

from __future__ import annotations

from typing import Any

from torch import nn

from genshift.data.feed import PixelNormalization
from genshift.device import Arithmetic
from genshift.methods.adabn import AdaBNMethod
from genshift.methods.adamatch import AdaMatchMethod
from genshift.methods.adda import ADDA
from genshift.methods.attributes import Attributes
from genshift.methods.base import ClassifierMethod, GeneratorMethod, LatentGeneratorMethod, Method
from genshift.methods.cdan import CDANMethod
from genshift.methods.coral import CORALMethod
from genshift.methods.dann import DANN
from genshift.methods.diffusion import DiffusionMethod
from genshift.methods.gan import GANMethod
from genshift.methods.mcc import MCCMethod
from genshift.methods.mean_teacher import MeanTeacherMethod
from genshift.methods.shot import SHOTMethod
from genshift.methods.supervised import Supervised
from genshift.methods.vae import VAEMethod
from genshift.presets import GAN, VAE, Adaptation, Classifier, Diffusion, Preset


def build(
    preset: Preset, networks: dict[str, nn.Module], classes: int, rule: PixelNormalization, arithmetic: Arithmetic
) -> Method:
    """The method of a preset over its networks; `classes` is the number of what is learnt beside the pictures."""
    match preset:
        case Adaptation():
            return _adapting(preset)(preset, networks, rule, arithmetic)
        case Classifier():
            return (Attributes if preset.answers == "attributes" else Supervised)(preset, networks, rule, arithmetic)
        case GAN():
            return GANMethod(preset, networks, classes, rule, arithmetic)
        case VAE():
            return VAEMethod(preset, networks, classes, rule, arithmetic)
        case Diffusion():
            return DiffusionMethod(preset, networks, classes, rule, arithmetic)
    raise TypeError(f"no method for {type(preset).__name__}")


# Methods by role, those that the adversary alone does not tell.
ROLES: dict[str, type[Any]] = {
    "adabn": AdaBNMethod,
    "coral": CORALMethod,
    "cdan": CDANMethod,
    "mcc": MCCMethod,
    "dann-mcc": MCCMethod,
    "mean-teacher": MeanTeacherMethod,
    "adamatch": AdaMatchMethod,
    "adamatch-im": AdaMatchMethod,
    "shot": SHOTMethod,
}


def _adapting(preset: Adaptation) -> type[Any]:
    by_adversary = {"none": Supervised, "inverted": ADDA}
    return ROLES.get(preset.method) or by_adversary.get(preset.adversary, DANN)


__all__ = [
    "ADDA",
    "DANN",
    "Attributes",
    "ClassifierMethod",
    "DiffusionMethod",
    "GANMethod",
    "GeneratorMethod",
    "LatentGeneratorMethod",
    "Method",
    "Supervised",
    "VAEMethod",
    "build",
]
