"""One set of pictures: VAEs, GANs, and the classifiers whose features they are judged in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from genshift.data.catalog import CATALOG
from genshift.errors import Refusal
from genshift.presets.base import HALF_LIFE, PUBLISHED, Preset, option, short

HW06 = "cited source (ML2021 HW06)"
SMALLEST = 4  # pixels
DCGAN_PAPER = "cited source (DCGAN, arXiv 1511.06434)"
WGAN_GP_PAPER = "cited source (WGAN-GP, arXiv 1704.00028)"
PRINTED_WIDTH = 64  # of every generator in the reports


@dataclass(frozen=True, kw_only=True)
class Pictures(Preset):
    """An experiment on one set of pictures."""

    positive: ClassVar[tuple[str, ...]] = (*Preset.positive, "batch")

    data: str = option("data set, or a folder of pictures", "celeba")
    batch: int = option("images a step", 64)

    @property
    def task(self) -> str:
        """The set's name."""
        return short(self.data)

    @property
    def trains_on(self) -> str:
        """The set."""
        return self.data

    @property
    def step_images(self) -> int:
        """Images by which one step moves progress."""
        return self.batch

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        super().checked()
        if self.size < SMALLEST:
            raise Refusal(f"--size must be {SMALLEST} or more, not {self.size}: there is nothing to see in less.")
        return self


@dataclass(frozen=True, kw_only=True)
class Classifier(Pictures):
    """A classifier of classes, or of attributes that do not exclude one another."""

    family: ClassVar[str] = "classifier"
    positive: ClassVar[tuple[str, ...]] = (*Pictures.positive, "width")

    answers: Literal["classes", "attributes"] = option("what it learns: one class, or every attribute", "classes")
    width: int = option("channels at full size; they double at each halving", 32)

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a classifier of the {self.answers} of {short(self.data)}, whose features measure generated pictures"


@dataclass(frozen=True, kw_only=True)
class Generator(Pictures):
    """A model that draws pictures."""

    positive: ClassVar[tuple[str, ...]] = (*Pictures.positive, "width")
    width: int = option("channels at the largest size", PRINTED_WIDTH)
    condition: Literal["none", "classes", "attribute"] = option(
        "draw any picture, pictures of a class, or with and without an attribute", "none"
    )
    attribute: str = option("the attribute of --condition attribute, e.g. Male", "")

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range, or missing."""
        if (self.condition == "attribute") != bool(self.attribute):
            raise Refusal("--condition attribute and --attribute NAME go together: give both, or neither.")
        if self.networks.startswith("hw") and self.width != PRINTED_WIDTH:
            raise Refusal(f"{self.name}'s networks are as printed: leave --width {self.width} out.")
        return super().checked()


@dataclass(frozen=True, kw_only=True)
class LatentGenerator(Generator):
    """A model that makes pictures of latent vectors."""

    positive: ClassVar[tuple[str, ...]] = (*Generator.positive, "latent")
    latent: int = option("numbers in a latent vector", 128)


@dataclass(frozen=True, kw_only=True)
class VAE(LatentGenerator):
    """A variational autoencoder."""

    family: ClassVar[str] = "vae"
    not_negative: ClassVar[tuple[str, ...]] = (*Preset.not_negative, "kl_warmup", "free_bits", "perceptual")
    positive: ClassVar[tuple[str, ...]] = (*LatentGenerator.positive, "components")

    likelihood: Literal["mse", "sigma"] = option(
        "mse: hw3's means with its λ; sigma: a normal one of the best variance (σ-VAE), sums over pixels", "sigma"
    )
    kl_warmup: int = option("images over which the weight of the KL term rises from 0 to 1 (sigma)", 0)
    free_bits: float = option("nats below which a latent dimension's KL costs nothing (sigma)", 0.0)
    prior: Literal["normal", "mixture"] = option(
        "draw from N(0, I), or from a mixture fitted to the training images' latents", "normal"
    )
    components: int = option("components of the mixture", 10)
    perceptual: float = option("weight of the distance in the features of the run --features", 0.0)
    features: str = option("a classifier's run folder, for --perceptual", "")

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a variational autoencoder of {short(self.data)}"

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range, or missing."""
        if self.perceptual and not self.features:
            raise Refusal("--perceptual needs a classifier to see with: give its run folder, --features RUN.")
        return super().checked()


@dataclass(frozen=True, kw_only=True)
class GAN(LatentGenerator):
    """A generator and its adversary."""

    family: ClassVar[str] = "gan"
    not_negative: ClassVar[tuple[str, ...]] = (*Preset.not_negative, "beta1", "beta2", "gradient_penalty", "r1", "r2")
    positive: ClassVar[tuple[str, ...]] = (*LatentGenerator.positive, "critic_steps", "penalty_every")
    at_most: ClassVar[dict[str, float]] = {**Preset.at_most, "beta1": 0.9999, "beta2": 0.9999}

    loss: Literal["bce", "wgan", "hinge", "relativistic"] = option("what generator and discriminator play for", "bce")
    first: Literal["generator", "discriminator"] = option("who steps first", "discriminator")
    critic_steps: int = option("discriminator's steps for one of the generator", 1)
    spectral_norm: Literal["off", "on"] = option("spectral normalisation of every discriminator layer", "off")
    gradient_penalty: float = option("weight of (|gradient| - 1)² between real and fake (WGAN-GP's λ)", 0.0)
    r1: float = option("γ of the zero-centred gradient penalty on real images", 0.0)
    r2: float = option("γ of the zero-centred gradient penalty on generated images", 0.0)
    beta1: float = option("Adam's β1", 0.5)
    beta2: float = option("Adam's β2", 0.999)
    penalty_every: int = option("steps from one gradient penalty to the next, which then weighs so many times more", 1)
    diffaugment: Literal["off", "color,translation", "color,translation,cutout"] = option(
        "the same differentiable augmentation on real and fake", "off"
    )

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a generative adversarial network of {short(self.data)}"

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        if self.select == "best":
            raise Refusal("A GAN has no measure on held-out pictures to be best at: leave --select best out.")
        return super().checked()


FACES = CATALOG["celeba"].published_counts["train"]
_ORIGINS = {
    "networks": PUBLISHED,
    "latent": "published (printed)",
    "size": "published (the printed networks fit 64 pixels alone)",
    "colour": "published (printed)",
    "width": "published (printed)",
    "mean": "ours (a Tanh's range)",
    "std": "ours (a Tanh's range)",
}
_HW3_ORIGINS = {
    **_ORIGINS,
    "epochs": PUBLISHED,
    "images": "published (epochs × CelebA's published training images: ours)",
    "batch": PUBLISHED,
    "optimizer": PUBLISHED,
    "lr": PUBLISHED,
    "lr_schedule": PUBLISHED,
    "flip": PUBLISHED,
}


def _hw2_gan(letter: str, **fields: Any) -> GAN:
    """hw2 names the networks and the idea; the rest is its cited source's, or the papers'."""
    return GAN(
        name=f"hw2-gan-{letter}", study="hw2", method="gan", networks=f"hw2-gan-{letter}", images=10 * FACES, epochs=10,
        size=64, batch=64, latent=100, lr=1e-4, mean=0.5, std=0.5, **fields,
        published={"fid": {"a": 28.0, "b": 24.0}[letter], "face_rate": 0.91},
    )  # fmt: skip


def _hw2_a() -> GAN:
    origins = {**_ORIGINS, "loss": HW06, "batch": HW06, "lr": HW06, "beta1": HW06, "beta2": HW06, "optimizer": HW06}
    return _hw2_gan("a", loss="bce", origins={**origins, "first": HW06, "critic_steps": HW06})


def _hw2_b() -> GAN:
    paper = ("loss", "gradient_penalty", "batch", "lr", "beta1", "beta2", "optimizer", "first")
    return _hw2_gan(
        "b", loss="wgan", spectral_norm="on", gradient_penalty=10.0, beta1=0.0, beta2=0.9,
        origins={**_ORIGINS, **dict.fromkeys(paper, WGAN_GP_PAPER), "spectral_norm": PUBLISHED, "critic_steps": HW06},
    )  # fmt: skip


def _hw3_gan() -> GAN:
    return GAN(
        name="hw3-gan", study="hw3", method="gan", networks="hw3-gan", images=100 * FACES, epochs=100, size=64,
        flip=0.5, batch=64, latent=128, lr=1e-4, mean=0.5, std=0.5, loss="bce", first="generator",
        origins={**_HW3_ORIGINS, "loss": PUBLISHED, "first": PUBLISHED, "beta1": DCGAN_PAPER, "beta2": DCGAN_PAPER},
    )  # fmt: skip


def _hw3_vae() -> VAE:
    return VAE(
        name="hw3-vae", study="hw3", method="vae", networks="hw3-vae", images=100 * FACES, epochs=100, size=64,
        flip=0.5, batch=32, latent=128, lr=1e-4, likelihood="mse",
        origins={
            **_HW3_ORIGINS,
            "likelihood": PUBLISHED,
            "mean": "published (its threshold and errors fit pixels in [0, 1])",
            "std": "published (its threshold and errors fit pixels in [0, 1])",
        },
        published={"reconstruction_mse": 0.0132},
    )  # fmt: skip


def _faces_gan() -> GAN:
    return GAN(
        name="faces-gan", study="faces", method="gan", networks="residual", images=300_000, size=64, flip=0.5, batch=16,
        latent=128, width=64, mean=0.5, std=0.5, lr=4e-4, lr_schedule="cosine", beta1=0.0, beta2=0.99,
        loss="relativistic", r1=0.3, r2=0.3, penalty_every=16, diffaugment="color,translation",
        ema_half_life=HALF_LIFE,
    )  # fmt: skip


def _faces_vae() -> VAE:
    return VAE(
        name="faces-vae", study="faces", method="vae", networks="residual", images=100_000, size=64, flip=0.5,
        batch=32, latent=128, width=32, lr=1e-3, lr_schedule="cosine", lr_warmup=1_000, likelihood="sigma",
        prior="mixture", ema_half_life=HALF_LIFE,
    )  # fmt: skip


def _faces_attributes() -> Classifier:
    return Classifier(
        name="faces-attributes", study="faces", method="classifier", networks="residual", images=90_000, size=64,
        flip=0.5, shift=0.05, scale=0.05, rotate=5.0, batch=64, lr=1e-3, lr_schedule="cosine", lr_warmup=4_000,
        mean=0.5, std=0.5, answers="attributes", optimizer="adamw", weight_decay=0.05, ema_half_life=HALF_LIFE,
    )  # fmt: skip


def _digits_classifier() -> Classifier:
    return Classifier(
        name="digits-classifier", study="digits", method="classifier", networks="residual", data="mnistm",
        images=1_400_000, size=28, shift=0.1, scale=0.1, rotate=10.0, recolour=0.8, batch=128, lr=2e-3,
        lr_schedule="cosine", lr_warmup=20_000, mean=0.5, std=0.5, optimizer="adamw", weight_decay=0.05,
        ema_half_life=HALF_LIFE,
    )  # fmt: skip


def all_presets() -> Iterator[Pictures]:
    """Every preset of these families."""
    yield from (_hw2_a(), _hw2_b(), _hw3_vae(), _hw3_gan(), _faces_attributes(), _faces_vae(), _faces_gan())
    yield _digits_classifier()
