"""The features of the Inception network, in which published FID and KID are measured.

They come from torch-fidelity (extra `fid`): its ported weights, and TensorFlow's resize to 299 pixels, make figures
comparable. The distances themselves are in `frechet`, `kid` and `manifold`, the same for every kind of feature.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.dataset import DataFile
from genshift.data.download import Progress, fetch_file
from genshift.data.places import cache_root, digest
from genshift.errors import Refusal

NAME = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # pytorch-fid publishes the same file
SIZE = 95_628_359  # bytes
BATCH = 64  # images at a time: 1.5 GB


@dataclass(frozen=True)
class Inception:
    """The network as a function: uint8 [N, 1 or 3, H, W] → its 2,048 pooled features, float32 [N, 2048] on the CPU.

    published: whether its weights are the published ones, without which a figure is no FID.
    """

    network: Any
    device: torch.device
    published: bool

    def __call__(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}: expected uint8 [N, 1 or 3, H, W]")
        with torch.inference_mode():
            batches = [self.network(x.to(self.device).expand(-1, 3, -1, -1))[0].cpu() for x in images.split(BATCH)]
        return torch.cat(batches)


def load_inception(
    weights: Path | None = None,
    *,
    device: torch.device | str = "cpu",
    download: bool = False,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Inception:
    """The Inception network with weights from the file `weights`, else from genshift's cache, else downloaded.

    download: leave to fetch the published file (96 MB) into the cache; without it no host is contacted. `say` gets
    one sentence where `weights` is not the published file. Raises Refusal where torch-fidelity is absent, or the
    weights are absent, damaged or another network's.
    """
    extractor = _extractor()
    path = _weights_file(weights, download, progress)
    published = digest(path, "sha256").hex() == SHA256
    if not published:
        say(f"{path} is not the published {NAME} (its checksum differs): its figures are no FID or KID of a paper.")
    try:
        network = extractor("inception", ["2048"], feature_extractor_weights_path=_safe(path))
    except RuntimeError as error:  # what load_state_dict raises for other keys or shapes
        raise Refusal(f"{path} holds another network's weights: expected torch-fidelity's {NAME} ({URL}).") from error
    return Inception(network.to(device), torch.device(device), published)


def _extractor() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision made for another build of torch
        reason = str(error).splitlines()[0]
        raise Refusal(
            f"FID, KID, precision and recall need torch-fidelity, which does not import ({reason}): "
            f"`pip install 'genshift[fid]'` installs it, and --weights FILE names its weights ({URL})."
        ) from error
    return FeatureExtractorInceptionV3


def _weights_file(weights: Path | None, download: bool, progress: Progress | None) -> Path:
    """The file that is named, else the cache's, which is downloaded where it may be."""
    if weights is not None:
        if not weights.is_file():
            raise Refusal(f"There is no file {weights}: expected Inception's weights, {URL}.")
        return weights
    path = cache_root() / "inception" / NAME
    if not path.is_file():
        if not download:
            raise Refusal(
                f"FID, KID, precision and recall need Inception's weights, which are not on this machine: fetch {URL} "
                f"and name it with --weights FILE, or put it at {path}."
            )
        _download(path, progress)
    return path


def _download(path: Path, progress: Progress | None) -> None:
    """The published file comes to its place only once its checksum is seen."""
    unchecked = path.parent / "unchecked" / NAME
    unchecked.unlink(missing_ok=True)  # of an earlier download that was broken off
    fetch_file(URL, DataFile(NAME, None, None, SIZE, (URL,)), unchecked, progress)
    if digest(unchecked, "sha256").hex() != SHA256:
        unchecked.unlink()
        raise Refusal(f"{URL} gave bytes that are not the published {NAME}: they were thrown away.")
    os.replace(unchecked, path)
    unchecked.parent.rmdir()


def _safe(path: Path) -> io.BytesIO:
    """The file's tensors, written anew: torch-fidelity loads with a full unpickler, and sees only what we wrote."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise Refusal(f"{path} holds more than weights, or is damaged: expected {NAME} ({URL}).") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise Refusal(f"{path} is no list of weights: expected {NAME} ({URL}).")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer
