"""Order and numbers: which image comes when, and bytes to floats. Nothing here saves a random state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from genshift.errors import Refusal


def seed_of(*parts: object) -> int:
    """A 63-bit number from any parts (their text counts): the same in every process, machine and Python."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Stream:
    """The endless order in which a set of `n` images is seen, a function of (seed, name, images seen).

    Image k of the stream is `perm_e[k mod n]`, e = k div n, where perm_e is a shuffle drawn from (seed,
    name, e). So any process can compute any part of the order, and a run continues from its count of images
    alone.
    """

    def __init__(self, n: int, seed: int, name: str) -> None:
        if n < 1:
            raise Refusal(f"The stream '{name}' has no image: expected one or more.")
        self.n, self.seed, self.name = n, seed, name
        self._epochs: dict[int, Tensor] = {}

    def permutation(self, epoch: int) -> Tensor:
        """int64 `[n]`: the order of one epoch; the two used last are kept."""
        if epoch not in self._epochs:
            generator = torch.Generator().manual_seed(seed_of("stream", self.seed, self.name, epoch))
            self._epochs[epoch] = torch.randperm(self.n, generator=generator)
            for old in sorted(self._epochs)[:-2] if epoch == max(self._epochs) else sorted(self._epochs)[2:]:
                del self._epochs[old]
        return self._epochs[epoch]

    def indices(self, start: int, count: int) -> Tensor:
        """int64 `[count]`: the images at places `start` … `start + count − 1` of the stream."""
        parts = []
        while count > 0:
            epoch, place = divmod(start, self.n)
            part = self.permutation(epoch)[place : place + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


def to_float(
    images_NCHW: Tensor,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    channels: int | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """uint8 `[N, C, H, W]` → float32 `[N, channels, H, W]`, (x / 255 − mean) / std on the images' own device.

    Grey images are repeated to `channels`. mean and std are one number, or one a channel of the result.
    """
    if images_NCHW.shape[1] == 1 and channels not in (None, 1):
        images_NCHW = images_NCHW.expand(-1, channels, -1, -1)
    x = images_NCHW.to(torch.float32, memory_format=memory_format)
    if not x.is_contiguous(memory_format=memory_format):
        x = x.contiguous(memory_format=memory_format)
    # (x / 255 − mean) / std with the 255 moved to the other side: one pass over the batch less.
    return x.sub_(_bytes(mean, x)).div_(_bytes(std, x))


def _bytes(value: float | Sequence[float], x_NCHW: Tensor) -> Tensor | float:
    """255 · value: a number where all channels have one, which spares the device a copy; else `[1, C, 1, 1]`."""
    flat = [255.0 * value] if isinstance(value, int | float) else [255.0 * one for one in value]
    if len(set(flat)) == 1:
        return flat[0]
    return torch.tensor(flat, dtype=torch.float32, device=x_NCHW.device).view(1, -1, 1, 1)
