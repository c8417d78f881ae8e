"""The manifest of a run folder: which images the run learns from and which it holds out, written when it begins.

One safetensors file, for a million pictures are 16 MB of digests. It is never given away: it holds names of files.
"""

from __future__ import annotations

import torch

from genshift.data.manifest import Manifest, SetManifest
from genshift.errors import Refusal
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import MANIFEST, RunFolder

SEPARATOR = "\0"  # between names: no file's name holds it


def write_manifest(run: RunFolder, manifest: Manifest) -> None:
    """Writes it whole."""
    tensors, about = {}, {}
    for part, known in manifest.items():
        about[part] = {"place": known.place, "count": known.count, "content": known.content, "digest": known.digest()}
        tensors[f"{part}/held_out"] = known.held_out
        if known.digests is not None:
            tensors[f"{part}/digests"] = known.digests
        if known.names is not None:
            names = SEPARATOR.join(known.names).encode("utf-8", "surrogateescape")
            tensors[f"{part}/names"] = torch.frombuffer(bytearray(names), dtype=torch.uint8)
    checkpoint.save(run.path / MANIFEST, Checkpoint(tensors, about))


def read_manifest(run: RunFolder) -> Manifest:
    """What the run learns from; empty of a run that a genshift before 0.3 began. Refusal where it is damaged."""
    path = run.path / MANIFEST
    if not path.exists():
        return {}
    stored = checkpoint.load(path)
    manifest: Manifest = {}
    for part, about in stored.about.items():
        held_out, digests = (stored.tensors.get(f"{part}/{key}") for key in ("held_out", "digests"))
        names = stored.tensors.get(f"{part}/names")
        known = None
        if isinstance(about, dict) and held_out is not None and held_out.dtype == torch.int64:
            place, count, content = (about.get(key) for key in ("place", "count", "content"))
            fits = isinstance(place, str) and isinstance(count, int) and isinstance(content, str)
            if fits and (digests is None or (digests.dtype, *digests.shape) == (torch.uint8, count, 16)):
                text = None if names is None else bytes(names.numpy()).decode("utf-8", "surrogateescape")
                split = None if text is None else tuple(text.split(SEPARATOR))
                known = SetManifest(place, count, content, digests, held_out, split)
        in_range = known is not None and bool(((known.held_out >= 0) & (known.held_out < known.count)).all())
        if known is None or not in_range or known.digest() != about.get("digest"):
            raise Refusal(f"{path} does not say which images '{part}' was: restore it; without it nobody knows.")
        manifest[part] = known
    return manifest
