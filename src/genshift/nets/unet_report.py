"""hw2's conditional U-Net, exactly as printed there.

What a printed network does not show is its cited source's, dome272/Diffusion-Models-pytorch: residual additions, four
attention heads, aligned corners in the upsampling, the time embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.errors import Refusal

# It prints as nn.Conv2d and is faster on CPUs where the map is 4×4, as it is in the bottleneck at 32 pixels.
from genshift.nets.layers import Conv2d, LayerNorm

EMBEDDING = 256  # width of the time and label embeddings
HEADS = 4
MULTIPLE = 8  # three halvings


class UNet_conditional(nn.Module):
    """hw2's network: noisy pictures `[N, C, H, W]`, in [-1, 1] before the noise, to `[N, C, H, W]` of any range.

    `t` is float `[N]` in 1…1000. `y` is int64 `[N]`: a class, or -1 for a picture without a label; None where none has
    one. Any side: pictures are padded at the bottom and right to a multiple of 8 and the answer is cropped. With
    `classes` 0 there is no label embedding, and labels raise Refusal.
    """

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.inc = DoubleConv(channels, 64)
        self.down1, self.sa1 = Down(64, 128), SelfAttention(128)
        self.down2, self.sa2 = Down(128, 256), SelfAttention(256)
        self.down3, self.sa3 = Down(256, 256), SelfAttention(256)
        self.bot1 = DoubleConv(256, 512)
        self.bot2 = DoubleConv(512, 512)
        self.bot3 = DoubleConv(512, 256)
        self.up1, self.sa4 = Up(512, 128), SelfAttention(128)
        self.up2, self.sa5 = Up(256, 64), SelfAttention(64)
        self.up3, self.sa6 = Up(128, 64), SelfAttention(64)
        self.outc = Conv2d(64, channels, 1)
        self.label_emb = nn.Embedding(classes, EMBEDDING) if classes else None

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Raises Refusal for labels where the network was built without classes."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE))  # zero is the middle grey
        # The time's embedding, plus the label's where there is one: `[N, 256]`.
        emb = time_embedding(t).to(self.outc.weight.dtype)
        if y is not None:
            if self.label_emb is None:
                raise Refusal("Labels were given to a U-Net without classes: give none, or build it with classes.")
            emb = emb + self.label_emb(y.clamp(min=0)) * (y >= 0)[:, None]
        # Down, through the middle, and up.
        x1 = self.inc(x)
        x2 = self.sa1(self.down1(x1, emb))
        x3 = self.sa2(self.down2(x2, emb))
        x4 = self.sa3(self.down3(x3, emb))
        x4 = self.bot3(self.bot2(self.bot1(x4)))
        u3 = self.sa4(self.up1(x4, x3, emb))
        u2 = self.sa5(self.up2(u3, x2, emb))
        u1 = self.sa6(self.up3(u2, x1, emb))
        answer: Tensor = self.outc(u1)
        return answer[:, :, :height, :width]


def time_embedding(t: Tensor, width: int = EMBEDDING) -> Tensor:
    """Times, float `[N]`, to their `width`/2 sines and then as many cosines, `[N, width]` in t's own precision.

    The frequencies are 10000^(-2i/width), i from 0 ("Attention Is All You Need", section 3.5; the cited source puts
    all sines first).
    """
    powers = torch.arange(0, width, 2, dtype=t.dtype, device=t.device) / width
    angles = t[:, None] * torch.pow(10000.0, -powers)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` that prints as in the report; PyTorch 2.13 adds the bias."""

    def extra_repr(self) -> str:
        """As PyTorch before 2.13."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class DoubleConv(nn.Module):
    """`[N, c_in, H, W]` to `[N, c_out, H, W]`; where `residual` (c_in is c_out), gelu(x + both convolutions)."""

    def __init__(self, c_in: int, c_out: int, c_mid: int | None = None, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        middle = c_mid or c_out
        self.double_conv = nn.Sequential(
            Conv2d(c_in, middle, 3, padding=1, bias=False),
            GroupNorm(1, middle),
            nn.GELU(),
            Conv2d(middle, c_out, 3, padding=1, bias=False),
            GroupNorm(1, c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.double_conv(x)
        return F.gelu(x + y) if self.residual else y


class Down(nn.Module):
    """`[N, c_in, H, W]` and the embedding `[N, 256]` to `[N, c_out, H/2, W/2]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            nn.MaxPool2d(2), DoubleConv(c_in, c_in, residual=True), DoubleConv(c_in, c_out)
        )
        self.emb_layer = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDING, c_out))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.maxpool_conv(x) + self.emb_layer(emb)[:, :, None, None]


class Up(nn.Module):
    """`[N, C, H, W]`, the skipped `[N, c_in - C, 2H, 2W]` and the embedding `[N, 256]` to `[N, c_out, 2H, 2W]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv = nn.Sequential(DoubleConv(c_in, c_in, residual=True), DoubleConv(c_in, c_out, c_in // 2))
        self.emb_layer = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDING, c_out))

    def forward(self, x: Tensor, skip: Tensor, emb: Tensor) -> Tensor:
        x = self.conv(torch.cat([skip, self.up(x)], dim=1))
        return x + self.emb_layer(emb)[:, :, None, None]


class SelfAttention(nn.Module):
    """`[N, C, H, W]` to the same: attention over all pixels, then two linear layers, each added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(channels, HEADS, batch_first=True)
        self.ln = LayerNorm([channels])
        self.ff_self = nn.Sequential(
            LayerNorm([channels]), nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # [N, H·W, C]: a view of channels_last
        normal = self.ln(tokens)
        # Without the averaged weights, which nobody reads, PyTorch's fused attention is used.
        tokens = self.mha(normal, normal, normal, need_weights=False)[0] + tokens
        tokens = self.ff_self(tokens) + tokens
        return tokens.transpose(1, 2).view(x.shape)
