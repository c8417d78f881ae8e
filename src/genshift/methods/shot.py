"""SHOT (Liang, Hu and Feng 2020, arXiv 2002.08546): a source model that adapts to the target without the source."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch, TrainingSet
from genshift.methods.aligning import entropy
from genshift.methods.base import ClassifierMethod, Frozen, at_least_float32
from genshift.methods.schedules import Progress
from genshift.methods.supervised import batch_accuracy, labelled_scalars
from genshift.nets.backbone import BackboneParts, Centroids
from genshift.nets.layers import all_gather_rows
from genshift.presets import BenchmarkPreset

SAMPLE = 10_000  # target images that centroids are computed from, at most


class SHOT(ClassifierMethod):
    """Two phases of one budget: `extractor` g and `predictor` h learn the source's smoothed labels; then h
    is frozen, no source image is seen, and g learns on the target by information maximisation and pseudo-labels.

    At each labelling `anchor` becomes a copy of g, and `centroids` are those of its features; until the next one a
    target image bears the label of the centroid its features by `anchor` are nearest to. The paper labels all images
    at once; here each is labelled as it is drawn, in its weak view, so that no label is kept. The paper's bottleneck
    and its weight-normalised classifier are left out: h is the common backbone's one linear layer.

    BatchNorm: one set of statistics; the source's in the first phase, the target's batches in the second, from where
    the source left the running ones.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """The extractor that labels, and the centroids of its features."""
        return {"anchor": parts.extractor(), "centroids": Centroids(parts.classes, parts.features)}

    def set_up(self) -> None:
        self.phases = (0.0, self.preset.pretrain)
        self.networks["anchor"].requires_grad_(False)
        self.optimizers = {
            "labels": self._optimizer(self.preset.pretrain_lr, "extractor", "predictor"),
            "extractor": self._optimizer(self.preset.lr, "extractor"),
        }

    def begin(self, parts: Mapping[str, TrainingSet]) -> None:
        """Takes the target images that centroids will be computed from, evenly over the set."""
        part = parts["target"]
        rows = torch.arange(len(part.images)) if part.rows is None else part.rows
        every = -(-len(rows) // SAMPLE)
        self.sample = part.images.images[rows[::every].to(part.images.images.device)]

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step of the phase that `progress` is in: on source labels, or on target images alone."""
        if progress.fraction < self.preset.pretrain:
            return self.pretrain(batch["source"])
        self._label_anew((progress.fraction - self.preset.pretrain) / (1 - self.preset.pretrain))
        return self.adapt(batch["target"])

    def pretrain(self, source: Batch) -> dict[str, Tensor]:
        """Cross-entropy with labels of which `smoothing` is spread over all classes."""
        assert source.y is not None
        with self.arithmetic.autocast():
            logits = at_least_float32(self.nets["predictor"](self.nets["extractor"](source.x)))
        loss = F.cross_entropy(logits, source.y, label_smoothing=self.preset.smoothing)
        self._descend("labels", loss)
        return labelled_scalars(loss, logits, source.y)

    def adapt(self, target: Batch) -> dict[str, Tensor]:
        """L_ent + L_div of g's answers, and their cross-entropy with the pseudo-labels."""
        labels = self.pseudo_labels(target.weak)
        with Frozen(self.networks["predictor"]):
            with self.arithmetic.autocast():
                logits = at_least_float32(self.networks["predictor"](self.nets["extractor"](target.x)))
            loss_information, loss_pseudo = information(logits), F.cross_entropy(logits, labels)
            self._descend("extractor", loss_information + self.preset.pseudo * loss_pseudo)
        return {
            "loss_information": loss_information.detach(),
            "loss_pseudo": loss_pseudo.detach(),
            "agree": batch_accuracy(logits, labels),
        }

    @torch.no_grad()
    def pseudo_labels(self, x: Tensor) -> Tensor:
        """int64 `[N]` of target images float `[N, C, H, W]`: the class of the nearest centroid, by `anchor`."""
        anchor = self.networks["anchor"].eval()
        with self.arithmetic.autocast():
            features = at_least_float32(anchor(x))
        return nearest(features, self._centroids.value)

    @property
    def _centroids(self) -> Centroids:
        centroids = self.networks["centroids"]
        assert isinstance(centroids, Centroids)
        return centroids

    @torch.no_grad()
    def _label_anew(self, share: float) -> None:
        """At the start of each of `labellings` parts of the adaptation: `anchor` and `centroids` of g as it is now."""
        labelling = min(int(share * self.preset.labellings), self.preset.labellings - 1)
        if int(self._centroids.labelling) == labelling:
            return
        self.networks["anchor"].load_state_dict(self.networks["extractor"].state_dict())
        anchor = self.networks["anchor"].eval()
        with self.arithmetic.autocast():
            chunks = [
                at_least_float32(anchor(self.rule(chunk, self.arithmetic))) for chunk in self._chunks(self.sample)
            ]
            features = torch.cat(chunks)
            answers = at_least_float32(self.networks["predictor"](features)).softmax(1)
        self._centroids.value.copy_(class_centroids(features, answers))
        self._centroids.labelling.fill_(labelling)


def information(logits: Tensor) -> Tensor:
    """L_ent + L_div: mean entropy of the answers less the entropy of their mean, of target logits
    `[N, K]`; the mean is the whole batch's, over all processes."""
    mean = all_gather_rows(logits.softmax(1)).mean(0)
    return entropy(logits).mean() + (mean * mean.clamp_min(1e-12).log()).sum()


def class_centroids(features: Tensor, answers: Tensor) -> Tensor:
    """Centroids `[K, D]` of features `[N, D]` and class probabilities `[N, K]`.

    First weighted by the answers, then as the means of the features nearest to each; a class with none keeps the first.
    """
    first = answers.t() @ features / answers.sum(0).clamp_min(1e-12)[:, None]
    members = F.one_hot(nearest(features, first), len(first)).to(features.dtype)
    means = members.t() @ features / members.sum(0).clamp_min(1)[:, None]
    return torch.where(members.sum(0)[:, None] > 0, means, first)


def nearest(features: Tensor, centroids: Tensor) -> Tensor:
    """int64 `[N]`: the centroid of least cosine distance to each of the features `[N, D]`."""
    return (F.normalize(features, dim=1) @ F.normalize(centroids, dim=1).t().to(features.dtype)).argmax(1)
