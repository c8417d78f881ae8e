"""A trained run, opened once: its preset, its method over the trained networks, its classes and its configuration."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import nn
from torch.nn import functional as F

import genshift
from genshift import device, nets
from genshift.data.batches import seed_of
from genshift.data.feed import PixelNormalization
from genshift.errors import Refusal
from genshift.methods import DiffusionMethod, Method, build, networks_of
from genshift.nets.classifier import ResidualExtractor
from genshift.paths import given_path
from genshift.presets import Adaptation, Preset, Sampling, Student, class_of
from genshift.presets.base import of_kind
from genshift.presets.methods import is_known
from genshift.runs import checkpoint
from genshift.runs.checkpoint import CLEANED
from genshift.runs.features import RunFeatures
from genshift.runs.folder import RunFolder

WEAK = "weak.safetensors"  # a diffusion run's early state, among its checkpoints


@dataclass(frozen=True)
class TrainedRun:
    """What `open_run` found: `method` answers with the networks of `checkpoint`, on the device it was opened on."""

    folder: RunFolder
    config: dict[str, Any]
    preset: Preset
    method: Method
    classes: tuple[str, ...]
    checkpoint: Path


def open_run(
    run: RunFolder | Path, which: str | None = None, *, on: str = "auto", threads: int | None = None
) -> TrainedRun:
    """Opens a run; `which` is "last", "best" or by default what `genshift select` chose, else the preset's choice.

    on: the device, as `genshift.device.choose_device` takes it. threads: CPU threads. Raises Refusal where the run has
    no checkpoint or holds another network.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    config = folder.whole_config
    preset = preset_of(config)
    chosen = device.choose_device(on)
    if threads is not None:
        device.prepare_process(threads, chosen)
    # The arithmetic that it was trained in, where this is the same kind of machine.
    precision = config["precision"] if chosen.type == config["device"] else preset.precision
    method = build_method(preset, len(config["classes"]), device.choose_arithmetic(precision, chosen), seed=0)
    method.kept = RunFeatures(folder.path)
    path = (None if which else folder.selected()) or folder.chosen(which or preset.select)
    load_networks(method, path, config["images"])
    return TrainedRun(folder, config, preset, method, tuple(config["classes"]), path)


def preset_of(config: dict[str, Any]) -> Preset:
    """The preset that config.json describes; Refusal where it does not fit this version, or its method is not here."""
    if _version(str(config.get("genshift", ""))) > _version(genshift.__version__):
        raise Refusal(
            f"This run was made by genshift {config['genshift']}, which is newer than this {genshift.__version__}: "
            "install that version."
        )
    stored = config["preset"]
    _check_method(stored)
    try:
        # Runs of 0.1 and before know one family alone, and all call the method a role.
        family = class_of(stored.get("family", "adaptation"), stored["networks"], stored["role"])
        plain = {key: stored[key] for key in ("name", "study", "networks", "origins", "published")}
        if extra := ", ".join(sorted(set(stored["fields"]) - {f.name for f in dataclasses.fields(family)})):
            raise Refusal(f"config.json has fields unknown to genshift {genshift.__version__}: {extra}.")
        kinds = get_type_hints(family)
        fields = {name: _of_kind(kinds[name], name, value) for name, value in stored["fields"].items()}
        # Runs of 0.2 and before took 16 bits as they are, asked for no depth, and knew one rule of pixels and one rate.
        before = {"depth": 16, "pixels": "preset", "backbone_rate": 1.0}
        before = {name: value for name, value in before.items() if name in kinds}
        return family(method=stored["role"], **plain, **{**before, **fields}).checked()
    except (KeyError, TypeError) as error:
        raise Refusal(f"config.json describes no preset ({error}): restore it, or name another run folder.") from None


def _of_kind(kind: Any, name: str, value: Any) -> Any:
    """As the command line takes an option; the Refusal says that it stands in the file."""
    try:
        return of_kind(kind, name, value)
    except Refusal as refusal:
        reason = str(refusal).rstrip(".")
        raise Refusal(f"config.json is not right ({reason}): restore it, or name another run folder.") from None


def _check_method(stored: dict[str, Any]) -> None:
    """Refuses a run of a method that came from outside the package and is not here now."""
    name = stored.get("role")
    if stored.get("family", Adaptation.family) == Adaptation.family and isinstance(name, str) and not is_known(name):
        raise Refusal(
            f"This run was trained by the method '{name}', which is not part of genshift {genshift.__version__}: "
            "install its plugin, or name its file by --plugin FILE."
        )


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version, to compare by; none where there are none."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def build_method(preset: Preset, classes: int, arithmetic: device.Arithmetic, seed: int) -> Method:
    """The method over freshly initialised networks, a function of the seed."""
    torch.manual_seed(seed_of("networks", seed) % 2**63)
    networks = networks_of(preset, classes)
    for net in networks.values():
        net.to(arithmetic.device, arithmetic.dtype)
        for parameter in net.parameters():
            if parameter.dim() == 4:  # convolutions' kernels
                parameter.data = _laid_out(parameter.data, arithmetic.memory_format)
    rule = PixelNormalization(preset.mean, preset.std, nets.channels(preset))
    return build(preset, networks, classes, rule, arithmetic)


def _laid_out(kernel: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    """The kernel in a memory format, with its very strides: of one pixel, or one channel, both formats are the same
    memory, so `contiguous` leaves the strides, and then its gradients have others, which DistributedDataParallel copies
    at every step, and warns of."""
    return torch.empty_like(kernel, memory_format=memory_format).copy_(kernel)


def load_networks(method: Method, path: Path, most: float = math.inf) -> None:
    """Puts a checkpoint's networks, or their moving average, into the method; Refusal where they are others, or it says
    to have seen over `most` images."""
    state = checkpoint.load(path)
    checkpoint.images_seen(state.about, path, most)
    expected = checkpoint.pack_networks(method.networks)
    # What a training continues from has both; all else is saved as it answers.
    if path.stem.startswith("images-") and method.preset.ema_half_life and not state.about.get(CLEANED):
        expected |= {checkpoint.averaged(name): tensor for name, tensor in expected.items()}
    held = {name: tensor for name, tensor in state.tensors.items() if not name.startswith("optimizer/")}
    checkpoint.check_tensors(held, expected, path)
    checkpoint.unpack_networks(checkpoint.answering_networks(held), method.networks, path)


def feature_maps(path: Path, rule: PixelNormalization) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """The feature maps of a trained classifier's run, frozen, for pictures in another method's pixel `rule`.

    Raises Refusal where the run is no classifier that genshift's own networks make up.
    """
    run = open_run(path)
    preset, arithmetic = run.preset, run.method.arithmetic
    extractor = run.method.networks.get("extractor")
    if not isinstance(extractor, ResidualExtractor):
        raise Refusal(f"--features {path} is a run of {preset.name}: name one of faces-attributes, or of its kind.")
    extractor.eval().requires_grad_(False)

    def maps(x: torch.Tensor) -> list[torch.Tensor]:
        pixels = x * rule.std + rule.mean
        if pixels.shape[-1] != preset.size:
            pixels = F.interpolate(pixels, size=(preset.size, preset.size), mode="bilinear", antialias=True)
        with arithmetic.autocast():
            return extractor.maps((pixels - preset.mean) / preset.std)

    return maps


def load_weak(run: RunFolder, method: DiffusionMethod) -> nn.Module:
    """The kept network, to be evaluated alone; Refusal where the run kept none, or another run's."""
    path = run.checkpoints / WEAK
    if not path.is_file():
        raise Refusal(f"{run.path} kept no early state to guide away from: give --guide unconditional, or train anew.")
    weak = copy.deepcopy(method.networks["unet"]).eval().requires_grad_(False)
    checkpoint.unpack_networks(checkpoint.load(path).tensors, {"unet": weak}, path)
    return weak


def open_teacher(preset: Preset, rule: PixelNormalization) -> Any:
    """What a method whose preset has a `teacher` learns by: a diffusion model as its student knows it, or a
    classifier's feature maps. Refusal where the run is no such, or not what it was when the student was begun."""
    if not isinstance(preset, Student):
        return feature_maps(given_path(preset.teacher), rule)
    teacher = drawing_as(RunFolder(given_path(preset.teacher)), preset.folded)
    if weights_digest(teacher) != preset.teacher_weights:
        raise Refusal(f"{preset.teacher} is not what its student was begun with: restore it, or name another --out.")
    return teacher


def drawing_as(run: RunFolder, sampling: Sampling) -> DiffusionMethod:
    """A diffusion run's method that draws so, with the run's early state where that guides; Refusal where it kept
    none."""
    method = open_run(run).method
    assert isinstance(method, DiffusionMethod)
    method.sampling = sampling
    method.weak = load_weak(run, method) if sampling.by_weak else None
    return method


def weights_digest(method: DiffusionMethod) -> str:
    """Sixteen hexadecimal digits of the weights that a diffusion model draws with."""
    digest = hashlib.sha256()
    for net in (method.networks["unet"], *([method.weak] if method.weak is not None else [])):
        for name, tensor in sorted(net.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
