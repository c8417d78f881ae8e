"""Many pictures in one, and PNG files."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genshift.errors import Refusal
from genshift.runs.files import write_whole
from genshift.runs.forms import GAP

WHITE = 255


def grid(images: Tensor, columns: int) -> Tensor:
    """uint8 `[N, C, H, W]` as one uint8 picture `[C, H', W']`, row by row, with white gaps of two pixels."""
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = (channels, rows * (height + GAP) + GAP, columns * (width + GAP) + GAP)
    sheet = torch.full(shape, WHITE, dtype=torch.uint8)
    for number, image in enumerate(images):
        top, left = (
            GAP + place * (side + GAP) for place, side in zip(divmod(number, columns), (height, width), strict=True)
        )
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def pictures_of(sheet: Tensor, side: int, columns: int, count: int, origin: Path) -> Tensor:
    """The pictures, uint8 `[count, C, side, side]`, of a `grid` read from `origin`; Refusal where it has other ones."""
    step, rows = side + GAP, -(-count // columns)
    if sheet.shape[1:] != (rows * step + GAP, columns * step + GAP):
        raise Refusal(f"{origin} is no grid of {count} pictures of {side} px: move it away, and evaluate again.")
    places = [divmod(number, columns) for number in range(count)]
    corners = [(GAP + row * step, GAP + column * step) for row, column in places]
    return torch.stack([sheet[:, top : top + side, left : left + side] for top, left in corners])


def write_png(path: Path, image: Tensor) -> None:
    """Writes a uint8 picture `[1 or 3, H, W]` as PNG, whole."""
    array = image.permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    write_whole(path, lambda temporary: picture.save(temporary, "PNG"), among_many=True)
