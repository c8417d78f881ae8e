"""FixMatch (Sohn et al. 2020, arXiv 2001.07685): weak views that are answered surely label strong ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.data.strong import strong_view
from genshift.methods.base import ClassifierMethod, at_least_float32
from genshift.methods.schedules import Progress
from genshift.methods.supervised import label_loss, labelled_scalars
from genshift.presets import BenchmarkPreset


class FixMatch(ClassifierMethod):
    """l_s + λ_u l_u (section 2.2), λ_u being `consistency`: semi-supervised learning whose labelled images are here the
    source's, and whose unlabelled ones are the target's.

    BatchNorm: all views of both domains in one pass, as in the paper's code; so the running statistics that answer the
    target are of both.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on weak views of labelled source images, and on weak and strong ones of the target's."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        colours = {"recolour": self.preset.strong_recolour, "invert": self.preset.strong_invert}
        strong = strong_view(target.weak, target.draws, self.rule.mean, self.rule.std, **colours)
        views = [source.weak, target.weak, strong]
        with self.arithmetic.autocast():
            logits = at_least_float32(self.nets["predictor"](self.nets["extractor"](torch.cat(views))))
        zs, zt_weak, zt_strong = logits.split([len(view) for view in views])
        loss_label = label_loss(zs, source.y)
        loss_target, counts = consistency(zt_weak, zt_strong, self.preset.threshold)
        self._descend("all", loss_label + self.preset.consistency * loss_target)
        return {
            **labelled_scalars(loss_label, zs, source.y),
            "loss_target": loss_target.detach(),
            "confident": counts.mean(),
        }


def consistency(weak: Tensor, strong: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """l_u = 1/N Σ 1(max q ≥ τ) H(argmax q, p(strong)) (equation 4), and which images count, 0 or 1 `[N]`.

    Of logits `[N, K]` of both views; q, the softmax of the weak one's, takes no gradient. The mean is over all images,
    those that do not count too: so the target weighs more as more of it is sure.
    """
    sure, labels = weak.detach().softmax(1).max(1)
    counts = (sure >= threshold).to(strong.dtype)
    return (F.cross_entropy(strong, labels, reduction="none") * counts).mean(), counts
