"""Architectures: modules and nothing else (no loss, no optimizer, no file)."""

from __future__ import annotations

from torch import nn

from genshift.errors import Refusal
from genshift.nets import adaptation

# By name: (extractor, label predictor, domain classifier, the image sides that give 512 features).
ADAPTATION = {
    "hw2": (
        adaptation.FeatureExtractor,
        adaptation.LabelPredictor,
        adaptation.DomainClassifier,
        range(28, 32),
    ),
    "hw3": (adaptation.Extractor, adaptation.Predictor, adaptation.Classifier, range(17, 49)),
}


def build_adaptation(name: str, classes: int, size: int, adversary: bool) -> dict[str, nn.Module]:
    """The networks `extractor`, `predictor` and, with `adversary`, `domain` of an adaptation experiment.

    Raises Refusal where the extractor cannot take images of `size` pixels.
    """
    extractor, predictor, domain, sizes = ADAPTATION[name]
    if size not in sizes:
        raise Refusal(
            f"The {name} extractor takes images of {sizes[0]} to {sizes[-1]} pixels, not {size}: give --size 28."
        )
    networks: dict[str, nn.Module] = {"extractor": extractor(), "predictor": predictor(classes)}
    if adversary:
        networks["domain"] = domain()
    return networks
