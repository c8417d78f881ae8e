"""Single real pictures, found in the user's data by their content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from genshift.data.pixels import to_colour
from genshift.errors import Refusal
from genshift.nets import channels
from genshift.presets import Pictures, Preset
from genshift.runs.trained_run import preset_of
from genshift.training.console import Console
from genshift.training.domains import evaluation_split, open_set

Wanted = tuple[Mapping[str, Any], str, set[str]]  # a run's config.json, the option that names the set, and digests


def find(
    wanted: Sequence[Wanted], data_root: Path | None, digest: Callable[[bytes], str]
) -> tuple[dict[str, bytes], list[str]]:
    """The pixels, uint8 `[H, W, C]` in bytes, of the pictures whose `digest` is wanted, as the runs' networks take
    them; and why a set could not be looked through, a sentence each."""
    found: dict[str, bytes] = {}
    refused: dict[str, None] = {}
    # Runs that read a set alike look through it once.
    asked: dict[str, tuple[Preset, str, set[str]]] = {}
    for config, option, digests in wanted:
        try:
            preset = preset_of(dict(config))
        except Refusal as refusal:
            refused[str(refusal)] = None
            continue
        reading = preset.reading("train"), channels(preset), getattr(preset, "frame", "")
        asked.setdefault(f"{getattr(preset, option, '')} {reading}", (preset, option, set()))[2].update(digests)
    for preset, option, digests in asked.values():
        try:
            with Console().phase(f"Looking for the real pictures of {getattr(preset, option)}"):
                for pixels in _pictures(preset, option, data_root):
                    if not digests:
                        break
                    if (name := digest(pixels)) in digests:
                        found[name] = pixels
                        digests.discard(name)
        except Refusal as refusal:
            refused[str(refusal)] = None
        else:
            if digests:
                refused[f"{len(digests):,} of them are not among {getattr(preset, option)} as it lies here."] = None
    return found, list(refused)


def _pictures(preset: Preset, option: str, data_root: Path | None) -> Iterator[bytes]:
    """Every picture of a set: first those that are measured on, for a sheet shows some of them."""
    place = getattr(preset, option)
    for split in dict.fromkeys((evaluation_split(place), "train")):
        images, _ = open_set(place, split, preset, data_root=data_root, labels=False, skip_broken=True)
        # As sheets show them: of two domains in colour, whatever the networks take.
        in_colour = channels(preset) == 3 if isinstance(preset, Pictures) else True
        pixels: Tensor = to_colour(images.images, "rgb" if in_colour else None)
        for picture in pixels:
            yield picture.permute(1, 2, 0).numpy().tobytes()
