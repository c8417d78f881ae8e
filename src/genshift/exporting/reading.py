"""Reading pictures inside a graph: bytes of any height and width to a network's input, as `data.pixels` reads them.

Height and width are known only when the graph runs, so nothing branches on them: every step is a product with a matrix
that is made of them. All that is rounded to bytes on the way is rounded here too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genshift.data.dataset import Fit

FIXED = 2.0**22  # Pillow's fixed-point weights have 22 bits after the point (libImaging/Resample.c, PRECISION_BITS)
LUMA = (19595.0, 38470.0, 7471.0)  # of 65,536, as `data.pixels.to_colour`; exact in float32


Extent = tuple[Tensor, Tensor, Tensor]  # of one direction: pixels taken, pixels after averaging, place of the first


class Reading(nn.Module):
    """uint8 pictures `[N, H, W, 3]` to float32 `[N, channels, size, size]`, normalised.

    What `data.pixels.decode` and `finish` make of a decoded picture in RGB: its centred square, or all of it on a black
    square; from four times `size` on areas are averaged to twice `size`; then luma where it is grey, and bilinear
    interpolation with antialiasing. Bytes differ by 1 at most, and that where a value lies at .5 between two.
    """

    def __init__(self, size: int, fit: Fit, grey: bool, channels: int, mean: float, std: float) -> None:
        super().__init__()
        self.size, self.fit, self.grey, self.channels = size, fit, grey, channels
        self.mean, self.std = mean, std

    def forward(self, pictures: Tensor) -> Tensor:
        rows = torch.arange(pictures.shape[1], dtype=torch.float64, device=pictures.device)
        columns = torch.arange(pictures.shape[2], dtype=torch.float64, device=pictures.device)
        x = pictures.permute(0, 3, 1, 2).float()
        heights, widths, side = self._extents(rows[-1] + 1, columns[-1] + 1)
        # Pillow averages along the rows first, and rounds to bytes after each direction.
        x = shrunk(x, columns, *widths, 4 * self.size)
        x = shrunk(x.transpose(2, 3), rows, *heights, 4 * self.size).transpose(2, 3)
        if self.grey:
            x = x * torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
            x = ((x.sum(1, keepdim=True) + 32768) / 65536).floor()
        across = triangle(self.size, widths[1], side, 4 * self.size)
        down = triangle(self.size, heights[1], side, 4 * self.size)
        x = down @ (x.double() @ across.T)
        # First to a fraction of a byte: else the last bit of a sum would say to which side a half goes.
        x = ((x * FIXED).round() / FIXED).round().clamp(0, 255).float()
        x = (x - 255.0 * self.mean) / (255.0 * self.std)
        return x.expand(-1, self.channels, -1, -1)

    def _extents(self, height: Tensor, width: Tensor) -> tuple[Extent, Extent, Tensor]:
        """Of the rows, of the columns, and the side of the square that they make."""
        if self.fit == "crop":
            side = torch.minimum(height, width)
            after = torch.where(side >= 4 * self.size, 2.0 * self.size, side)
            first = [((extent - side) / 2).floor() for extent in (height, width)]
            return (side, after, first[0]), (side, after, first[1]), after
        longer, none = torch.maximum(height, width), torch.zeros_like(height)
        small = [(2.0 * self.size / longer * extent).round().clamp(min=1) for extent in (height, width)]
        after_h, after_w = (
            torch.where(longer >= 4 * self.size, fewer, extent)
            for fewer, extent in zip(small, (height, width), strict=True)
        )
        return (height, after_h, none), (width, after_w, none), torch.maximum(after_h, after_w)


def shrunk(x: Tensor, places: Tensor, taken: Tensor, after: Tensor, first: Tensor, room: int) -> Tensor:
    """`[…, extent]` to `[…, room]`: `taken` bytes from place `first` on, averaged to `after` and rounded, then zeros.

    Pillow's box filter (libImaging/Resample.c): each mean is of the whole pixels whose centres lie in its share, by
    fixed-point weights. Where `after` is `taken`, they are copied. places: 0, 1, … of the extent.
    """
    i = torch.arange(room, dtype=torch.float64, device=x.device)[:, None]
    places, scale = places[None] - first, taken / after
    centre = (i + 0.5) * scale
    low = (centre - 0.5 * scale + 0.5).floor().clamp(min=0)
    high = torch.minimum((centre + 0.5 * scale + 0.5).floor(), taken)
    offset = (places - centre + 0.5) * (1 / scale)
    inside = (places >= low) & (places < high) & (offset > -0.5) & (offset <= 0.5) & (i < after)
    weight = (0.5 + FIXED / inside.sum(1).double().clamp(min=1)).floor()
    total = (x @ inside.float().T).double()  # sums of bytes: exact in float32 up to 65,000 of them
    return ((total * weight + FIXED / 2) / FIXED).floor().clamp(0, 255).float()


def triangle(size: int, extent: Tensor, side: Tensor, room: int) -> Tensor:
    """float64 `[size, room]`: bilinear interpolation with antialiasing of a black square of `side` to `size` places, as
    PyTorch's; in the square lie the `extent` first of `room` numbers, in the middle."""
    j = torch.arange(room, dtype=torch.float64, device=extent.device)[None]
    scale = side / size
    centre = (torch.arange(size, dtype=torch.float64, device=extent.device)[:, None] + 0.5) * scale
    near = 1 / scale.clamp(min=1)

    def weights(places: Tensor, end: Tensor) -> Tensor:
        return (1 - ((places - centre + 0.5) * near).abs()).clamp(min=0) * (j < end).double()

    first = ((side - extent) / 2).ceil()  # as Pillow, which crops from the outside
    return weights(j + first, extent) / weights(j, side).sum(1, keepdim=True)
