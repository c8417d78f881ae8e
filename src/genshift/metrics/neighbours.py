"""Has a generator memorised? The nearest training neighbours of its samples, beside those of held-out real images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.errors import Refusal

ROWS = 1024  # training images compared at a time: 100 MB at 64 pixels in colour
COPY = 1 / 3  # of the distance to the second nearest (Yoon et al. 2023)


@dataclass(frozen=True)
class Nearest:
    """The nearest training neighbour of each of M samples, on the CPU.

    rows: int64 [M], its place in the training set. distances: float64 [M]. second: float64 [M], the distance to the
    training image that comes next.
    """

    rows: Tensor
    distances: Tensor
    second: Tensor


@dataclass(frozen=True)
class Memorisation:
    """How near the samples stand to the training set.

    ratio: median distance of samples over that of held-out real images; near or above 1: not memorised; near 0:
    copies. copies: share of samples that are copies (see `memorisation`); copies_held_out: its floor.
    """

    ratio: float
    copies: float
    copies_held_out: float


def nearest_images(samples: Tensor, train: Tensor) -> Nearest:
    """The training image nearest each sample: Euclidean distance over all pixels in [0, 1], mirror images included.

    `samples` [M, C, H, W] and `train` [N, C, H, W] are uint8. A sample is as near as the nearer of itself and its
    horizontal mirror image. Raises ValueError for unlike shapes or types, Refusal for no samples or fewer than two
    training images.
    """
    if samples.dtype != torch.uint8 or train.dtype != torch.uint8:
        raise ValueError(f"samples are {samples.dtype} and training images {train.dtype}: expected uint8")
    return nearest(samples, train, samples.flip(-1))


def nearest(samples: Tensor, train: Tensor, mirrored: Tensor | None = None) -> Nearest:
    """As `nearest_images`, of features [M, …] and [N, …]; `mirrored` are those of the samples' mirror images.

    uint8 is taken for pixels and brought to [0, 1].
    """
    if samples.shape[1:] != train.shape[1:]:
        raise ValueError(f"samples are {tuple(samples.shape)} and training images {tuple(train.shape)}: unlike")
    if len(samples) == 0 or len(train) < 2:
        raise Refusal(
            f"There are {len(samples)} samples and {len(train)} training images: expected at least one and two; "
            "ask for more."
        )
    rows = nearest_rows(samples, train, 2, mirrored)
    # `nearest_rows` compares by quick distances; those of the two that it takes are measured anew, exactly.
    views = [view.cpu() for view in _views(samples, mirrored)]
    distances = []
    for row in rows.unbind(1):
        chosen = _flat(train[row.to(train.device)]).cpu()
        distances.append(torch.stack([(view - chosen).double().norm(dim=1) for view in views]).amin(0))
    first, second = distances
    return Nearest(rows[:, 0], first, torch.maximum(first, second))


def nearest_rows(samples: Tensor, train: Tensor, count: int, mirrored: Tensor | None = None) -> Tensor:
    """int64 [M, count] on the CPU: the rows of `train` [N, …] nearest each sample, nearest first, `count` at most N.

    The rest is as in `nearest`.
    """
    views = _views(samples, mirrored)
    best = torch.full((len(samples), count), torch.inf, device=samples.device)
    rows = torch.zeros(len(samples), count, dtype=torch.int64, device=samples.device)
    for start in range(0, len(train), ROWS):
        chunk = _flat(train[start : start + ROWS]).to(samples.device)
        # Squared distances [M, n] to the nearer view: quick, and good to about 1e-3 at a face's length.
        by_view = [view.square().sum(1, keepdim=True) + chunk.square().sum(1) - 2 * view @ chunk.T for view in views]
        squared = torch.stack(by_view).amin(0)
        # The nearest of this chunk, then of all chunks so far.
        near, place = squared.topk(min(count, len(chunk)), largest=False)
        best, kept = torch.cat([best, near], dim=1).topk(count, largest=False)
        rows = torch.cat([rows, place + start], dim=1).gather(1, kept)
    return rows.cpu()


def memorisation(samples: Nearest, held_out: Nearest) -> Memorisation:
    """Distances of samples beside those of held-out real images to the same training set, as two figures.

    A sample counts as a copy where its nearest training image is closer than a third of the way to the second
    nearest (Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to memorize"): unlike a bound
    on the distance itself, that does not accuse smooth samples, which are near everything. A training image that is
    there twice hides its copies. Raises Refusal where held-out images lie in the training set, by the median.
    """
    floor = held_out.distances.median().item()
    if floor == 0:
        raise Refusal(
            "Half of the held-out images or more are in the training set: expected images that were never trained on; "
            "remove pictures that are there twice, or name another split."
        )
    copies, real_copies = ((n.distances < COPY * n.second).double().mean().item() for n in (samples, held_out))
    return Memorisation(samples.distances.median().item() / floor, copies, real_copies)


def _views(samples: Tensor, mirrored: Tensor | None) -> list[Tensor]:
    return [_flat(view) for view in ([samples] if mirrored is None else [samples, mirrored])]


def _flat(images: Tensor) -> Tensor:
    """[N, …] as float32 [N, D]; uint8 brought to [0, 1]."""
    flat = images.detach().flatten(1)
    return flat.float() / 255 if flat.dtype == torch.uint8 else flat.float()


def nearest_of(at: Tensor, among: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each of features `at` [N, D] the `count` rows of `among` [M, D] at the smallest angle, the nearest first: one
    less the cosine, float64 [N, count], and their places, int64 [N, count], on the CPU."""
    own, others = (F.normalize(part.double().cpu(), dim=1) for part in (at, among))
    found = [(1 - part @ others.T).topk(count, largest=False) for part in own.split(ROWS)]
    return torch.cat([near.values for near in found]), torch.cat([near.indices for near in found])
