"""Checkpoints: one safetensors file each, with its JSON in the header, so that state and description cannot part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genshift.errors import Refusal
from genshift.runs.files import write_whole


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
    """Reads a checkpoint; Refusal where the file is missing, truncated or not one of ours."""
    return _read(path, device, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def about(path: Path) -> dict[str, Any]:
    """What describes a checkpoint, without reading its tensors; Refusal as `load`."""
    return _read(path, "cpu", lambda file: {}).about


def _read(path: Path, device: torch.device | str, tensors_of: Callable[[Any], dict[str, Tensor]]) -> Checkpoint:
    if not path.is_file():
        raise Refusal(f"There is no checkpoint {path}: train first, or name a run folder that was trained.")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            about = (file.metadata() or {}).get("genshift")
            tensors = tensors_of(file)
    except (SafetensorError, OSError) as error:
        raise Refusal(
            f"{path} is truncated or no safetensors file ({error}): delete it, and the same training command "
            "continues from the checkpoint before it."
        ) from None
    if about is None:
        raise Refusal(f"{path} is a safetensors file, but not a genshift checkpoint: name another run.")
    return Checkpoint(tensors, json.loads(about))


def pack_networks(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The state of several networks under "network/NAME/KEY"."""
    return {f"network/{n}/{k}": v for n, net in networks.items() for k, v in net.state_dict().items()}


def unpack_networks(tensors: Mapping[str, Tensor], networks: Mapping[str, nn.Module], origin: Path) -> None:
    """Loads what `pack_networks` packed; Refusal where it is another network's."""
    for name, net in networks.items():
        state = under(tensors, f"network/{name}/")
        expected = {key: value.shape for key, value in net.state_dict().items()}
        given = {key: value.shape for key, value in state.items()}
        if expected != given:
            raise Refusal(_mismatch(name, expected, given, origin))
        net.load_state_dict(state)


def _mismatch(name: str, expected: Mapping[str, torch.Size], given: Mapping[str, torch.Size], origin: Path) -> str:
    key = next(k for k in (*expected, *given) if expected.get(k) != given.get(k))

    def shape(of: Mapping[str, torch.Size]) -> str:
        return str(list(of[key])) if key in of else "absent"

    return (
        f"{origin} holds another network than this run's {name}: {key} is {shape(given)} there and should be "
        f"{shape(expected)}; name a run of the same preset."
    )


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


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
