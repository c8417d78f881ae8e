"""What all arms of a task have in common: networks, pictures and batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from genshift import device, presets
from genshift.data import load
from genshift.data.imageset import ImageSet
from genshift.methods import Method
from genshift.nets import layers
from genshift.runs.trained_run import build_method

CLASSES = 10
SEED = 0
# Nothing is moved or made strong: augmentation is a choice of each method's, and costs time that is no peer's.
_STILL = {"strong": 0.0, "rotate": 0.0, "shift": 0.0, "scale": 0.0}
_REVERSED = {"adversary": "reversal", "statistics": "apart", "lam": 1.0, "lam_schedule": "constant"}


@dataclass(frozen=True)
class Task:
    """A preset, what of it is changed so that every arm computes the same, and who does it."""

    name: str
    title: str
    family: str
    arms: tuple[str, ...]
    preset: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int = 10  # a measurement of training takes so many, after a few that warm up
    drawn: int = 0  # pictures drawn, where that is measured

    def preset_now(self) -> Any:
        """The preset with its changes."""
        return replace(presets.get(self.preset), **self.changes)


_DANN = ("plain", "genshift", "pytorch-adapt", "skada")
_DENOISERS = (
    "plain", "plain-bfloat16", "genshift", "diffusers", "diffusers-bfloat16", "denoising-diffusion-pytorch",
    "denoising-diffusion-pytorch-bfloat16",
)  # fmt: skip
TASKS = {
    task.name: task
    for task in (
        Task("dann-hw2", "DANN, hw2's networks", "adaptation", _DANN, "hw2-dann-mnistm-svhn", _REVERSED),
        Task("dann-hw3", "DANN, hw3's networks", "adaptation", _DANN, "hw3-dann-mnistm-svhn",
             {**_REVERSED, "colour": "rgb"}, steps=5),
        Task("cdan", "CDAN+E, our backbone", "adaptation", ("genshift", "pytorch-adapt", "skada"), "cdan-mnistm-svhn",
             {**_STILL, "lam_schedule": "constant"}),
        Task("mcc", "MCC, our backbone", "adaptation", ("genshift", "pytorch-adapt", "skada"), "mcc-mnistm-svhn",
             _STILL),
        Task("adda", "ADDA (its second phase), our backbone", "adaptation", ("genshift", "pytorch-adapt"),
             "adda-mnistm-svhn", _STILL),
        Task("digits-unet", "diffusion, digits-diffusion's U-Net", "diffusion", _DENOISERS, "digits-diffusion",
             drawn=50),
        Task("hw2-unet", "diffusion, hw2's U-Net", "diffusion", _DENOISERS, "hw2-diffusion", {"skip": 0.0}, steps=3,
             drawn=50),
        Task("hw3-vae", "VAE, hw3's networks", "vae", ("plain", "genshift", "pythae"), "hw3-vae", {"flip": 0.0},
             drawn=500),
        Task("frechet", "Fréchet distance of given features", "measures", ("genshift", "torch-fidelity")),
        Task("kid", "KID of given features", "measures", ("genshift", "torch-fidelity")),
        Task("precision-recall", "precision and recall of given features", "measures", ("genshift", "torch-fidelity")),
        Task("t-sne", "t-SNE of given features", "measures", ("genshift", "scikit-learn")),
    )
}  # fmt: skip


def measurements(task: Task) -> tuple[str, ...]:
    """What is measured of a task, in the order of a round."""
    if task.family == "measures":
        return ("evaluate",)
    return ("train", "epoch", "draw") if task.drawn else ("train", "epoch")


def batch_of(task: Task) -> dict[str, int]:
    """Images a step by the name of the set that they come from; progress is counted in the first."""
    if task.family == "measures":
        return {}
    preset = task.preset_now()
    if task.family == "adaptation":
        return {"source": preset.batch_source, "target": preset.batch_target}
    return {"data": preset.batch}


# --- networks ---------------------------------------------------------------------------------------------------------


def method_of(task: Task, precision: str = "auto") -> Method:
    """genshift's method over the task's networks: the same weights whoever asks."""
    arithmetic = device.choose_arithmetic(precision, torch.device("cpu"))
    preset = task.preset_now()
    classes = CLASSES if task.family == "adaptation" or preset.condition == "classes" else 0
    method = build_method(preset, classes, arithmetic, SEED)
    for net in method.networks.values():
        _wake(net)
    return method


@torch.no_grad()
def _wake(net: nn.Module) -> None:
    """Gives weights that begin at zero small values: answers of zeros would agree whatever two arms compute."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in net.parameters():
        if parameter.dim() > 1 and not parameter.any():
            parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))


def plain_networks(task: Task) -> dict[str, nn.Module]:
    """The same networks, weights included, over PyTorch's own layers, in float32 and NCHW."""
    networks = method_of(task, "float32").networks
    own = {
        layers.Conv2d: nn.Conv2d,
        layers.ConvTranspose2d: nn.ConvTranspose2d,
        layers.BatchNorm1d: nn.BatchNorm1d,
        layers.BatchNorm2d: nn.BatchNorm2d,
        layers.DomainBatchNorm2d: nn.BatchNorm2d,  # its source's statistics stay buffers that nobody reads
    }
    for net in networks.values():
        for module in net.modules():
            module.__class__ = own.get(type(module), module.__class__)
        net.train()
    return networks


# --- pictures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures: in memory, or as PNG files in class folders, which are read once when they are asked for."""

    labels: np.ndarray
    array: np.ndarray | None = None  # uint8 [N, side, side, 3]
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def files(self) -> list[Path]:
        """The picture files, in the order of `labels`."""
        assert self.folder is not None
        return [self.folder / str(label) / f"{number:06d}.png" for number, label in enumerate(self.labels)]

    def bytes(self) -> np.ndarray:
        """uint8 `[N, side, side, 3]`."""
        if self.array is not None:
            return self.array
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in self.files()])

    def floats(self, preset: Any) -> Tensor:
        """float32 `[N, 3, side, side]`, normalised as the preset is: what a peer is given that takes tensors."""
        x = torch.from_numpy(self.bytes()).permute(0, 3, 1, 2).float().div(255)
        return ((x - preset.mean) / preset.std).contiguous()

    def images(self, name: str) -> ImageSet:
        """As genshift holds them; files are read by genshift's own reader of folders."""
        if self.folder is not None:
            return load(self.folder)
        pixels = torch.from_numpy(self.bytes()).permute(0, 3, 1, 2)
        classes = tuple(str(number) for number in range(CLASSES))
        return ImageSet(name, pixels.contiguous(), torch.from_numpy(self.labels), classes=classes)


def synthetic(name: str, count: int, side: int) -> Pictures:
    """Smooth coloured spots, which a PNG file holds about as well as photographs; the same for the same name."""
    generator = np.random.default_rng(sum(name.encode()))
    coarse = generator.integers(0, 256, (count, 7, 7, 3), np.uint8)
    smooth = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in coarse]
    return Pictures(generator.integers(0, CLASSES, count), np.stack([np.asarray(one) for one in smooth]))


def pictures_of(task: Task, name: str, count: int, folder: Path | None) -> Pictures:
    """The pictures of a task by the name that its method draws them by; where there is a folder, its files."""
    side = task.preset_now().size
    made = synthetic(name, count, side)
    return made if folder is None else replace(made, array=None, folder=folder / f"{name}-{side}-{count}")


def write_pictures(task: Task, name: str, count: int, folder: Path) -> None:
    """Writes them as files, unless they are there."""
    place = folder / f"{name}-{task.preset_now().size}-{count}"
    whole = folder / f"{place.name}.whole"
    if whole.exists():
        return
    made = synthetic(name, count, task.preset_now().size)
    for label in range(CLASSES):
        (place / str(label)).mkdir(parents=True, exist_ok=True)
    assert made.array is not None
    for path, array in zip(replace(made, folder=place).files(), made.array, strict=True):
        Image.fromarray(array).save(path)
    whole.touch()
