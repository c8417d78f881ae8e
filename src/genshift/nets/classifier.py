"""A residual classifier of any size of picture."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from genshift.nets.layers import BatchNorm2d, Conv2d
from genshift.presets import Classifier

LEVELS = 4  # sides: all of it, and three halvings
SMALL = 32  # pixels: strokes of so small pictures need every one of them


def build_classifier(preset: Classifier, answers: int) -> dict[str, nn.Module]:
    """The networks `extractor` (pictures to features `[N, 8·width]`) and `predictor` (features to `[N, answers]`)."""
    channels = 1 if preset.colour == "grey" else 3
    extractor = ResidualExtractor(preset.width, channels, preset.size)
    return {"extractor": extractor, "predictor": nn.Linear(extractor.features, answers)}


class ResidualExtractor(nn.Module):
    """Pictures `[N, C, H, W]` to features `[N, 8·width]`: a pre-activation ResNet (arXiv 1603.05027) of 4 levels.

    Above SMALL pixels the first convolution halves the side: most of the arithmetic would lie above that.
    """

    def __init__(self, width: int, channels: int, size: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.features = widths[-1]
        small = size <= SMALL
        self.first = Conv2d(channels, widths[0], 3 if small else 4, stride=1 if small else 2, padding=1)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip(widths[:1] + widths, widths, strict=False)))
        self.norm = BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.blocks(self.first(x)))).mean((2, 3))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The feature maps `[N, C, H', W']` after each level, for distances that see more than pixels."""
        maps, y = [], self.first(x)
        for block in self.blocks:
            y = block(y)
            maps.append(y)
        return maps


class Block(nn.Module):
    """`[N, C_in, H, W]` to `[N, C_out, H', W']`; the side halves where the channels grow."""

    def __init__(self, c_in: int, c_out: int, norm: type[BatchNorm2d] = BatchNorm2d) -> None:
        super().__init__()
        stride = 1 if c_in == c_out else 2
        self.norm1, self.conv1 = norm(c_in), Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.norm2, self.conv2 = norm(c_out), Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.skip = None if stride == 1 else Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(x))
        shortcut = x if self.skip is None else self.skip(F.avg_pool2d(y, 2, ceil_mode=True))
        return self.conv2(F.relu(self.norm2(self.conv1(y)))) + shortcut
