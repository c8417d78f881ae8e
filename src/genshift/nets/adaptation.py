"""The networks of both studies' domain adaptation parts, exactly as the reports print them.

The attribute names (`conv`, `layer`, `extract`, `preprocess`, `predict`) are the printed ones, so that `print(net)`
shows the report's text.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from genshift.nets.layers import BatchNorm1d, BatchNorm2d, Conv2d, LogSoftmax


class FeatureExtractor(nn.Module):
    """hw2's extractor: `[N, 3, S, S]` to `[N, 512]`, by its max-poolings.

    "two", as printed: the three last convolutions have no padding and take 7×7 down to 1×1, which is why only 28 to 31
    pixels fit. "two-averaged": the same, and what is left is averaged to 1×1 (S from 28 to 63). "five", the cited
    source's, of which the report kept two: one after each of the convolutions, which are all padded (S from 32 to 63).
    """

    def __init__(self, pooling: str = "two") -> None:
        super().__init__()
        pools, pad = (5, 1) if pooling == "five" else (2, 0)
        layers: list[nn.Module] = []
        for place, (channels_in, channels_out) in enumerate(pairwise((3, 64, 128, 256, 256, 512))):
            layers += _conv(channels_in, channels_out, padding=1 if place < 2 else pad)
            layers += [nn.MaxPool2d(2, 2)] if place < pools else []
        if pooling == "two-averaged":
            layers.append(nn.AdaptiveAvgPool2d(1))
        self.conv = nn.Sequential(*layers)
        # Max-pooling and ReLU commute, value and gradient alike; pooled first, ReLU has a quarter of the work.
        self._order = list(range(len(layers)))
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.MaxPool2d):
                self._order[i - 1 : i + 1] = i, i - 1

    def forward(self, x: Tensor) -> Tensor:
        for i in self._order:
            x = self.conv[i](x)
        return x.flatten(1)


def _conv(channels_in: int, channels_out: int, padding: int = 0) -> list[nn.Module]:
    return [
        Conv2d(channels_in, channels_out, 3, 1, padding),
        BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


class LabelPredictor(nn.Module):
    """hw2's label predictor: features `[N, 512]` to class logits `[N, classes]`."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


class DomainClassifier(nn.Module):
    """hw2's domain classifier: features `[N, 512]` to one logit `[N, 1]`, positive for the source."""

    def __init__(self) -> None:
        super().__init__()
        hidden = [m for _ in range(4) for m in (nn.Linear(512, 512), BatchNorm1d(512), nn.ReLU())]
        self.layer = nn.Sequential(*hidden, nn.Linear(512, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


class Conv_Block(nn.Module):
    """Convolution 3×3 of stride 2, BatchNorm, ReLU (hw3's printed block, hence its name)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Conv2d(channels_in, channels_out, 3, 2, 1),
            BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Linear_Block(nn.Module):
    """Linear layer and ReLU (hw3's printed block, hence its name)."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(features_in, features_out), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Extractor(nn.Module):
    """hw3's extractor: `[N, 3, S, S]` to `[N, 512]` for S from 17 to 48 (28 in the presets)."""

    def __init__(self) -> None:
        super().__init__()
        self.extract = nn.Sequential(
            Conv_Block(3, 64),
            Conv_Block(64, 128),
            Conv_Block(128, 256),
            Conv_Block(256, 512),
            nn.MaxPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.extract(x).flatten(1)


def narrowing(classes: int) -> nn.Sequential:
    """The layers that hw3's predictors and classifiers share: `[N, 1024]` to log-probabilities `[N, classes]`."""
    return nn.Sequential(
        Linear_Block(1024, 512),
        Linear_Block(512, 256),
        Linear_Block(256, 128),
        Linear_Block(128, 64),
        nn.Linear(64, classes),
        LogSoftmax(dim=1),
    )


class Predictor(nn.Module):
    """hw3's label predictor: features `[N, 512]` to class log-probabilities `[N, classes]`."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.preprocess = Linear_Block(512, 1024)
        self.predict = narrowing(classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.predict(self.preprocess(features))


class Classifier(Predictor):
    """hw3's domain classifier: features `[N, 512]` to log-probabilities of (source, target) `[N, 2]`."""

    def __init__(self) -> None:
        super().__init__(classes=2)
