"""Generators and discriminators: those of the studies, as printed there, and ours."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from genshift.errors import Refusal
from genshift.nets.hw3 import Conv_Block, Tran_Block
from genshift.nets.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    LayerNorm,
    Sigmoid,
    spectral,
    start_smooth,
)
from genshift.presets import GAN

PRINTED_SIZE = 64


def build_gan(preset: GAN, classes: int) -> dict[str, nn.Module]:
    """The networks `generator` and `discriminator`; `classes` is 0 where pictures have no class.

    A generator maps noise `[N, latent]` (and labels int64 `[N]`) to pictures `[N, C, H, W]`; a discriminator pictures
    to one number each, `[N, 1]`. Raises Refusal where the networks cannot take the preset's size.
    """
    generator: nn.Module
    discriminator: nn.Module
    if preset.networks == "residual":
        channels = 1 if preset.colour == "grey" else 3
        generator = ResidualGenerator(preset.latent, preset.width, preset.size, channels, classes)
        discriminator = ResidualDiscriminator(
            preset.discriminator_width or preset.width, preset.size, channels, classes
        )
    else:
        if preset.size != PRINTED_SIZE:
            raise Refusal(
                f"The networks of {preset.name} take 64 pixels, not {preset.size}: give --size 64, or faces-gan."
            )
        if classes:
            raise Refusal(f"The networks of {preset.name} know no classes: leave --condition out, or take faces-gan.")
        make_generator, make_discriminator = PRINTED[preset.networks]
        generator, discriminator = make_generator(preset.latent), make_discriminator()
        for net in (generator, discriminator):
            net.apply(initialise)
    _without_first_norm(discriminator, preset)
    _with_spectral_norm(discriminator, preset)
    return {"generator": generator, "discriminator": discriminator}


def _without_first_norm(discriminator: nn.Module, preset: GAN) -> None:
    if preset.first_norm == "on":
        return
    if not isinstance(discriminator, HW3Discriminator):
        raise Refusal(f"The first layer of {preset.name}'s discriminator has no normalisation: leave --first-norm out.")
    first = discriminator.encode[0]
    assert isinstance(first, Conv_Block)
    conv, _, activation = first.block
    discriminator.encode[0] = nn.Sequential(conv, activation)


def _with_spectral_norm(discriminator: nn.Module, preset: GAN) -> None:
    if preset.spectral_norm == "on":
        for layer in discriminator.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
                spectral(layer)


def initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), BatchNorm's from N(1, 0.02) (DCGAN, arXiv 1511.06434, section 4; ML2021 HW06)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


# --- hw2, method A: DCGAN ---------------------------------------------------------------------------------------------


class DCGANGenerator(nn.Module):
    """hw2's Generator A: noise `[N, 100]` to pictures `[N, 3, 64, 64]` in [-1, 1]."""

    def __init__(self, latent: int = 100) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(latent, 512 * 16, bias=False), BatchNorm1d(512 * 16), nn.ReLU())
        self.l2_5 = nn.Sequential(
            _up5(512, 256, inplace=False),
            _up5(256, 128, inplace=False),
            _up5(128, 64, inplace=False),
            ConvTranspose2d(64, 3, 5, stride=2, padding=2, output_padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.l2_5(self.l1(z).view(z.shape[0], 512, 4, 4))  # len(z) would fix the batch of a graph

    def _get_name(self) -> str:
        return "Generator"


class DCGANDiscriminator(nn.Module):
    """hw2's Discriminator A: pictures `[N, 3, 64, 64]` to the probability of being real `[N, 1]`."""

    def __init__(self) -> None:
        super().__init__()
        self.ls = nn.Sequential(
            Conv2d(3, 64, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            _down5(64, 128),
            _down5(128, 256),
            _down5(256, 512),
            Conv2d(512, 1, 4),
            Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.ls(x).flatten(1)

    def _get_name(self) -> str:
        return "Discriminator"


def _up5(c_in: int, c_out: int, inplace: bool) -> nn.Sequential:
    up = ConvTranspose2d(c_in, c_out, 5, stride=2, padding=2, output_padding=1, bias=False)
    return nn.Sequential(up, BatchNorm2d(c_out), nn.ReLU(inplace))


def _down5(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(Conv2d(c_in, c_out, 5, stride=2, padding=2), BatchNorm2d(c_out), nn.LeakyReLU(0.2))


# --- hw2, method B: SNGAN with WGAN-GP --------------------------------------------------------------------------------


class WGANGenerator(nn.Module):
    """hw2's Generator B: noise `[N, 100]` to pictures `[N, 3, 64, 64]` in [-1, 1]."""

    def __init__(self, latent: int = 100) -> None:
        super().__init__()
        first = ConvTranspose2d(latent, 1024, 4, bias=False)
        self.l1 = nn.Sequential(first, BatchNorm2d(1024), nn.ReLU(inplace=True))
        self.l2_5 = nn.Sequential(
            _up5(1024, 512, inplace=True),
            _up5(512, 256, inplace=True),
            _up5(256, 128, inplace=True),
            ConvTranspose2d(128, 3, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.l2_5(self.l1(z[:, :, None, None]))

    def _get_name(self) -> str:
        return "Generator"


class WGANCritic(nn.Module):
    """hw2's Discriminator B, a critic with LayerNorm: pictures `[N, 3, 64, 64]` to scores `[N, 1]`."""

    def __init__(self) -> None:
        super().__init__()
        self.ls = nn.Sequential(
            Conv2d(3, 64, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2),
            _down4_layer_norm(64, 128, 16),
            _down4_layer_norm(128, 256, 8),
            _down4_layer_norm(256, 512, 4),
            Conv2d(512, 1, 4, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.ls(x).flatten(1)

    def _get_name(self) -> str:
        return "Discriminator"


def _down4_layer_norm(c_in: int, c_out: int, side: int) -> nn.Sequential:
    down = Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(down, LayerNorm((c_out, side, side)), nn.LeakyReLU(0.2, inplace=True))


# --- hw3's GAN --------------------------------------------------------------------------------------------------------


class HW3Generator(nn.Module):
    """hw3's Generator: noise `[N, 128]` to pictures `[N, 3, 64, 64]` in [-1, 1]."""

    def __init__(self, latent: int = 128) -> None:
        super().__init__()
        widths = (512, 256, 128, 64)
        ups = [ConvTranspose2d(latent, 512, 4, 1, 0), *(ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(widths))]
        self.decode = nn.Sequential(*map(Tran_Block, ups), ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.decode(z[:, :, None, None])

    def _get_name(self) -> str:
        return "Generator"


class HW3Discriminator(nn.Module):
    """hw3's Discriminator: pictures `[N, 3, 64, 64]` to the probability of being real `[N, 1]`."""

    def __init__(self) -> None:
        super().__init__()
        downs = [Conv2d(a, b, 4, 2, 1) for a, b in pairwise((3, 64, 128, 256, 512))]
        self.encode = nn.Sequential(*map(Conv_Block, downs), Conv2d(512, 1, 4, 1, 0), Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x).flatten(1)

    def _get_name(self) -> str:
        return "Discriminator"


PRINTED = {
    "hw2-gan-a": (DCGANGenerator, DCGANDiscriminator),
    "hw2-gan-b": (WGANGenerator, WGANCritic),
    "hw3-gan": (HW3Generator, HW3Discriminator),
}


# --- ours -------------------------------------------------------------------------------------------------------------

SMALLEST = 4  # side of the first map
MOST = 4  # the widest map has so many times the channels of the largest one


def widths(width: int, size: int) -> list[int]:
    """Channels at sides 4, 8, … `size`/2: `width` at the largest, doubling as the side halves, at most `MOST` times it.

    Raises Refusal for a size that is no power of two from 16.
    """
    halvings = (size // (2 * SMALLEST)).bit_length() - 1
    if halvings < 1 or 2 * SMALLEST * 2**halvings != size:
        raise Refusal(f"These networks take sides of 16, 32, 64, 128 pixels and so on, not {size}: give --size 64.")
    return [width * min(MOST, 2**level) for level in range(halvings, -1, -1)]


class ResidualGenerator(nn.Module):
    """Noise `[N, latent]` and labels `[N]` to pictures `[N, C, size, size]` in [-1, 1].

    Residual blocks that double the side (SNGAN, arXiv 1802.05957, appendix B.4) up to half of it; the last doubling is
    a pixel shuffle (arXiv 1609.05158): at the full side every convolution would cost four times as much. Classes by an
    embedding added to the noise.
    """

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int) -> None:
        super().__init__()
        by_level = widths(width, size)
        self.label = nn.Embedding(classes, latent) if classes else None
        self.first = nn.Linear(latent, by_level[0] * SMALLEST**2)
        self.blocks = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(by_level)))
        self.norm = BatchNorm2d(by_level[-1])
        self.last = Conv2d(by_level[-1], 4 * channels, 3, padding=1)
        self.apply(_kaiming)
        start_smooth(self.last)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.label is not None:
            z = z + self.label(labels)
        x = self.first(z).view(z.shape[0], -1, SMALLEST, SMALLEST)
        return F.pixel_shuffle(self.last(F.relu(self.norm(self.blocks(x)))), 2).tanh()


def _kaiming(layer: nn.Module) -> None:
    """Weights that keep the size of activations (arXiv 1502.01852): without BatchNorm PyTorch's own make them fade."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, a=0.2)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class UpBlock(nn.Module):
    """`[N, C_in, H, W]` to `[N, C_out, 2H, 2W]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = BatchNorm2d(c_in), Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.norm2, self.conv2 = BatchNorm2d(c_out), Conv2d(c_out, c_out, 3, padding=1)
        self.skip = Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(_doubled(F.relu(self.norm1(x))))
        return self.conv2(F.relu(self.norm2(y))) + _doubled(self.skip(x))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class ResidualDiscriminator(nn.Module):
    """Pictures `[N, C, size, size]` and labels `[N]` to scores `[N, 1]`.

    Halved at once, then residual blocks that halve the side, no normalisation of activations; classes by projection
    (arXiv 1802.05637).
    """

    def __init__(self, width: int, size: int, channels: int, classes: int) -> None:
        super().__init__()
        by_level = widths(width, size)[::-1]
        self.first = Conv2d(channels, by_level[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(a, b) for a, b in pairwise(by_level)))
        self.last = nn.Linear(by_level[-1] * SMALLEST**2, 1)
        self.label = nn.Embedding(classes, by_level[-1] * SMALLEST**2) if classes else None
        self.apply(_kaiming)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        features = F.leaky_relu(self.blocks(self.first(x)), 0.2).flatten(1)
        score = self.last(features)
        if self.label is None:
            return score
        return score + (self.label(labels) * features).sum(1, keepdim=True)


class DownBlock(nn.Module):
    """`[N, C_in, H, W]` to `[N, C_out, H/2, W/2]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(c_in, c_in, 3, padding=1)
        self.conv2 = Conv2d(c_in, c_out, 4, stride=2, padding=1)
        self.skip = Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))
        return y + self.skip(F.avg_pool2d(x, 2))
