"""Latent features laid out in the plane, over a sample that is the same whatever the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genshift.metrics.inputs import as_points

SMALLEST = 5  # below this many points t-SNE has no neighbourhoods to keep


def fixed_sample(n: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` of the indices 0 … n − 1, sorted, int64 [min(count, n)].

    A function of (n, count, seed) alone, without any library's generator, so every run and every version
    draws the same images; a smaller count is a subset of a larger one.
    """
    if n < 0 or count < 0:
        raise ValueError(f"n is {n} and count is {count}: neither may be negative")
    keys = _splitmix64(np.arange(n, dtype=np.uint64), seed)
    return np.sort(np.argsort(keys, kind="stable")[:count]).astype(np.int64)


def _splitmix64(counter: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Steele et al. 2014, "Fast splittable pseudorandom number generators": a bijection of 64-bit words."""
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    word = counter * np.uint64(0xD1342543DE82EF95) + np.uint64(start)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def fitting_perplexity(n: int, wanted: float = 30.0) -> float:
    """The perplexity that `n` points allow: three times it must fit among the n − 1 neighbours."""
    return min(wanted, max(1.0, (n - 1) / 3.0))


def tsne(
    features: npt.ArrayLike | Tensor, seed: int = 0, perplexity: float = 30, n_jobs: int = 1
) -> npt.NDArray[np.float32]:
    """t-SNE of `features` [N, D] in the plane, float32 [N, 2], the same for the same input and seed.

    openTSNE with PCA initialisation, exact neighbours and euclidean distance. The perplexity is shrunk to
    `fitting_perplexity(N, perplexity)`; under five points the PCA layout itself is returned. Raises Refusal
    for non-finite features, ValueError for a shape other than [N, D].
    """
    given = features if isinstance(features, Tensor) else torch.from_numpy(np.array(features))
    points = as_points(given, fewest=0).numpy()
    if len(points) < SMALLEST or not points.std(axis=0).any():
        return _plane_of(points)
    from openTSNE import TSNE  # here, for the import takes about a second

    fitter = TSNE(
        perplexity=fitting_perplexity(len(points), perplexity),
        initialization=_plane_of(points).astype(np.float64) * 1e-4,  # t-SNE starts from a small spread
        neighbors="exact",
        random_state=seed,
        n_jobs=n_jobs,
    )
    return np.asarray(fitter.fit(points), dtype=np.float32)


def pca_plane(features: npt.ArrayLike | Tensor) -> npt.NDArray[np.float32]:
    """The two leading principal components of `features` [N, D], float32 [N, 2], the first scaled to a spread of one
    (Kobak & Berens 2019).

    Signs are fixed so that each component's largest loading is positive; missing components are zero. Raises as `tsne`.
    """
    given = features if isinstance(features, Tensor) else torch.from_numpy(np.array(features))
    return _plane_of(as_points(given, fewest=0).numpy())


def _plane_of(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    plane = np.zeros((len(points), 2))
    if len(points) == 0:
        return plane.astype(np.float32)
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # A component's sign is the decomposition's whim, and another library's another.
    axes = axes[:2] * np.sign(axes[:2][np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    plane[:, : len(axes)] = centred @ axes.T
    spread = plane[:, 0].std()
    return (plane / spread if spread > 0 else plane).astype(np.float32)
