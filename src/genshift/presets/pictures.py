"""One set of pictures: VAEs, GANs, and the classifiers whose features they are judged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from genshift.errors import Refusal
from genshift.presets.base import Preset, option, short

SMALLEST = 4  # pixels
PRINTED_WIDTH = 64  # of every generator in the reports


@dataclass(frozen=True, kw_only=True)
class Pictures(Preset):
    """An experiment on one set of pictures."""

    labelled: ClassVar[str] = "data"

    data: str = option("data set, or a folder of pictures", "celeba")
    batch: int = option("images a step", 64, above=0)

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

    @property
    def labelling_attribute(self) -> str:
        """The attribute that stands for the pictures' class, with it or without; "" where their labels do."""
        return ""

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

    answers: Literal["classes", "attributes"] = option("what it learns: one class, or every attribute", "classes")
    width: int = option("channels at full size; they double at each halving", 32, above=0)

    @property
    def learner(self) -> str:
        return self.answers

    @property
    def measures_others(self) -> bool:
        return True

    @property
    def learns(self) -> str:
        return self.answers

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a classifier of the {self.answers} of {short(self.data)}, whose features measure generated pictures"


@dataclass(frozen=True, kw_only=True)
class Generator(Pictures):
    """A model that draws pictures."""

    width: int = option("channels at the largest size", PRINTED_WIDTH, above=0)
    condition: Literal["none", "classes", "attribute"] = option(
        "draw any picture, pictures of a class, or with and without an attribute", "none"
    )
    attribute: str = option("the attribute of --condition attribute, e.g. Male", "")

    @property
    def draws(self) -> bool:
        return True

    @property
    def learns(self) -> str:
        return "nothing" if self.condition == "none" else "classes"

    @property
    def labelling_attribute(self) -> str:
        return self.attribute if self.condition == "attribute" else ""

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

    latent: int = option("numbers in a latent vector", 128, above=0)


@dataclass(frozen=True, kw_only=True)
class VAE(LatentGenerator):
    """A variational autoencoder."""

    family: ClassVar[str] = "vae"

    likelihood: Literal["mse", "sigma"] = option(
        "mse: hw3's means with its λ; sigma: a normal one of the best variance (σ-VAE), sums over pixels", "sigma"
    )
    kl_warmup: int = option("images over which the weight of the KL term rises from 0 to 1 (sigma)", 0, at_least=0)
    free_bits: float = option("nats below which a latent dimension's KL costs nothing (sigma)", 0.0, at_least=0)
    prior: Literal["normal", "mixture"] = option(
        "draw from N(0, I), or from a mixture fitted to the training images' latents", "normal"
    )
    components: int = option("components of the mixture", 10, above=0)
    perceptual: float = option("weight of the distance in the features of the run --features", 0.0, at_least=0)
    features: str = option("a classifier's run folder, for --perceptual", "")

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a variational autoencoder of {short(self.data)}"

    @property
    def teacher(self) -> str:
        return self.features if self.perceptual else ""

    def replaced(self, **changes: Any) -> Self:
        """As any preset's; Refusal too for a classifier that nothing would look at. A run of 0.2 may name one."""
        changed = super().replaced(**changes)
        if changes.get("features") and not changed.perceptual:
            raise Refusal("--features is the classifier of --perceptual: give that a weight, or leave --features out.")
        return changed

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range, or missing."""
        if self.perceptual and not self.features:
            raise Refusal("--perceptual needs a classifier to see with: give its run folder, --features RUN.")
        return super().checked()


@dataclass(frozen=True, kw_only=True)
class GAN(LatentGenerator):
    """A generator and its adversary."""

    family: ClassVar[str] = "gan"

    loss: Literal["bce", "wgan", "hinge", "relativistic"] = option("what generator and discriminator play for", "bce")
    first: Literal["generator", "discriminator"] = option("who steps first", "discriminator")
    critic_steps: int = option("discriminator's steps for one of the generator", 1, above=0)
    spectral_norm: Literal["off", "on"] = option("spectral normalisation of every discriminator layer", "off")
    discriminator_width: int = option("the discriminator's channels at the largest map; 0: --width", 0, at_least=0)
    first_norm: Literal["on", "off"] = option(
        "BatchNorm after the first layer of hw3's discriminator, which DCGAN (arXiv 1511.06434, section 3) leaves out",
        "on",
    )
    gradient_penalty: float = option("weight of (|gradient| - 1)² between real and fake (WGAN-GP's λ)", 0.0, at_least=0)
    r1: float = option("γ of the zero-centred gradient penalty on real images", 0.0, at_least=0)
    r2: float = option("γ of the zero-centred gradient penalty on generated images", 0.0, at_least=0)
    beta1: float = option("Adam's β1", 0.5, at_least=0, at_most=0.9999)
    beta2: float = option("Adam's β2", 0.999, at_least=0, at_most=0.9999)
    penalty_every: int = option(
        "steps from one gradient penalty to the next, which then weighs so many times more", 1, above=0
    )
    diffaugment: Literal["off", "color,translation", "color,translation,cutout"] = option(
        "the same differentiable augmentation on real and fake", "off"
    )

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a generative adversarial network of {short(self.data)}"

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        if self.discriminator_width and self.networks != "residual":
            raise Refusal(f"{self.name}'s networks are as printed: leave --discriminator-width out.")
        if self.select == "best":
            raise Refusal("A GAN has no measure on held-out pictures to be best at: leave --select best out.")
        return super().checked()
