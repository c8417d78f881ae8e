"""Pictures between a browser and a run: uploaded ones stay in memory, drawn ones are sent inside the answer."""

from __future__ import annotations

import base64
import binascii
import io
import math

import torch
from PIL import Image
from torch import Tensor

from genshift.data.pixels import BROKEN, head_of, unheard_pillow
from genshift.errors import Refusal

MOST_BYTES = 32 * 2**20  # of an uploaded file
MOST_PIXELS = 60_000_000  # of an uploaded picture: above what nearly every camera takes


def uploaded(text: str) -> bytes:
    """A picture's file from base64; Refusal where it is none, or too large, before it is decoded."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refusal("The picture did not arrive whole: give it again.") from None
    if len(data) > MOST_BYTES:
        raise Refusal(
            f"The picture's file has {len(data):,} bytes: at most {MOST_BYTES:,} are taken; give a smaller one."
        )
    try:
        with unheard_pillow():
            head = head_of(data)
    except BROKEN as error:
        raise Refusal(f"What was given is no picture that can be read ({error}): give a PNG, JPEG or WebP.") from error
    if head.width * head.height > MOST_PIXELS:
        pixels = f"{head.width:,} × {head.height:,} pixels"
        raise Refusal(f"The picture has {pixels}, and at most {MOST_PIXELS:,} in all are taken: give a smaller one.")
    return data


def png(image: Tensor) -> str:
    """A uint8 picture `[1 or 3, H, W]` as a PNG that a page can show."""
    return _address(_pil(image), "PNG")


def sheet(images: Tensor) -> str:
    """uint8 `[N, C, H, W]` as one WebP without gaps, in rows of ⌈√N⌉ pictures."""
    count, channels, height, width = images.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, -(-count // columns))
    whole = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    whole[:count] = images.cpu()
    laid = whole.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    return _address(_pil(laid), "WEBP")


def _pil(image: Tensor) -> Image.Image:
    array = image.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _address(picture: Image.Image, form: str) -> str:
    file = io.BytesIO()
    picture.save(file, form, **({"quality": 85, "method": 2} if form == "WEBP" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
