"""Target pictures as a person is to see them: whole, and as large as their files have them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from genshift.data.catalog import lookup
from genshift.data.dataset import Decoding
from genshift.data.files import open_files
from genshift.data.pixels import BROKEN, decode, unheard_pillow
from genshift.errors import Refusal
from genshift.evaluation.labels import Target
from genshift.paths import given_path
from genshift.presets import Adaptation

LARGEST = 480  # pixels of a side
SMALL = 96  # pixels of a side up to which each is to be seen


def shown(preset: Adaptation, target: Target, rows: list[int]) -> Iterator[tuple[str, bytes, bool]]:
    """Of these rows of the target the name, a PNG or JPEG, and whether it is small: of a user's files whole and
    upright, at most 480 pixels long; of a set's as the run sees them. Refusal where a file cannot be read any more."""
    path = given_path(preset.target)
    own = lookup(preset.target) is None and target.images.digests is not None
    files = open_files(path.parent if path.suffix.lower() == ".csv" else path, skip_broken=True) if own else None
    decoding = Decoding(preset.fit, preset.background, preset.depth)
    for row in rows:
        name = target.names[row]
        if files is None:
            pixels = target.images.images[row].permute(1, 2, 0).numpy()
        else:
            try:
                with unheard_pillow():
                    pixels = decode(files.read(name), decoding=decoding).pixels.transpose(1, 2, 0)
            except BROKEN as error:
                raise Refusal(f"{Path(files.path) / name} cannot be read any more ({error}): restore it.") from error
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        small = max(picture.size) <= SMALL
        picture.thumbnail((LARGEST, LARGEST))
        file = io.BytesIO()
        picture.save(file, "PNG") if small else picture.save(file, "JPEG", quality=90)
        yield name, file.getvalue(), small
