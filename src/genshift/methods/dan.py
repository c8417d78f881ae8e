"""DAN (Long et al. 2015, arXiv 1502.02791): the domains' mean embeddings in a kernel's space are matched, by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.methods.aligning import Aligning
from genshift.methods.base import at_least_float32
from genshift.methods.schedules import Progress
from genshift.nets.layers import all_gather_rows

# Bandwidths over γ, from 2^-8 to 2^8 in steps of 2^(1/2) (section 4.1).
BANDWIDTHS = tuple(2 ** (half / 2) for half in range(-16, 17))
SMALLEST = 1e-6  # γ at least: rows that are all alike have no scale of their own


class DAN(Aligning):
    """L_label + λ Σ_l d_k²(D_s^l, D_t^l) over the layers l above the convolutions: here the features and the logits.

    k is Σ_u β_u k_u (equation 2) with equal β_u, which is ours: the paper learns them, by a quadratic program. d_k² is
    the unbiased estimate over all pairs of the whole batch; the paper's is unbiased too, over N/2 pairs. BatchNorm: as
    `Aligning`.
    """

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted MK-MMD of the whole batch, summed over both layers."""
        layers = [whole_batch(rows, sources) for rows in (features, logits)]
        loss = torch.stack([mmd(multi_kernel(rows, BANDWIDTHS), n_s) for rows, n_s in layers]).sum()
        return self.lam(progress) * loss, {"loss_mmd": loss.detach()}


def whole_batch(rows: Tensor, sources: int) -> tuple[Tensor, int]:
    """The rows `[N, d]` of all processes in float32 at least, the source's before the target's, and how many of them
    are the source's; of this process's, of which the first `sources` are."""
    rows = at_least_float32(rows)
    source = all_gather_rows(rows[:sources])
    return torch.cat([source, all_gather_rows(rows[sources:])]), len(source)


def mmd(kernel: Tensor, sources: int) -> Tensor:
    """d_k² = E k(x_s, x_s') + E k(x_t, x_t') - 2 E k(x_s, x_t) (equation 1), of k of all pairs of rows, `[N, N]`, of
    which the first `sources` are the source's.

    The unbiased estimate: no row is paired with itself, so it is about 0, and may be below, where domains are alike.
    """
    # Means over pairs of unlike rows.
    within = [
        (k.sum() - k.trace()) / (len(k) * (len(k) - 1))
        for k in (kernel[:sources, :sources], kernel[sources:, sources:])
    ]
    return within[0] + within[1] - 2 * kernel[:sources, sources:].mean()


def multi_kernel(rows: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
    """Σ_u β_u exp(-|x_i - x_j|²/γ_u), from 0 to 1, `[N, N]` of rows `[N, d]`, with equal β_u that sum to 1.

    γ_u is one of `bandwidths` times γ, the median of the squared distances of any two rows, which takes no gradient.
    """
    distances = squared_distances(rows)
    i, j = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    gamma = distances.detach()[i, j].median().clamp_min(SMALLEST)
    return (-distances[:, :, None] / (gamma * distances.new_tensor(bandwidths))).exp().mean(2)


def squared_distances(rows: Tensor) -> Tensor:
    """|x_i - x_j|², `[N, N]` of rows `[N, d]`."""
    lengths = rows.square().sum(1)
    return (lengths[:, None] + lengths - 2 * rows @ rows.t()).clamp_min(0)  # what is 0 can come out a little below
