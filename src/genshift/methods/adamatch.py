"""AdaMatch (Berthelot et al. 2022, arXiv 2106.04732): weak views label strong ones, with the source to calibrate by."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.data.strong import strong_view
from genshift.methods.base import ClassifierMethod, FrozenBatchNormStats, at_least_float32
from genshift.methods.schedules import Progress
from genshift.methods.shot import information
from genshift.methods.supervised import batch_accuracy, label_loss
from genshift.nets.backbone import BackboneParts, Frequencies
from genshift.nets.layers import all_gather_rows
from genshift.presets import BenchmarkPreset

# Half-life of the running means of answers, in source images. The paper's code averages the target's over 128 steps of
# 64 images: 4,096 images old on average, which is a half-life of 4,096 ln 2, about 2,800.
HALF_LIFE = 3_000
TINY = 1e-6  # so that a class that is never answered divides by no 0
ALARM_FROM, LABELLED_FEW = 0.5, 0.01  # the target loss's weight μ from which a labelled share below 1% is an alarm


class AdaMatch(ClassifierMethod):
    """Cross-entropy of the source's weak and strong views, and of the target's strong views with the labels that its
    weak views give (`pseudo_labels`), weighed by a μ that grows (`ramp`).

    BatchNorm: all views of both domains pass together and update the running statistics; the source's pass again alone,
    normalised by their own and updating nothing. Random logit interpolation mixes the two answers. Target images are
    thus answered with statistics of both domains, as they were labelled.

    `information`, which is not the paper's, weighs SHOT's information maximisation of the answers to weak target views:
    it moves the images that are not sure enough to be labelled.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """The running means of the distribution alignment."""
        return {"frequencies": Frequencies(parts.classes)}

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on weak and strong views of labelled source and unlabelled target images."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        y = source.y
        # A weak and a strong view of every image, the source's first.
        colours = {"recolour": self.preset.strong_recolour, "invert": self.preset.strong_invert}
        strong = [strong_view(b.weak, b.draws, self.rule.mean, self.rule.std, **colours) for b in (source, target)]
        views = [source.weak, strong[0], target.weak, strong[1]]
        with self.arithmetic.autocast():
            joint, alone = self._logits_of(torch.cat(views), 2 * len(y))
        zs, zt = at_least_float32(joint[: 2 * len(y)]), at_least_float32(joint[2 * len(y) :])
        # λ of the interpolation for each logit of weak then strong views, a function of the images seen.
        lam = source.draws.uniform("interpolation", 2, zs.shape[1]).transpose(0, 1).flatten(0, 1).to(zs)
        zs = interpolated(zs, at_least_float32(alone), lam)
        # What the answers to weak views teach the strong ones.
        weak_s, weak_t = zs[: len(y)], zt[: len(target.x)]
        ratio = self._ratio(weak_s.detach(), weak_t.detach())
        labels, counts = pseudo_labels(weak_s.detach(), weak_t.detach(), ratio, self.preset.threshold)
        loss_label = (label_loss(weak_s, y) + label_loss(zs[len(y) :], y)) / 2
        losses = {"loss_target": (F.cross_entropy(zt[len(target.x) :], labels, reduction="none") * counts).mean()}
        if self.preset.information:
            losses["loss_information"] = self.preset.information * information(weak_t)
        mu = ramp(progress.fraction)
        self._descend("all", loss_label + mu * sum(losses.values()))
        return {
            "loss_label": loss_label.detach(),
            **{name: loss.detach() for name, loss in losses.items()},
            "accuracy": batch_accuracy(weak_s, y),
            "confident": counts.mean(),
            "mu": torch.tensor(mu),
        }

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """A target of which nothing is learnt."""
        if means["mu"] < ALARM_FROM or means["confident"] >= LABELLED_FEW:
            return {}
        clause = (
            f"{means['confident']:.1%} of the target's images are labelled, so little is learnt of it; if it lacks "
            "classes that the source has, try --alignment 0."
        )
        return {"target unlabelled": clause}

    @torch.no_grad()
    def _ratio(self, source: Tensor, target: Tensor) -> Tensor:
        """(q / E ŷ_t)^a `[K]` of the distribution alignment, by running means over all processes' batches.

        In the paper q is E ŷ_s and a is 1. With `prior` even it is 1/K: how often a class occurs in the source says
        nothing of the target, and a skewed one draws answers away from the classes that it has few of. a = 0 leaves
        predictions as they are.
        """
        running = self.networks["frequencies"]
        assert isinstance(running, Frequencies)
        now = [all_gather_rows(logits.softmax(1)) for logits in (source, target)]
        weight = 1 - 0.5 ** (len(now[0]) / HALF_LIFE)
        for mean, answers in zip((running.source, running.target), now, strict=True):
            mean.lerp_(answers.mean(0), weight)
        even = torch.full_like(running.source, 1 / len(running.source))
        aim = {"source": running.source, "even": even}[self.preset.prior]
        return ((aim + TINY) / (running.target + TINY)) ** self.preset.alignment

    def _logits_of(self, x: Tensor, sources: int) -> tuple[Tensor, Tensor]:
        """Logits of both domains in one pass, and of the first `sources` rows, the source's, by themselves."""
        extractor = self.nets["extractor"]
        joint = extractor(x)
        with FrozenBatchNormStats(self.networks["extractor"]):
            alone = extractor(x[:sources])
        logits = self.nets["predictor"](torch.cat([joint, alone]))
        return logits[: len(x)], logits[len(x) :]


def interpolated(joint: Tensor, alone: Tensor, lam: Tensor) -> Tensor:
    """Random logit interpolation, λ z' + (1 - λ) z'' with a λ of U[0, 1) for each logit."""
    return lam * joint + (1 - lam) * alone


def pseudo_labels(source: Tensor, target: Tensor, ratio: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The target's labels by weak views, int64 `[N_t]`, and which of them count, 0 or 1 `[N_t]`.

    Of logits `[N_s, K]` and `[N_t, K]`. Distribution alignment: ỹ = normalise(ŷ_t E ŷ_s / E ŷ_t), with the means'
    `ratio` `[K]`. Relative confidence threshold: those count whose max ỹ is at least `threshold` times the mean of
    max ŷ_s over the whole batch. As in the paper's code a label is the likeliest class.
    """
    aligned = target.softmax(1) * ratio
    sure, labels = (aligned / aligned.sum(1, keepdim=True)).max(1)
    least = threshold * all_gather_rows(source.softmax(1).amax(1)).mean()
    return labels, (sure >= least).to(sure.dtype)


def ramp(fraction: float) -> float:
    """μ, the target loss's weight: 1/2 - cos(min(π, 2πt/T))/2, from 0 to 1 in the first half."""
    return 0.5 - math.cos(min(math.pi, 2 * math.pi * fraction)) / 2
