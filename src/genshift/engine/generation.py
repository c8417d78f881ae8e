"""What becomes of a generator: pictures over its training, and measures of what it draws."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.pixels import to_colour
from genshift.device import leads_processes
from genshift.engine import checkpoint
from genshift.engine.checkpoint import Checkpoint
from genshift.engine.domains import evaluation_split, hold_out
from genshift.engine.findings import Asked
from genshift.engine.loop import Observer
from genshift.engine.materials import open_pictures
from genshift.engine.pictures import grid, write_png
from genshift.engine.run import RunFolder
from genshift.methods import Generating, Method
from genshift.methods.vae import VAEMethod
from genshift.nets import channels
from genshift.presets import VAE, Generator, Preset

GRID, COLUMNS = 32, 8
STAGE_IMAGES = 500


def observers(run: RunFolder, preset: Generator, data_root: Path | None, skip_broken: bool = False) -> list[Observer]:
    """Who looks at a generator at each check: one writes a grid of pictures from the same noise each time into
    samples/, and, of a VAE, one keeps the latent vectors of the same held-out pictures."""
    if not leads_processes():
        return []
    watching: list[Observer] = [_grids(run)]
    held_out = held_out_pictures(preset, data_root, skip_broken) if isinstance(preset, VAE) else None
    return watching if held_out is None else [*watching, _latents(run, held_out.images[:STAGE_IMAGES])]


def _grids(run: RunFolder) -> Observer:
    def observe(images: int, method: Method) -> None:
        assert isinstance(method, Generating)
        pictures = from_normal(method).sample(GRID, seed=0)  # a mixture is fitted only to what has learnt to the end
        write_png(run.path / "samples" / f"images-{images:012d}.png", grid(pictures, COLUMNS))

    return observe


def _latents(run: RunFolder, pictures: Tensor) -> Observer:
    def observe(images: int, method: Method) -> None:
        assert isinstance(method, VAEMethod)
        path = run.path / "samples" / f"latents-{images:012d}.safetensors"
        checkpoint.save(path, Checkpoint({"latents": method.embed(pictures)}, {"images": images}))

    return observe


def from_normal(method: Generating) -> Generating:
    """The same networks, drawing from N(0, I) whatever the preset's prior."""
    plain = copy.copy(method)
    if isinstance(method, VAEMethod):
        plain.preset = replace(method.preset, prior="normal")
    return plain


# --- real pictures --------------------------------------------------------------------------------------------------


def held_out_pictures(preset: Generator, data_root: Path | None, skip_broken: bool = False) -> ImageSet | None:
    """Pictures that were not trained on, as the networks take them: the test split, else the share held out."""
    split = evaluation_split(preset.data)
    images = _open(preset, split, data_root, skip_broken)
    rows = torch.arange(len(images)) if split == "test" else hold_out(images, preset.validation)[1]
    return None if rows is None else images.take(rows)


def _open(preset: Generator, split: str, data_root: Path | None, skip_broken: bool) -> ImageSet:
    images, _ = open_pictures(preset, split, data_root, skip_broken=skip_broken)
    return replace(images, images=to_colour(images.images, "rgb" if channels(preset) == 3 else None))


def measure(
    run: RunFolder, preset: Preset, method: Method, classes: tuple[str, ...], asked: Asked
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Being written."""
    return {}, {"warnings": []}
