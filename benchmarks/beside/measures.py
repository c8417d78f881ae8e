"""Measures of given features: genshift, torch-fidelity and scikit-learn.

What is each one's own: KID is taken of all features at once on both sides (torch-fidelity's default, the mean over 100
random subsets of 1,000, is another estimate); genshift computes in float64, torch-fidelity's precision and recall in
the features' type. scikit-learn's t-SNE takes 1,000 iterations of Barnes-Hut, genshift's openTSNE 750.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

WIDTH = 256  # features; a classifier's have as many
SPREAD = 0.2  # how far the two sets' means are apart, in deviations


def features(count: int, far: float = 0.0) -> Tensor:
    """float32 `[count, WIDTH]` of correlated normal numbers."""
    generator = torch.Generator().manual_seed(int(1000 * far) + count)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0)) / WIDTH**0.5
    return torch.randn(count, WIDTH, generator=generator) @ mixing + far


def clusters(count: int) -> Tensor:
    """float32 `[count, WIDTH]` in ten clusters, as a classifier's features lie."""
    generator = torch.Generator().manual_seed(count)
    centres = 2 * torch.randn(10, WIDTH, generator=generator)
    return centres[torch.arange(count) % 10] + torch.randn(count, WIDTH, generator=generator)


Measure = Callable[[Tensor, Tensor], dict[str, Any]]


def our_frechet(real: Tensor, fake: Tensor) -> dict[str, float]:
    from genshift.metrics.frechet import frechet, statistics

    return {"frechet": frechet(statistics(real), statistics(fake))}


def their_frechet(real: Tensor, fake: Tensor) -> dict[str, float]:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = (fid_features_to_statistics(each.double()) for each in (real, fake))
    return {"frechet": next(iter(fid_statistics_to_metric(*statistics, verbose=False).values()))}


def our_kid(real: Tensor, fake: Tensor) -> dict[str, float]:
    from genshift.metrics.kid import kid

    return {"kid": kid(real, fake)}


def their_kid(real: Tensor, fake: Tensor) -> dict[str, float]:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    told = kid_features_to_metric(real.double(), fake.double(), kid_subsets=1, kid_subset_size=len(real), verbose=False)
    return {"kid": told[KEY_METRIC_KID_MEAN]}


def our_precision(real: Tensor, fake: Tensor) -> dict[str, float]:
    from genshift.metrics.manifold import precision_recall

    return dict(zip(("precision", "recall"), precision_recall(real, fake), strict=True))


def their_precision(real: Tensor, fake: Tensor) -> dict[str, float]:
    from torch_fidelity.metric_prc import prc_features_to_metric

    told = prc_features_to_metric(fake, real, verbose=False)
    return {name: told[name] for name in ("precision", "recall")}


def our_tsne(real: Tensor, _: Tensor) -> dict[str, Any]:
    from genshift.metrics.embedding import tsne

    return {"layout": tsne(real)}


def their_tsne(real: Tensor, _: Tensor) -> dict[str, Any]:
    from sklearn.manifold import TSNE

    return {"layout": TSNE(init="pca", random_state=0).fit_transform(real.numpy())}


MEASURES: dict[str, dict[str, Measure]] = {
    "frechet": {"genshift": our_frechet, "torch-fidelity": their_frechet},
    "kid": {"genshift": our_kid, "torch-fidelity": their_kid},
    "precision-recall": {"genshift": our_precision, "torch-fidelity": their_precision},
    "t-sne": {"genshift": our_tsne, "scikit-learn": their_tsne},
}


def sides(task: str, count: int) -> tuple[Tensor, Tensor]:
    """What is given to a measure."""
    return (clusters(count), clusters(count)) if task == "t-sne" else (features(count), features(count, SPREAD))


def kept(values: dict[str, Any], real: Tensor) -> dict[str, float]:
    """What is told of a measure's answer: numbers, and of a layout how well neighbours stayed neighbours."""
    from sklearn.manifold import trustworthiness

    if "layout" in values:
        layout = values.pop("layout")
        values["trustworthiness"] = trustworthiness(real.numpy(), np.asarray(layout), n_neighbors=10)
    return {name: float(value) for name, value in values.items()}
