"""How networks learn: one file a method, each read as its paper."""

from __future__ import annotations

from torch import nn

from genshift.data.feed import PixelRule
from genshift.device import Arithmetic
from genshift.methods.base import Classifying, Method
from genshift.methods.dann import DANN
from genshift.methods.supervised import Supervised
from genshift.presets import Adaptation


def build(preset: Adaptation, networks: dict[str, nn.Module], rule: PixelRule, arithmetic: Arithmetic) -> Classifying:
    """The method of a preset over its networks."""
    kind = Supervised if preset.adversary == "none" else DANN
    return kind(preset, networks, rule, arithmetic)


__all__ = ["DANN", "Classifying", "Method", "Supervised", "build"]
