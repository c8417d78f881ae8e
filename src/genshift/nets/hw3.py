"""The blocks that hw3's VAE and GAN share, under their printed names."""

from __future__ import annotations

from torch import Tensor, nn

from genshift.nets.layers import BatchNorm2d, Conv2d, ConvTranspose2d


class Conv_Block(nn.Module):
    """Convolution, BatchNorm, LeakyReLU; `[N, C_in, H, W]` to `[N, C_out, H', W']`."""

    def __init__(self, conv: Conv2d) -> None:
        super().__init__()
        self.block = nn.Sequential(conv, BatchNorm2d(conv.out_channels), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Tran_Block(nn.Module):
    """Transposed convolution, BatchNorm, ReLU; `[N, C_in, H, W]` to `[N, C_out, H', W']`."""

    def __init__(self, conv: ConvTranspose2d) -> None:
        super().__init__()
        self.block = nn.Sequential(conv, BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)
