"""CDAN+E (Long et al. 2018, arXiv 1705.10667): an adversary of domains that sees what class an image is taken for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from genshift.methods.aligning import Aligning, certainty
from genshift.methods.schedules import Progress
from genshift.nets.backbone import BackboneParts, ConditionalAdversary
from genshift.presets import BenchmarkPreset


class CDAN(Aligning):
    """`domain` judges features and class probabilities together; it learns as DANN's does, by a reversed gradient that
    grows with DANN's λ. The probabilities take no gradient, as in the paper's code. BatchNorm: as `Aligning`."""

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """`domain`, which sees features and class probabilities."""
        return {"domain": ConditionalAdversary(parts.features, parts.classes)}

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The adversary takes class probabilities too."""
        taken = super().inputs(name, pictures, outputs, labels)
        return (*taken, outputs["predictor"].softmax(1)) if name == "domain" else taken

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The adversary's loss, each image weighted by 1 + e^(-H) (entropy conditioning), reversed towards the
        extractor."""
        answers = logits.detach().softmax(1)
        return self.reversed_loss(progress, sources, features, answers, weights=certainty(logits))
