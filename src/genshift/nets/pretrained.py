"""Backbones with published weights: SqueezeNet, our own build; image models of torchvision and of timm (extras).

Each takes pictures as its weights learnt them: pixels less the model's own mean, over its own deviation.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genshift.data.dataset import DataFile
from genshift.data.download import fetch_file
from genshift.data.places import cache_root, digest
from genshift.errors import Refusal, unknown
from genshift.nets.layers import BatchNorm1d, DomainBatchNorm1d, DomainBatchNorm2d
from genshift.nets.squeezenet import VERSIONS, SqueezeNet
from genshift.paths import given_path
from genshift.presets.benchmark import TIMM, TORCHVISION

COUNTER = "num_batches_tracked"  # BatchNorm's, which old files lack and nothing needs
# ImageNet's, by which torchvision's and most of timm's models were trained.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# torchvision's files; their names hold the first eight hex digits of their SHA-256, as torch.hub checks them.
HOST = "https://download.pytorch.org/models"
FILES = {"squeezenet1_0": "squeezenet1_0-b66bff10.pth", "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth"}
LARGEST = 8 * 2**20  # bytes of such a file: they have 5 MB
# Where torchvision's models keep the classifier that is taken off: the last linear layer below one of these.
HEADS = ("fc", "classifier", "head", "heads")


class PretrainedBackbone(nn.Module):
    """Pictures `[N, C, size, size]` of pixels (p - mean)/std, `pixels` being both, to pooled features `[N, D]`, by the
    model `name` ("squeezenet1_1", "torchvision:NAME", "timm:NAME") without its classifier.

    Pixels are brought to the model's own mean and deviation; they are taken as they are where `pixels` is None.

    Normalisation: the model's own BatchNorm takes the statistics of each process alone; `apart`, each domain's own
    running ones (`DomainBatchNorm2d`, from where the weights have them). A model without any, and every model where
    `apart`, gets one of its features: per domain where `apart`, else of all that pass.

    Raises Refusal where its package is absent, knows no such model, or the model takes no pictures of that side.
    """

    shift: Tensor
    gain: Tensor

    def __init__(
        self,
        name: str,
        channels: int,
        size: int,
        pixels: tuple[float, float] | None = (0.5, 0.5),
        apart: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.channels = name, channels
        self.net, of_model = _make(name, channels)
        colours = channels if name.startswith(TIMM) else 3  # that the model takes: grey is repeated
        # From the preset's pixels to the model's: x·gain + shift.
        mean, std = pixels or (0.0, 1.0)
        own_mean, own_std = of_model if of_model and pixels else ((mean,) * colours, (std,) * colours)
        gain = torch.tensor([std / s for s in own_std])
        shift = torch.tensor([(mean - m) / s for m, s in zip(own_mean, own_std, strict=True)])
        self.register_buffer("gain", gain.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, -1, 1, 1), persistent=False)
        self.features = _width(self, size)
        normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.net.modules())
        if apart:
            _keep_apart(self.net, name)
        self.norm: BatchNorm1d | None = None
        if apart or not normalised:
            self.norm = (DomainBatchNorm1d if apart else BatchNorm1d)(self.features)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalised(self.raw(x))

    def raw(self, x: Tensor) -> Tensor:
        """The model's own features `[N, D]`."""
        x = x * self.gain.to(x.dtype) + self.shift.to(x.dtype)  # of grey pictures, three channels
        return self.net(x)

    def normalised(self, features: Tensor) -> Tensor:
        """Those features as `forward` gives them."""
        return features if self.norm is None else self.norm(features.to(self.norm.running_mean))

    def start_from(self, weights: str) -> None:
        """Takes the tensors of a file, or where `weights` is "download" the published ones; none for "none".

        What a file holds besides, such as its classifier, is left out. Raises Refusal where the file is absent, damaged
        or another model's, and where no weights are published or their host cannot be reached.
        """
        if weights == "none":
            return
        given = _downloaded(self.name, self.channels) if weights == "download" else read_weights(given_path(weights))
        own = self.net.state_dict()
        given = {key: given[_published(key)] for key in own if _published(key) in given}
        unlike = [key for key, value in own.items() if COUNTER not in key and _shape(given.get(key)) != _shape(value)]
        if unlike:
            raise Refusal(
                f"--weights {weights} are not those of {self.name} for {self.channels} channel(s): {len(unlike)} of "
                f"{len(own)} tensors are absent or of another shape, '{unlike[0]}' first."
            )
        self.net.load_state_dict({**own, **given})


def squeezenet_of(weights: Mapping[str, Tensor]) -> str | None:
    """The version of SqueezeNet that a state dict is of; None where it is another network's."""
    first = _shape(weights.get("features.0.weight"))
    return next((name for name, (width, k, _) in VERSIONS.items() if first == (width, 3, k, k)), None)


def _published(key: str) -> str:
    """The name in a published file of what the source's own statistics start from."""
    return key.replace("source_mean", "running_mean").replace("source_var", "running_var")


def _shape(value: Tensor | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)


def _keep_apart(net: nn.Module, name: str) -> None:
    """Gives the model's BatchNorm running statistics for each domain; Refusal where it is of a kind of its own."""
    for place, layer in list(net.named_modules()):
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if type(layer) is not nn.BatchNorm2d:
            raise Refusal(
                f"{name} normalises by {type(layer).__name__}, which keeps no statistics for each domain: give "
                "--statistics apart or mixed, or another backbone."
            )
        own = DomainBatchNorm2d(layer.num_features, eps=layer.eps, momentum=layer.momentum)
        own.load_state_dict({key: layer.state_dict()[_published(key)] for key in own.state_dict()})
        net.set_submodule(place, own)


# --- the models -----------------------------------------------------------------------------------------------------


def _make(name: str, channels: int) -> tuple[nn.Module, tuple[Sequence[float], Sequence[float]] | None]:
    """The model without its classifier; and the mean and deviation of its pixels, a channel each, where it has some."""
    if name.startswith(TIMM):
        net = _timm(name.removeprefix(TIMM), channels)
        told = getattr(net, "pretrained_cfg", None) or {}
        fits = channels == len(told.get("mean", ()))
        return net, (told["mean"], told["std"]) if fits else None
    if name.startswith(TORCHVISION):
        return _torchvision(name.removeprefix(TORCHVISION)), (IMAGENET_MEAN, IMAGENET_STD)
    return SqueezeNet(name), (IMAGENET_MEAN, IMAGENET_STD)


def _package(package: str) -> Any:
    """timm or torchvision; Refusal that says how to install it where it does not import."""
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision made for another build of torch
        reason = str(error).splitlines()[0]
        raise Refusal(
            f"--backbone {package}:NAME needs {package}, which does not import ({reason}): `pip install "
            f"'genshift[{'timm' if package == 'timm' else 'fid'}]'` installs it; --backbone squeezenet1_1 needs none."
        ) from error


def _timm(name: str, channels: int, **options: Any) -> nn.Module:
    timm = _package("timm")
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models(), "timm.list_models() lists them.")
    return timm.create_model(name, num_classes=0, in_chans=channels, **options)


def _torchvision(name: str) -> nn.Module:
    models = _package("torchvision").models
    if name not in models.list_models(module=models):
        raise unknown("torchvision model", name, models.list_models(module=models))
    options = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    net = models.get_model(name, weights=None, **options)
    heads = [place for place, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    last = heads[-1] if heads and heads[-1].partition(".")[0] in HEADS else None
    if last is None:
        raise Refusal(f"torchvision's {name} ends in no linear classifier: name another model, or one of timm's.")
    net.set_submodule(last, nn.Identity())
    return net


def _width(backbone: PretrainedBackbone, size: int) -> int:
    """How many features come out: models' own word on it is not always right."""
    backbone.eval()
    try:
        with torch.no_grad():
            return int(backbone.raw(torch.zeros(2, backbone.channels, size, size)).shape[1])
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"{backbone.name} takes no pictures of {size} px ({reason}): give another --size.") from error


# --- their weights --------------------------------------------------------------------------------------------------


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; nothing in it is run. Refusal where it is absent, damaged or holds code."""
    if not path.is_file():
        raise Refusal(f"There is no file {path}: --weights names a backbone's weights, download, or none.")
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


def _downloaded(name: str, channels: int) -> Mapping[str, Tensor]:
    """The published weights of a model, from the cache where they were fetched before."""
    if name in FILES:
        return read_weights(_fetched(FILES[name]))
    short = name.partition(":")[2]
    try:
        if name.startswith(TIMM):
            return _timm(short, channels, pretrained=True).state_dict()
        return _package("torchvision").models.get_model_weights(short).DEFAULT.get_state_dict(check_hash=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"No weights of {name} were fetched ({reason}): give --weights FILE.") from error


def _fetched(file: str) -> Path:
    """The published file in the cache, fetched where it is not there; it comes to its place once its digest is seen."""
    path = cache_root() / "backbones" / file
    if path.is_file():
        return path
    url = f"{HOST}/{file}"
    unchecked = path.parent / "unchecked" / file
    unchecked.unlink(missing_ok=True)  # of an earlier download that was broken off
    fetch_file(url, DataFile(file, None, None, LARGEST, (url,)), unchecked, None)
    if not digest(unchecked, "sha256").hex().startswith(path.stem.rpartition("-")[2]):
        unchecked.unlink()
        raise Refusal(f"{url} gave bytes that are not the published {file}: they were thrown away.")
    os.replace(unchecked, path)
    unchecked.parent.rmdir()
    return path
