"""SqueezeNet (Iandola et al. 2016, arXiv 1602.07360), by the names of torchvision's files of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.nets.layers import Conv2d

# Squeeze and expand widths of the eight Fire modules (table 1), alike in both versions.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# By version: channels and kernel of the first convolution, and the Fire modules after which the side is halved. 1.0 is
# the paper's; 1.1 pools earlier, at 2.4 times less arithmetic.
VERSIONS = {"squeezenet1_0": (96, 7, (3, 7)), "squeezenet1_1": (64, 3, (2, 4))}


class Fire(nn.Module):
    """`[N, C, H, W]` to `[N, 2·expand, H, W]`: squeezed by 1×1, then expanded by 1×1 and 3×3 (section 3.2)."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = Conv2d(channels, squeeze, 1)
        self.expand1x1 = Conv2d(squeeze, expand, 1)
        self.expand3x3 = Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(nn.Module):
    """Pictures `[N, 3, S, S]`, S of 21 or more, to its last maps, averaged: `[N, 512]`.

    With `classes`, `answer` gives the published classifier's logits too.
    """

    def __init__(self, version: str, classes: int = 0) -> None:
        super().__init__()
        channels, kernel, halved = VERSIONS[version]
        layers: list[nn.Module] = [Conv2d(3, channels, kernel, stride=2), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for number, (squeeze, expand) in enumerate(FIRES, 1):
            layers.append(Fire(channels, squeeze, expand))
            channels = 2 * expand
            if number in halved:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(), Conv2d(channels, classes, 1)) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))

    def answer(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]`: each class's map through ReLU, averaged (section 3.3)."""
        assert self.classifier is not None
        return F.relu(self.classifier(self.features(x))).mean((2, 3))
