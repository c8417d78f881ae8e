"""Features that a run computed once, by the contents of the pictures: features.safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import FEATURES

CONTENT = 16  # bytes of a picture's content


class RunFeatures:
    """The file of a run folder, as `genshift.methods.base.KeptFeatures`. It is a cache: without it, or where it is of
    other weights, features are computed anew."""

    def __init__(self, folder: Path, writes: bool = False) -> None:
        self.path, self.writes = folder / FEATURES, writes

    def read(self, weights: str) -> dict[bytes, Tensor]:
        """Features float32 `[D]` by content; Refusal where the file is damaged or not what `write` wrote."""
        if not self.path.is_file() or checkpoint.about(self.path).get("weights") != weights:
            return {}
        tensors = checkpoint.load(self.path).tensors
        contents, features = (tensors.get(name, torch.empty(0)) for name in ("contents", "features"))
        right = contents.dtype == torch.uint8 and features.dtype == torch.float32 and features.ndim == 2
        if not right or contents.shape != (len(features), CONTENT) or not checkpoint.is_finite(features):
            raise checkpoint.lie(self.path, "features", tuple(features.shape), "a finite row for each content")
        return dict(zip((row.tobytes() for row in contents.numpy()), features, strict=True))

    def write(self, weights: str, features: Mapping[bytes, Tensor]) -> None:
        """Writes the file whole."""
        if not self.writes:
            return
        contents = torch.frombuffer(bytearray(b"".join(features)), dtype=torch.uint8).view(-1, CONTENT)
        tensors = {"contents": contents, "features": torch.stack(list(features.values()))}
        checkpoint.save(self.path, Checkpoint(tensors, {"weights": weights}))
