"""A tiny run of each family for tests of the studio, and what its actions answer."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from PIL import Image

from genshift.studio.actions import answer
from genshift.studio.workshop import Workshop

FAMILIES = ("classifier", "dann", "diffusion", "gan", "source", "vae")


def write_runs(root: Path, domains: tuple[Path, Path], faces: Path) -> Path:
    """A run of each family below `root`, and one without its config.json's end."""
    small = {"width": 8, "size": 16}
    tiny.train(tiny.tiny("demo-source", domains), root / "source")
    tiny.train(tiny.tiny("demo-dann", domains), root / "dann")
    tiny.train(tiny.of_pictures("digits-classifier", domains[0], width=8), root / "classifier")
    tiny.train(tiny.of_pictures("digits-diffusion", domains[0], **small), root / "diffusion")
    tiny.train(tiny.of_pictures("faces-vae", faces, latent=4, prior="normal", **small), root / "vae")
    tiny.train(tiny.of_pictures("faces-gan", faces, latent=4, **small), root / "gan")
    broken = root / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((root / "gan" / "config.json").read_text()[:100])
    return root


def told(workshop: Workshop, action: str, **asked: Any) -> Any:
    """What an action answers, as the page gets it: one answer, or a list of several."""
    found = answer(workshop, action, json.dumps(asked).encode())
    whole = found if isinstance(found, Mapping | list) else list(found)
    return json.loads(json.dumps(whole, allow_nan=False))


def pixels(address: str) -> torch.Tensor:
    """uint8 `[C, H, W]` of a picture's data address."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def in_base64(picture: torch.Tensor | Image.Image) -> str:
    """A PNG of a uint8 picture `[C, H, W]`, as the page sends it."""
    if isinstance(picture, torch.Tensor):
        array = picture.permute(1, 2, 0).numpy()
        picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def tree(root: Path) -> dict[str, bytes]:
    """All files below a folder, with what they hold."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
