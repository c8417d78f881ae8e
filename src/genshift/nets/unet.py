"""genshift's U-Net for diffusion: small enough for a CPU, of any size of picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.nets.layers import Conv2d

SMALLEST = 8  # sides are halved down to this or below
ATTENTION = 8  # the largest side with self-attention: at 14 it took a third of a step's time (CPU, bfloat16)
HEAD = 64  # channels of an attention head; more where they do not divide
BLOCKS = 2  # of a level on the way down; one more on the way up


class UNet(nn.Module):
    """Pictures `[N, C, H, W]`, times `[N]` (on a scale of about 1000) and labels `[N]` to an answer `[N, C, H, W]`.

    The U-Net of "Diffusion models beat GANs" (arXiv 2105.05233, appendix C): residual blocks whose second normalisation
    is scaled and shifted by the time's and the label's embedding, self-attention where sides are at most ATTENTION.
    Squares of `patch` pixels are first made channels (pixel unshuffle), which costs detail little and arithmetic much.
    Sides that do not divide are padded with zeros, and the answer is cropped. `Places` tells the coarsest places
    apart. Label -1 stands for none.
    """

    def __init__(self, channels: int, classes: int, size: int, width: int, patch: int, dropout: float) -> None:
        super().__init__()
        self.patch, self.width, emb = patch, width, 4 * width
        # Levels: sides, halved until one is at most SMALLEST, and their channels: `width`, then twice that.
        sides = [math.ceil(size / patch)]
        while sides[-1] > SMALLEST:
            sides.append(math.ceil(sides[-1] / 2))
        widths = [width] + [2 * width] * (len(sides) - 1)
        self.multiple = patch * 2 ** (len(sides) - 1)
        self.time = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label = nn.Embedding(classes, emb) if classes else None
        self.first = Conv2d(channels * patch**2, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, c, self.coarsest = [width], width, -1
        for level, (side, c_out) in enumerate(zip(sides, widths, strict=True)):
            if level:
                self.coarsest = len(self.down)
                self.down.append(Downsample(c))
                kept.append(c)
            for _ in range(BLOCKS):
                self.down.append(Stage(c, c_out, emb, side, dropout))
                c = c_out
                kept.append(c)
        self.middle = nn.ModuleList([Stage(c, c, emb, 0, dropout), Stage(c, c, emb, SMALLEST, dropout)])
        for level, (side, c_out) in reversed(list(enumerate(zip(sides, widths, strict=True)))):
            for _ in range(BLOCKS + 1):
                self.up.append(Stage(c + kept.pop(), c_out, emb, side, dropout))
                c = c_out
            if level:
                self.up.append(Upsample(c))
        self.places = Places(classes, width if len(sides) == 1 else widths[-2], math.ceil(size / self.multiple))
        self.norm, self.last = GroupNorm(c), Conv2d(c, channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        # The embedding of time and label.
        emb = self.time(sinusoids(t, self.width).to(x.dtype))
        if self.label is not None and y is not None:
            emb = emb + self.label(y.clamp(min=0)) * (y >= 0).to(emb.dtype)[:, None]
        emb = F.silu(emb)
        # Down, keeping each layer's result; through the middle; and up, where they join again.
        x = self.first(F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last))
        x = self.places(x, y) if self.coarsest < 0 else x
        kept = [x]
        for number, layer in enumerate(self.down):
            x = layer(x, emb)
            x = self.places(x, y) if number == self.coarsest else x
            kept.append(x)
        for layer in self.middle:
            x = layer(x, emb)
        for layer in self.up:
            x = layer(x if isinstance(layer, Upsample) else torch.cat([x, kept.pop()], 1), emb)
        y_out = F.pixel_shuffle(self.last(F.silu(self.norm(x))), self.patch)
        return y_out[:, :, :height, :width]


def sinusoids(t: Tensor, width: int) -> Tensor:
    """float32 `[N, width]`: cosines and sines of t of frequencies 1 to 1/10,000 (arXiv 1706.03762, section 3.5)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=t.device) / (width // 2))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class GroupNorm(nn.GroupNorm):
    """Groups of at least eight channels, 32 groups at most."""

    def __init__(self, channels: int) -> None:
        super().__init__(math.gcd(32, max(1, channels // 8), channels), channels)


class Stage(nn.Module):
    """A residual block, and self-attention where the side (0: none) allows it."""

    def __init__(self, c_in: int, c_out: int, emb: int, side: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(c_in), Conv2d(c_in, c_out, 3, padding=1)
        self.told = nn.Linear(emb, 2 * c_out)
        self.norm2, self.conv2 = GroupNorm(c_out), Conv2d(c_out, c_out, 3, padding=1)
        self.dropout = Dropout(dropout)
        self.skip = None if c_in == c_out else Conv2d(c_in, c_out, 1)
        self.attention = Attention(c_out) if 0 < side <= ATTENTION else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.told(emb)[:, :, None, None].chunk(2, 1)
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(self.dropout(F.silu(self.norm2(y) * (1 + scale) + shift)))
        y = y + (x if self.skip is None else self.skip(x))
        return y if self.attention is None else self.attention(y)


class Dropout(nn.Dropout):
    """torch's, by numbers from U[0, 1) that `uniform(*shape)` gives for `[N, *shape]`, where it is set: a training's
    are a function of (seed, images seen), and torch's own generator is not."""

    uniform: Callable[..., Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.uniform is None or not self.training or self.p == 0:
            return super().forward(x)
        return x * (self.uniform(*x.shape[1:]) >= self.p).to(x) / (1 - self.p)


class Attention(nn.Module):
    """Self-attention over the places of `[N, C, H, W]`, added to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = next(n for n in range(max(1, channels // HEAD), 0, -1) if channels % n == 0)
        self.norm = GroupNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(n, height * width, c)
        q, k, v = self.qkv(tokens).view(n, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: for so few places the fused kernel's gradient takes five times as long on a CPU.
        scores = (q * (c // self.heads) ** -0.5) @ k.transpose(2, 3)
        seen = (scores.softmax(-1, dtype=scores.dtype) @ v).transpose(1, 2).reshape(n, height * width, c)
        return x + self.out(seen).view(n, height, width, c).permute(0, 3, 1, 2)


class Places(nn.Module):
    """A learnt map over the places of `[N, C, H, W]`, and one more for each class, added to it.

    Attention and convolutions alone do not know where they are; and a label that says at each place what to expect is
    learnt sooner than one that says the same everywhere (docs/results.md, digits). The maps have `side` places a side,
    and are interpolated to other sides.
    """

    def __init__(self, classes: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.maps = nn.Embedding(1 + classes, channels * side**2)
        nn.init.zeros_(self.maps.weight)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        class_map = self.maps.weight[:1]
        if y is not None:
            class_map = class_map + self.maps(y.clamp(min=0) + 1) * (y >= 0).to(class_map.dtype)[:, None]
        class_map = class_map.view(-1, x.shape[1], self.side, self.side)
        if x.shape[2:] != class_map.shape[2:]:
            class_map = F.interpolate(class_map, x.shape[2:], mode="bilinear")
        return x + class_map.to(x.dtype)


class Downsample(nn.Module):
    """Half the side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Twice the side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
