"""hw3's four networks of ADDA, exactly as the report prints them: the architectures of its DANN under other names."""

from __future__ import annotations

from torch import Tensor, nn

from genshift.nets.adaptation import Extractor, Linear_Block, narrowing


class Extractor_pretrain(Extractor):
    """The source's extractor: `[N, 3, S, S]` to `[N, 512]` for S from 17 to 48 (28 in the presets)."""


class Extractor_train(Extractor):
    """The target's extractor: as the source's."""


class Classifier(nn.Module):
    """hw3's label classifier: features `[N, 512]` to class log-probabilities `[N, classes]`."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.preprocess = Linear_Block(512, 1024)
        self.classify = narrowing(classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.preprocess(features))


class Discriminator(Classifier):
    """hw3's discriminator: features `[N, 512]` to log-probabilities of (source, target) `[N, 2]`."""

    def __init__(self) -> None:
        super().__init__(classes=2)
