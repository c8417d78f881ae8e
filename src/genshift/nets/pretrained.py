"""Image models of timm (extra `timm`) as backbones, and the weights that they start from."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genshift.errors import Refusal, unknown
from genshift.paths import given_path

COUNTER = "num_batches_tracked"  # BatchNorm's, which old files lack and nothing needs


class TimmBackbone(nn.Module):
    """Pictures `[N, C, size, size]` to pooled features `[N, D]` by timm's model of that name, without its classifier.

    Its BatchNorm takes the statistics of each process alone. Raises Refusal where timm is absent, knows no such model,
    or the model takes no pictures of that side.
    """

    def __init__(self, name: str, channels: int, size: int) -> None:
        super().__init__()
        self.name, self.channels = name, channels
        self.net = _create(name, channels)
        self.features = _width(self.net, name, channels, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def start_from(self, weights: str) -> None:
        """Takes the tensors of a file, or where `weights` is "download" those that timm fetches; none for "none".

        What a file holds besides, such as its classifier, is left out. Raises Refusal where the file is absent, damaged
        or another model's, and where timm has no weights of this one or its host cannot be reached.
        """
        if weights == "none":
            return
        if weights == "download":
            try:
                given = _create(self.name, self.channels, pretrained=True).state_dict()
            except (RuntimeError, OSError) as error:
                reason = str(error).splitlines()[0]
                raise Refusal(f"timm fetched no weights of {self.name} ({reason}): give --weights FILE.") from error
        else:
            given = _read(given_path(weights))
        own = self.net.state_dict()
        unlike = [key for key, value in own.items() if COUNTER not in key and _shape(given.get(key)) != _shape(value)]
        if unlike:
            raise Refusal(
                f"--weights {weights} are not those of {self.name} for {self.channels} channel(s): {len(unlike)} of "
                f"{len(own)} tensors are absent or of another shape, '{unlike[0]}' first."
            )
        self.net.load_state_dict({key: given.get(key, value) for key, value in own.items()})


def _shape(value: Tensor | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)


def _create(name: str, channels: int, **options: Any) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision made for another build of torch
        reason = str(error).splitlines()[0]
        raise Refusal(
            f"--backbone timm:NAME needs timm, which does not import ({reason}): `pip install 'genshift[timm]'` "
            "installs it; without --backbone genshift's own is taken."
        ) from error
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models(), "timm.list_models() lists them.")
    return timm.create_model(name, num_classes=0, in_chans=channels, **options)


def _width(net: nn.Module, name: str, channels: int, size: int) -> int:
    """How many features come out: models' own word on it is not always right."""
    net.eval()
    try:
        with torch.no_grad():
            return int(net(torch.zeros(2, channels, size, size)).shape[1])
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"timm's {name} takes no pictures of {size} px ({reason}): give another --size.") from error


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; nothing in it is run."""
    if not path.is_file():
        raise Refusal(f"There is no file {path}: --weights names weights of timm's model, download, or none.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise Refusal(
            f"{path} is damaged or holds more than tensors: expected a state dict as .safetensors or .pth."
        ) from error
    held = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    return {str(key): value for key, value in held.items() if isinstance(value, Tensor)}
