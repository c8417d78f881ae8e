"""Encoders and decoders of variational autoencoders: hw3's, exactly as printed, and ours.

An encoder gives the mean and the log-variance of q(z | x); a decoder gives the mean of p(x | z).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.errors import Refusal, unknown
from genshift.nets.hw3 import Conv_Block, Tran_Block
from genshift.nets.layers import BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, start_smooth
from genshift.presets import VAE

SMALLEST = 16  # pixels: two halvings above the 4×4 that the latent vector is read from


def build_vae(preset: VAE, classes: int) -> dict[str, nn.Module]:
    """The networks `encoder` and `decoder`; `classes` is 0 where pictures are of no class.

    Raises Refusal for a size, or classes, that the networks cannot take.
    """
    if preset.networks == "hw3-vae":
        if preset.size != 64:
            raise Refusal(
                f"The networks of hw3-vae take images of 64 pixels, not {preset.size}: give --size 64, or faces-vae."
            )
        if classes:
            raise Refusal("The networks of hw3-vae take no classes: give --condition none, or faces-vae.")
        return {"encoder": Encoder(preset.latent), "decoder": Decoder(preset.latent)}
    if preset.networks == "residual":
        _check_size(preset.size)
        channels = 1 if preset.colour == "grey" else 3
        shape = (preset.size, channels, preset.latent, preset.width)
        return {"encoder": ResidualEncoder(*shape), "decoder": ResidualDecoder(*shape, classes)}
    raise unknown("VAE network", preset.networks, ("hw3-vae", "residual"))


def _check_size(size: int) -> None:
    if size < SMALLEST or size & (size - 1):
        raise Refusal(
            f"The residual VAE takes a power of two of {SMALLEST} pixels or more, not {size}: give --size 64."
        )


# --- hw3, problem 1 (the class and attribute names are the printed ones) ---------------------------------------------


class _ToPoint(Conv2d):
    """The printed 4×4 convolution of stride 2 and padding 1 where it takes 2×2 to 1×1.

    Of its kernel only the central 2×2 meets pixels; the rest meets padding, has no gradient and changes nothing. So the
    centre alone is held, as a matrix `[C_out, 4 C_in]`: the same function, start and training. With its counterpart
    it spares hw3 50 of its 90 million weights, and a step most of its time.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 4, 2, 1)
        self.weight = nn.Parameter(self.weight.detach()[:, :, 1:3, 1:3].flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight, self.bias)[:, :, None, None]

    def _get_name(self) -> str:
        return "Conv2d"


class _FromPoint(ConvTranspose2d):
    """The printed transposed convolution where it takes 1×1 to 2×2; its weight is a matrix `[4 C_out, C_in]`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 4, 2, 1)
        self.weight = nn.Parameter(self.weight.detach()[:, :, 1:3, 1:3].flatten(1).t().contiguous())

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert self.bias is not None
        return F.linear(x.flatten(1), self.weight, self.bias.repeat_interleave(4)).unflatten(1, (-1, 2, 2))

    def _get_name(self) -> str:
        return "ConvTranspose2d"


class Encoder(nn.Module):
    """hw3's encoder: `[N, 3, 64, 64]` to mean and log-variance, each `[N, latent]`."""

    def __init__(self, latent: int = 128) -> None:
        super().__init__()
        widths = (3, 64, 128, 256, 512, 1024)
        convs = [Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths)]
        self.encode = nn.Sequential(*map(Conv_Block, [*convs, _ToPoint(1024, 2048)]))
        self.meanGen = nn.Linear(2048, latent)
        self.logvarGen = nn.Linear(2048, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encode(x).flatten(1)
        return self.meanGen(features), self.logvarGen(features)


class Decoder(nn.Module):
    """hw3's decoder: `[N, latent]` to pictures `[N, 3, 64, 64]` in [-1, 1] (the report compares them with [0, 1])."""

    def __init__(self, latent: int = 128) -> None:
        super().__init__()
        self.preprocess = nn.Sequential(nn.Linear(latent, 2048), BatchNorm1d(2048), nn.ReLU(inplace=True))
        widths = (1024, 512, 256, 128, 64)
        convs = [_FromPoint(2048, 1024), *(ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(widths))]
        self.decode = nn.Sequential(*map(Tran_Block, convs), ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decode(self.preprocess(z)[:, :, None, None])


# --- ours ------------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), 3×3, channels and side kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = BatchNorm2d(channels), BatchNorm2d(channels)
        self.conv1 = Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.conv2 = Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))


def _widths(size: int, width: int) -> list[int]:
    """Channels at size/2, size/4, … 4: twice `width`, doubling up to eight times."""
    halvings = size.bit_length() - 3
    return [width * min(8, 2**i) for i in range(1, halvings + 1)]


class ResidualEncoder(nn.Module):
    """`[N, channels, size, size]` to mean and log-variance, each `[N, latent]`; a power of two from 16 for `size`.

    Pixels are folded 2×2 into channels first, so that no convolution runs at full size.
    """

    def __init__(self, size: int, channels: int, latent: int, width: int) -> None:
        super().__init__()
        widths = _widths(size, width)
        self.stem = Conv2d(4 * channels, widths[0], 3, 1, 1)
        self.blocks = nn.ModuleList(Residual(w) for w in widths)
        self.downs = nn.ModuleList(Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.norm = BatchNorm2d(widths[-1])
        self.head = nn.Linear(16 * widths[-1], 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.blocks[0](self.stem(F.pixel_unshuffle(x, 2)))
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            x = block(down(x))
        mean, logvar = self.head(F.silu(self.norm(x)).flatten(1)).chunk(2, dim=1)
        return mean, logvar


class ResidualDecoder(nn.Module):
    """`[N, latent]`, with labels `[N]` where there are `classes`, to pictures `[N, channels, size, size]`."""

    def __init__(self, size: int, channels: int, latent: int, width: int, classes: int = 0) -> None:
        super().__init__()
        widths = _widths(size, width)[::-1]
        self.embed = nn.Embedding(classes, latent) if classes else None
        self.stem = nn.Linear(latent * (2 if classes else 1), 16 * widths[0])
        self.blocks = nn.ModuleList(Residual(w) for w in widths)
        self.ups = nn.ModuleList(Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.norm = BatchNorm2d(widths[-1])
        self.head = Conv2d(widths[-1], 4 * channels, 3, 1, 1)
        start_smooth(self.head)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(labels)], dim=1)
        x = self.stem(z).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # channels_last without a copy
        x = self.blocks[0](x)
        for up, block in zip(self.ups, self.blocks[1:], strict=True):
            x = block(F.interpolate(up(x), scale_factor=2.0))
        return F.pixel_shuffle(self.head(F.silu(self.norm(x))), 2)
