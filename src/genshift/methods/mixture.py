"""A mixture of normal distributions fitted to latent vectors, to draw others from.

A VAE's latent vectors, all images together, are no N(0, I): drawn from what they are, pictures look more like the
training images (Ghosh et al. 2020, arXiv 1903.12436, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genshift.errors import Refusal

CHOOSING = 10  # vectors below which there is nothing to choose a mixture by
FOLDS = 5


@dataclass(frozen=True)
class Mixture:
    """One mixture for each of K classes (K = 1 where there are none), of M components.

    weights: float32 `[K, M]`, 0 where a class has fewer. means: `[K, M, L]`. roots: `[K, M, L, L]`, lower triangular,
    root rootᵀ the covariance.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor

    def state(self) -> dict[str, Tensor]:
        """Its tensors, by name."""
        return {"weights": self.weights, "means": self.means, "roots": self.roots}

    def draw(self, generator: torch.Generator, count: int, labels: Tensor | None = None) -> Tensor:
        """float32 `[count, L]`, from the class of each label `[count]`; labels may be left out where K = 1."""
        if labels is None:
            if len(self.weights) > 1:
                raise ValueError(f"a mixture for each of {len(self.weights)} classes: expected labels")
            labels = torch.zeros(count, dtype=torch.int64)
        component = torch.multinomial(self.weights[labels], 1, generator=generator)[:, 0]
        noise = torch.randn(count, self.means.shape[-1], generator=generator)
        return self.means[labels, component] + torch.einsum("nij,nj->ni", self.roots[labels, component], noise)


def fit_mixture(means: Tensor, variances: Tensor, groups: Tensor, classes: int, components: int) -> tuple[Mixture, str]:
    """A mixture for each class of `groups` int64 `[N]`, of posterior means and variances `[N, L]`; and why that one.

    Each dimension is measured in its mean posterior standard deviation, and 1 is added to every variance in the fit:
    the mixture is of q(z | x) over all images, not of its means alone. Of full and diagonal covariances, of one
    component and of `components`, the one is taken under which every fifth vector, left out of the fit, is likeliest.
    """
    scale = variances.mean(0).sqrt()
    points = (means / scale).double()
    fitted, reasons = [], []
    for group in range(classes):
        own = points[groups == group]
        if len(own) < 2:
            raise Refusal(f"Class number {group} has {len(own)} training images: a mixture needs two or more.")
        kind, count = _choose(own, components)
        # Weights [M], means [M, L] and roots [M, L, L] in the latent vectors' own scale.
        mixture = _fit(own, kind, count)
        covariances = torch.from_numpy(mixture.covariances_)
        full = covariances if covariances.dim() == 3 else torch.diag_embed(covariances)
        weights, centres = (torch.from_numpy(x).float() for x in (mixture.weights_, mixture.means_))
        fitted.append((weights, centres * scale, torch.linalg.cholesky(full).float() * scale[:, None]))
        reasons.append(f"{count} {kind}")
    return _stack(fitted), f"likeliest for latents left out: components and covariance {', '.join(reasons)}"


def _choose(points: Tensor, components: int) -> tuple[str, int]:
    if len(points) < CHOOSING:
        return "diag", 1
    out = torch.arange(len(points)) % FOLDS == 0
    counts = sorted({1, min(components, int((~out).sum()) // 2)})
    choices = [(kind, count) for kind in ("diag", "full") for count in counts]
    scores = [_fit(points[~out], *choice).score(points[out].numpy()) for choice in choices]
    return choices[scores.index(max(scores))]


def _fit(points: Tensor, kind: str, count: int):  # type: ignore[no-untyped-def]
    from sklearn.mixture import GaussianMixture  # here, for the import takes about a second

    return GaussianMixture(count, covariance_type=kind, reg_covar=1.0, max_iter=500, random_state=0).fit(points.numpy())


Components = tuple[Tensor, Tensor, Tensor]


def _stack(classes: Sequence[Components]) -> Mixture:
    """Classes of unlike numbers of components in one tensor, filled up with components of weight 0."""
    most = max(len(weights) for weights, _, _ in classes)

    def filled(x: Tensor) -> Tensor:
        return torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])])

    return Mixture(*(torch.stack([filled(components[i]) for components in classes]) for i in range(3)))
