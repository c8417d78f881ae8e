"""Architectures: modules and nothing else (no loss, no optimizer, no file).

- As the reports print them, names of attributes included: `adaptation` and `adda` (classifiers and adversaries), `gan`,
  `vae` with `hw3` (blocks that these share), `unet_report`.
- Ours: `backbone` (what every adaptation method is compared on), `classifier`, `unet`, and the residual networks in
  `gan` and `vae`; `pretrained` wraps models of timm.
- `layers` holds layers that compute what PyTorch's do, faster on a CPU, and BatchNorm by domain.

`build` makes the networks of a preset by name. A new network is a module here and a line in its family's builder; those
of an adaptation method on the common backbone are made by the method itself (`own_networks`).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from genshift.errors import Refusal
from genshift.nets import adaptation, adda
from genshift.nets.classifier import build_classifier
from genshift.nets.gan import build_gan
from genshift.nets.unet import UNet
from genshift.nets.unet_report import UNet_conditional
from genshift.nets.vae import build_vae
from genshift.presets import GAN, VAE, Adaptation, Classifier, Diffusion, Preset

# By name: (label predictor, domain classifier, the image sides at which the extractor gives 512 features).
ADAPTATION = {
    "hw2": (adaptation.LabelPredictor, adaptation.DomainClassifier, range(28, 32)),
    "hw3": (adaptation.Predictor, adaptation.Classifier, range(17, 49)),
}
POOLED = {"two-averaged": range(28, 64), "five": range(32, 64)}  # the sides with other poolings than hw2's own


def build(preset: Preset, classes: int) -> dict[str, nn.Module]:
    """The networks of a preset by name, but for the common backbone's (`genshift.methods.networks_of` has all);
    `classes` is the number of what is learnt beside the pictures, or 0.

    Raises Refusal where they cannot take the preset's size.
    """
    return _BUILDERS[preset.family](preset, classes)


def _adaptation(preset: Adaptation, classes: int) -> dict[str, nn.Module]:
    if preset.adversary == "inverted":
        return build_adda(classes, preset.size)
    pooling = preset.options().get("pooling", "")  # of hw2's alone
    return build_adaptation(preset.networks, classes, preset.size, preset.adversary != "none", pooling)


def channels(preset: Preset) -> int:
    """Channels of a picture as the networks take it: most of the reports' take three, grey repeated."""
    return 1 if preset.colour == "grey" and preset.networks in ("residual", "unet", "hw2-unet") else 3


def build_unet(preset: Diffusion, classes: int) -> nn.Module:
    """The denoising network of a diffusion preset."""
    if preset.networks == "hw2-unet":
        return UNet_conditional(channels(preset), preset.labels(classes))
    return UNet(channels(preset), preset.labels(classes), preset.size, preset.width, preset.patch, preset.dropout)


def build_adaptation(name: str, classes: int, size: int, adversary: bool, pooling: str = "") -> dict[str, nn.Module]:
    """The networks `extractor`, `predictor` and, with `adversary`, `domain` of an adaptation experiment.

    pooling: of hw2's extractor, where it is not the printed one. Raises Refusal where the extractor cannot take images
    of `size` pixels.
    """
    predictor, domain, _ = ADAPTATION[name]
    _check_size(name, size, pooling)
    extractor = adaptation.FeatureExtractor(pooling or "two") if name == "hw2" else adaptation.Extractor()
    networks: dict[str, nn.Module] = {"extractor": extractor, "predictor": predictor(classes)}
    if adversary:
        networks["domain"] = domain()
    return networks


def build_adda(classes: int, size: int) -> dict[str, nn.Module]:
    """hw3's networks `source_extractor`, `predictor`, `extractor` (the target's) and `domain` of ADDA.

    Raises Refusal where the extractors cannot take images of `size` pixels.
    """
    _check_size("hw3", size)
    return {
        "source_extractor": adda.Extractor_pretrain(),
        "predictor": adda.Classifier(classes),
        "extractor": adda.Extractor_train(),
        "domain": adda.Discriminator(),
    }


def _check_size(name: str, size: int, pooling: str = "") -> None:
    sizes = POOLED.get(pooling, ADAPTATION[name][2])
    if size not in sizes:
        words, fits = (f" with --pooling {pooling}", 32) if pooling in POOLED else ("", 28)
        raise Refusal(
            f"The {name} extractor{words} takes images of {sizes[0]} to {sizes[-1]} pixels, not {size}: "
            f"give --size {fits}."
        )


_BUILDERS: dict[str, Callable[..., dict[str, nn.Module]]] = {
    Adaptation.family: _adaptation,
    Classifier.family: build_classifier,
    GAN.family: build_gan,
    VAE.family: build_vae,
    Diffusion.family: lambda preset, classes: {"unet": build_unet(preset, classes)},
}
