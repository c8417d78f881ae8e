"""How far a cloud of latent vectors lies from N(0, I), by its moments."""

from __future__ import annotations

from torch import Tensor

from genshift.metrics.inputs import as_points


def mixture_moments(means: Tensor, log_variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each dimension, float64 [D], of vectors drawn from N(means, exp(log_variances)) [N, D], a
    row at random: the law of total variance. Raises as `as_points`, Refusal for no rows."""
    mu, log_sigma2 = as_points(means), as_points(log_variances)
    return mu.mean(0), mu.var(0, correction=0) + log_sigma2.exp().mean(0)


def divergence_from_normal(mean: Tensor, variance: Tensor) -> float:
    """KL(N(mean, diag(variance)) ‖ N(0, I)) in nats, of [D] each: ½ Σ (variance + mean² − 1 − ln variance)."""
    return 0.5 * (variance + mean.square() - 1 - variance.log()).sum().item()
