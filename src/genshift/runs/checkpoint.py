"""Checkpoints: one safetensors file each, with its JSON in the header, so that state and description cannot part."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genshift.errors import Refusal, of_os_error
from genshift.runs.files import write_whole
from genshift.runs.folder import images_of

CLEANED = "cleaned"  # of a checkpoint's description: it holds networks alone
# Never "delete": what does not read here may be whole, for another user or a newer version.
ASIDE = (
    "copy it again from where it is whole, or move it out of the folder, and the same training command continues from "
    "the checkpoint before it"
)


@dataclass
class Checkpoint:
    """Tensors under flat names, and what describes them (images seen, score, …)."""

    tensors: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint whole; Refusal where the disk will not take it, the older ones untouched."""
    tensors = {name: t.detach().contiguous().cpu() for name, t in checkpoint.tensors.items()}
    header = {"genshift": json.dumps(checkpoint.about)}
    try:
        write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=header))
    except SafetensorError as error:
        full = "No space left" in str(error) or "StorageFull" in str(error)
        reason = "the disk is full; free some room and run the same command again" if full else str(error)
        raise Refusal(f"Stopped while writing {path}: {reason}.") from error


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Reads a checkpoint; Refusal where the file is missing, may not be read, is damaged or not one of ours."""
    return _read(path, device, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def about(path: Path) -> dict[str, Any]:
    """What describes a checkpoint, without reading its tensors; Refusal as `load`."""
    return _read(path, "cpu", lambda file: {}).about


def _read(path: Path, device: torch.device | str, tensors_of: Callable[[Any], dict[str, Tensor]]) -> Checkpoint:
    try:
        with path.open("rb"):  # safetensors calls a file that may not be read absent
            pass
        with safe_open(path, framework="pt", device=str(device)) as file:
            text = (file.metadata() or {}).get("genshift")
            tensors = tensors_of(file)
    except FileNotFoundError:
        raise Refusal(f"There is no checkpoint {path}: train first, or name a run folder that was trained.") from None
    except PermissionError:
        raise Refusal(f"{path} may not be read by this user: ask its owner for the right to, or for a copy.") from None
    except SafetensorError as error:
        raise Refusal(f"{path} is cut short, damaged or no safetensors file ({error}): {ASIDE}.") from None
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    if text is None:
        raise Refusal(f"{path} is a safetensors file, but not a genshift checkpoint: name another run.")
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):  # nothing that `save` wrote
        raise Refusal(f"{path} describes itself by what is no JSON: {ASIDE}.") from None
    if not isinstance(described, dict):
        raise Refusal(f"{path} describes itself by no JSON object: {ASIDE}.")
    return Checkpoint(tensors, described)


# --- what a checkpoint holds, against what its run would write ------------------------------------------------------


def check_tensors(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: Path | str) -> None:
    """Refuses tensors of other names, types or shapes than those expected, and any NaN or infinity."""
    for name in (*expected, *given):
        there, right = _kind(given.get(name)), _kind(expected.get(name))
        if there != right:
            raise Refusal(
                f"{origin} holds what this run would not have written: {name} is {there} there and should be {right}; "
                f"name a run of the same preset, or {ASIDE}."
            )
    for name, tensor in given.items():
        if not is_finite(tensor):
            raise Refusal(f"{origin} holds NaN or infinity in {name}, which no run saves: {ASIDE}.")


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite."""
    # Neither vanishes in a sum, which takes a twentieth of the time of looking at every element; a sum can overflow.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def images_seen(about: Mapping[str, Any], path: Path, most: float = math.inf) -> int:
    """How many images a checkpoint says it had seen; Refusal where that is no number from 0 to `most`, or not the one
    that it is named after."""
    images = about.get("images")
    if type(images) is not int or not 0 <= images <= most:
        raise lie(path, "images", images, f"a whole number from 0{f' to {most:,}' if most < math.inf else ''}")
    if "-" in path.stem and images != images_of(path):
        raise lie(path, "images", images, "the number in its name")
    return images


def lie(path: Path, name: str, value: Any, expected: str) -> Refusal:
    """The sentence for a checkpoint whose description can't be true."""
    shown = "another kind of value" if isinstance(value, list | dict) else json.dumps(value)[:40]
    return Refusal(f"{path} says that its {name} is {shown}: expected {expected}; {ASIDE}.")


def pack_networks(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The state of several networks under "network/NAME/KEY"."""
    return {f"network/{n}/{k}": v for n, net in networks.items() for k, v in net.state_dict().items()}


def unpack_networks(tensors: Mapping[str, Tensor], networks: Mapping[str, nn.Module], origin: Path | str) -> None:
    """Loads what `pack_networks` packed; Refusal where it is another network's."""
    given = {name: t for name, t in tensors.items() if name.startswith("network/")}
    check_tensors(given, pack_networks(networks), origin)
    for name, net in networks.items():
        net.load_state_dict(under(given, f"network/{name}/"))


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def averaged(name: str) -> str:
    """The name of a network's moving average, "average/NAME.KEY", of what `pack_networks` calls "network/NAME/KEY"."""
    return "average/" + name.removeprefix("network/").replace("/", ".", 1)


def answering_networks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The networks that a run answers with, as `pack_networks` packs them: their moving average where there is one."""
    average = under(tensors, "average/")
    networks = {name: tensor for name, tensor in tensors.items() if name.startswith("network/")}
    return networks | {"network/" + name.replace(".", "/", 1): tensor for name, tensor in average.items()}


def pack_optimizer(name: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimizer's tensors under "optimizer/NAME/INDEX/KEY" (its numbers are functions of progress, not saved)."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{name}/{index}/{key}": value
        for index, entry in state.items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def after_a_step(name: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """What `pack_optimizer` packs once every parameter was stepped, whatever the optimizer is: an optimizer that took
    no step yet takes one at rate 0 on gradients of 0, and forgets it."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    packed = pack_optimizer(name, optimizer)
    optimizer.state.clear()
    optimizer.zero_grad(set_to_none=True)
    for group in optimizer.param_groups:
        group["lr"] = optimizer.defaults["lr"]
    return packed


def stepped(name: str, tensors: Mapping[str, Tensor]) -> set[str]:
    """The parameters whose state `pack_optimizer` packed, as "optimizer/NAME/INDEX"."""
    return {key.rpartition("/")[0] for key in tensors if key.startswith(f"optimizer/{name}/")}


def unpack_optimizer(name: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Loads what `pack_optimizer` packed."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in under(tensors, f"optimizer/{name}/").items():
        index, key = path.split("/")
        state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` with the strides of its parameter: fused optimizers walk through memory, not through indices."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
