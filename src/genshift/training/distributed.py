"""Several processes as one: what torchrun set up, in a form that also fits a single process."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genshift.errors import PeerEnded

# PyTorch 2.13 has another name for it, and warns of the old one.
_NAMES = inspect.signature(DistributedDataParallel.__init__).parameters
_KEEP_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers": False
}


PEER_LOST = re.compile("gloo|nccl|closed by peer|reset by peer", re.IGNORECASE)  # gloo's errors have no class


@dataclass(frozen=True)
class World:
    """This process among all that share the batch."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` holds in any process (all processes must call it)."""
        if self.size == 1:
            return flag
        tensor = torch.tensor(float(flag), device=device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return bool(tensor)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def of_leader(self, flags: Sequence[bool], count: int, device: torch.device) -> list[bool]:
        """The `count` flags of the leading process, which alone need give them, in every process."""
        if self.size == 1:
            return list(flags)
        told = torch.tensor([*flags, *[False] * (count - len(flags))], device=device, dtype=torch.uint8)
        dist.broadcast(told, 0)
        return [bool(value) for value in told.tolist()]

    def wait(self) -> None:
        """Waits until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def share_gradients(self, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """The networks to call in a step: wrapped so that backward averages gradients over the processes."""
        if self.size == 1:
            return networks
        trained = {k: any(p.requires_grad for p in net.parameters()) for k, net in networks.items()}
        return {k: DistributedDataParallel(net, **_KEEP_BUFFERS) if trained[k] else net for k, net in networks.items()}


@contextmanager
def world_of(device_type: str) -> Iterator[World]:
    """Joins the processes that torchrun started (gloo on CPU, nccl on GPUs), or stands alone. Raises PeerEnded where
    another of them ends first."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield World()
        return
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))
    if device_type == "cuda":
        torch.cuda.set_device(world.local_rank)
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield world
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not PEER_LOST.search(str(error)):
            raise
        raise PeerEnded(
            f"Process {world.rank} of {world.size} ends, for another one that shares its batch has ended: the same "
            "command continues from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()
