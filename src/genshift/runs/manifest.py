"""The manifest of a run folder: which images the run learns from and which it holds out, written when it begins.

One safetensors file, for a million pictures are 16 MB of digests. It is never given away: it holds names of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from genshift.data.catalog import lookup
from genshift.data.manifest import Manifest, SetManifest
from genshift.errors import Refusal
from genshift.paths import given_path
from genshift.presets import Preset
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import MANIFEST, RunFolder
from genshift.runs.forms import CONFIG

P = TypeVar("P", bound=Preset)
SEPARATOR = "\0"  # between names: no file's name holds it


def write_manifest(run: RunFolder, manifest: Manifest) -> None:
    """Writes it whole."""
    tensors, about = {}, {}
    for part, known in manifest.items():
        about[part] = {"place": known.place, "count": known.count, "content": known.content, "digest": known.digest()}
        about[part] |= {"beside": known.beside} if known.beside else {}
        tensors[f"{part}/held_out"] = known.held_out
        if known.digests is not None:
            tensors[f"{part}/digests"] = known.digests
        if known.names is not None:
            names = SEPARATOR.join(known.names).encode("utf-8", "surrogateescape")
            tensors[f"{part}/names"] = torch.frombuffer(bytearray(names), dtype=torch.uint8)
    checkpoint.save(run.path / MANIFEST, Checkpoint(tensors, about))


def remembered(run: RunFolder) -> Manifest | None:
    """What the run learns from: None before it is begun, empty of a run that a genshift before 0.3 began. Refusal where
    it is damaged, or is not the one that config.json names, and for a bundle, which has none."""
    run.check_no_bundle()
    if not run.exists():
        return None  # one that lies there is of a process that was killed before it wrote config.json
    named = {part: entry["manifest"] for part, entry in run.config.get("data", {}).items() if "manifest" in entry}
    path = run.path / MANIFEST
    if not path.exists():
        if named:
            raise Refusal(f"{path} is gone: restore it; without it nobody knows which images were held out.")
        return {}
    status = path.stat()
    manifest = _read(path.absolute(), status.st_size, status.st_mtime_ns)
    if {part: known.digest() for part, known in manifest.items()} != named:
        raise Refusal(
            f"{path} is not the one that {run.path / CONFIG} names: restore it; without it nobody knows "
            "which images were held out."
        )
    return manifest


@lru_cache(maxsize=4)  # a command asks often, and of few runs
def _read(path: Path, size: int, changed: int) -> Manifest:
    """`size` and `changed` are there to be remembered by: a file that was written anew is read again."""
    stored = checkpoint.load(path)
    manifest: Manifest = {}
    for part, about in stored.about.items():
        tensors = checkpoint.under(stored.tensors, f"{part}/")
        known = _set_of(about, tensors) if isinstance(about, dict) else None
        if known is None or known.digest() != about.get("digest"):
            raise Refusal(f"{path} does not say which images '{part}' was: restore it; without it nobody knows.")
        manifest[part] = known
    return manifest


def _set_of(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SetManifest | None:
    """A set as `write_manifest` wrote it, or None where it is not so."""
    place, count, content = (about.get(key) for key in ("place", "count", "content"))
    beside = about.get("beside", "")
    held_out, digests, names = (tensors.get(key) for key in ("held_out", "digests", "names"))
    if not (isinstance(place, str) and isinstance(count, int) and isinstance(content, str) and isinstance(beside, str)):
        return None
    if digests is not None and (digests.dtype, *digests.shape) != (torch.uint8, count, 16):
        return None
    if held_out is None or held_out.dtype != torch.int64 or held_out.ndim != 1:
        return None
    if not ((held_out >= 0) & (held_out < count)).all():
        return None
    if names is None:
        return SetManifest(place, count, content, digests, held_out, beside=beside)
    if names.dtype != torch.uint8 or names.ndim != 1:
        return None
    named = tuple(bytes(names.numpy()).decode("utf-8", "surrogateescape").split(SEPARATOR))
    return SetManifest(place, count, content, digests, held_out, named, beside) if len(named) == count else None


def placed(run: RunFolder, preset: P, places: Mapping[str, str] | None = None) -> P:
    """The run's preset with its sets where they lie: at the `places` given by option (`data`, or `source` and
    `target`, and `held_out`), else where the run read them, whatever the current folder."""
    for name, place in (places or {}).items():
        if name not in preset.options():
            raise Refusal(f"{run.path} is a run of {preset.name}, which has no --{name}: leave it out.")
        if name == "held_out" and not preset.held_out:
            raise Refusal(f"{run.path} was begun without --held-out: leave it out.")
        if lookup(place) is None and not os.path.exists(given_path(place)):
            raise Refusal(f"There is nothing at --{name} {place}: name where the run's own pictures lie now.")
    # The bound learns from the target as others do from a source.
    options = {"source": "target"} if preset.method == "target" else {}
    manifest = remembered(run) or {}
    lies = {options.get(part, part): known.place for part, known in manifest.items()}
    lies.update(("held_out", known.beside) for known in manifest.values() if known.beside)
    moved = {**lies, **(places or {})}
    return preset.replaced(**{name: place for name, place in moved.items() if getattr(preset, name) != place})
