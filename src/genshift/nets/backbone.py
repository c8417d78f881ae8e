"""The networks that adaptation methods are compared on: a residual extractor, a linear predictor, small adversaries."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.nets.classifier import SMALL, Block
from genshift.nets.layers import BatchNorm2d, Conv2d, DomainBatchNorm2d
from genshift.nets.pretrained import PretrainedBackbone
from genshift.presets import BenchmarkPreset
from genshift.presets.benchmark import BACKBONES, OUR_BACKBONE

HIDDEN = 512  # of an adversary
WIDEST = 4096  # inputs of CDAN's adversary; above, its map is drawn at random (CDAN, section 3.2)


class Backbone(nn.Module):
    """Pictures `[N, C, H, W]` to features `[N, 4·width]`: a pre-activation ResNet (arXiv 1603.05027) of three blocks,
    each of which halves the side.

    Above SMALL pixels the first convolutions halve the side until it is at most that. `apart`: BatchNorm keeps running
    statistics for each domain.
    """

    def __init__(self, width: int, channels: int, size: int, apart: bool = False) -> None:
        super().__init__()
        norm = DomainBatchNorm2d if apart else BatchNorm2d
        thin = max(4, width // 4)
        widths = [thin, width, 2 * width, 4 * width]
        self.features = widths[-1]
        # One convolution at full side, or as many of stride 2 as bring the side to SMALL.
        if size <= SMALL:
            self.first = nn.Sequential(Conv2d(channels, thin, 3, padding=1))
        else:
            self.first = nn.Sequential(Conv2d(channels, thin, 4, stride=2, padding=1))
            while (size := size // 2) > SMALL:
                self.first.extend([norm(thin), nn.ReLU(inplace=True), Conv2d(thin, thin, 4, stride=2, padding=1)])
        self.blocks = nn.Sequential(*(Block(a, b, norm) for a, b in pairwise(widths)))
        self.norm = norm(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.blocks(self.first(x)))).mean((2, 3))


class Adversary(nn.Sequential):
    """Features `[N, D]` to one logit `[N, 1]`, positive for the source."""

    def __init__(self, features: int) -> None:
        super().__init__(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.append(nn.Linear(HIDDEN, 1))


class ConditionalAdversary(nn.Module):
    """Features f `[N, D]` and class probabilities g `[N, K]` to one logit `[N, 1]`, positive for the source.

    Of the multilinear map f ⊗ g where it has at most WIDEST numbers, else of the randomised one,
    (R_f f ⊙ R_g g)/√WIDEST with fixed R of normal numbers (CDAN, arXiv 1705.10667, section 3.2).
    """

    random_f: Tensor
    random_g: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.randomised = features * classes > WIDEST
        if self.randomised:
            self.register_buffer("random_f", torch.randn(features, WIDEST))
            self.register_buffer("random_g", torch.randn(classes, WIDEST))
        self.judge = Adversary(WIDEST if self.randomised else features * classes)

    def forward(self, f: Tensor, g: Tensor) -> Tensor:
        return self.judge(self.joint(f, g))

    def joint(self, f: Tensor, g: Tensor) -> Tensor:
        """The map of features and probabilities together, `[N, D·K]` or `[N, WIDEST]`."""
        if self.randomised:
            return (f @ self.random_f.to(f.dtype)) * (g @ self.random_g.to(g.dtype)) / WIDEST**0.5
        return (f[:, :, None] * g[:, None, :]).flatten(1)


class Centroids(nn.Module):
    """SHOT's class centroids, as its latest labelling left them: `value` `[K, D]`, and which labelling that was."""

    value: Tensor
    labelling: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(classes, features))
        self.register_buffer("labelling", torch.tensor(-1))


class Frequencies(nn.Module):
    """AdaMatch's running means of the answers to each domain, `source` and `target` `[K]`; even at the start."""

    source: Tensor
    target: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name in ("source", "target"):
            self.register_buffer(name, torch.full((classes,), 1 / classes))


class BackboneParts:
    """What a method on the common backbone builds its networks from: extractors, and how many features they give."""

    def __init__(self, preset: BenchmarkPreset, classes: int, channels: int) -> None:
        self.preset, self.classes, self.channels = preset, classes, channels
        self.first = self.extractor()
        self.features = self.first.features

    def extractor(self) -> Backbone | PretrainedBackbone:
        """Pictures `[N, C, H, W]` to features `[N, D]`, freshly initialised."""
        preset = self.preset
        if preset.backbone in BACKBONES:
            return BACKBONES[preset.backbone](self.channels, preset.size)
        if preset.backbone != OUR_BACKBONE:
            pixels = (preset.mean, preset.std) if preset.pixels == "model" else None
            return PretrainedBackbone(preset.backbone, self.channels, preset.size, pixels, preset.statistics == "own")
        return Backbone(preset.width, self.channels, preset.size, preset.statistics == "own")

    def predictor(self) -> nn.Linear:
        """Features to logits `[N, K]`, freshly initialised."""
        return nn.Linear(self.features, self.classes)

    def common(self) -> dict[str, nn.Module]:
        """The networks of every method: `extractor` and `predictor`."""
        return {"extractor": self.first, "predictor": self.predictor()}
