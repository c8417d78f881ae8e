"""AdaMatch (Berthelot et al. 2022, arXiv 2106.04732): weak views label strong ones, with the source to calibrate by."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch, PixelRule
from genshift.data.strong import strong_view
from genshift.device import Arithmetic
from genshift.methods.base import Classifying, StillStatistics, wide
from genshift.methods.schedules import Progress
from genshift.methods.supervised import label_loss, share_right
from genshift.nets.backbone import Frequencies
from genshift.nets.layers import from_all, in_domain
from genshift.presets.beyond import AdaMatch

# Of the running means of answers, in source images: the paper's code takes the target's over 128 steps of 64.
HALF_LIFE = 3_000
TINY = 1e-6


class AdaMatchMethod(Classifying):
    """BatchNorm, `mixed` as in the paper: both domains' views in one pass, whose statistics the running ones follow; a
    second pass of the source's alone is normalised by the source's and leaves them (random logit interpolation needs
    both). Target images are thus answered with statistics of both domains, as they were labelled.

    `own` is ours: each domain by itself, with running statistics of its own, and nothing to interpolate between. The
    target's are those of its weak views, by which its images are labelled and answered.
    """

    draws = ("source", "target")
    preset: AdaMatch

    def __init__(
        self, preset: AdaMatch, networks: dict[str, nn.Module], rule: PixelRule, arithmetic: Arithmetic
    ) -> None:
        super().__init__(preset, networks, rule, arithmetic)
        self.optimizers = {"all": self._optimizer(preset.lr, *networks)}

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on weak and strong views of labelled source and unlabelled target images."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        y = source.y
        logits_of = self._mixed if self.preset.statistics == "mixed" else self._apart
        with self.arithmetic.autocast():
            weak_s, strong_s, weak_t, strong_t = logits_of(source, target)
        ratio = self._ratio(weak_s.detach(), weak_t)
        labels, counts = pseudo_labels(weak_s.detach(), weak_t, ratio, self.preset.threshold)
        loss_label = (label_loss(weak_s, y) + label_loss(strong_s, y)) / 2
        loss_target = (F.cross_entropy(strong_t, labels, reduction="none") * counts).mean()
        mu = ramp(progress.fraction)
        self.optimizers["all"].zero_grad(set_to_none=True)
        (loss_label + mu * loss_target).backward()
        self.optimizers["all"].step()
        return {
            "loss_label": loss_label.detach(),
            "loss_target": loss_target.detach(),
            "accuracy": share_right(weak_s, y),
            "confident": counts.mean(),
            "mu": torch.tensor(mu),
        }

    def _mixed(self, source: Batch, target: Batch) -> tuple[Tensor, ...]:
        """Logits of weak and strong views, the source's interpolated, then the target's, of whose weak ones nothing is
        learnt."""
        xs, xt = (torch.cat([each.weak, self._strong(each)]) for each in (source, target))
        extractor = self.nets["extractor"]
        joint = extractor(torch.cat([xs, xt]))
        with StillStatistics(self.networks["extractor"]):
            alone = extractor(xs)
        z = wide(self.nets["predictor"](torch.cat([joint, alone])))
        zs, zt, alone = z.split([len(xs), len(xt), len(xs)])
        lam = source.draws.uniform("interpolation", 2, z.shape[1]).transpose(0, 1).flatten(0, 1)
        weak_t, strong_t = zt.chunk(2)
        return *interpolated(zs, alone, lam.to(z)).chunk(2), weak_t.detach(), strong_t

    def _apart(self, source: Batch, target: Batch) -> tuple[Tensor, ...]:
        """As `_mixed`, each domain by its own statistics."""
        extractor, predictor = self.nets["extractor"], self.nets["predictor"]
        with torch.no_grad():
            weak_t = wide(self.networks["predictor"](in_domain(self.networks["extractor"], "target")(target.weak)))
        with StillStatistics(self.networks["extractor"]):
            strong = in_domain(extractor, "target")(self._strong(target))
        known = in_domain(extractor, "source")(torch.cat([source.weak, self._strong(source)]))
        z = wide(predictor(torch.cat([known, strong])))
        weak_s, strong_s, strong_t = z.split([len(source.x), len(source.x), len(target.x)])
        return weak_s, strong_s, weak_t, strong_t

    @torch.no_grad()
    def _ratio(self, source: Tensor, target: Tensor) -> Tensor:
        """(q / E ŷ_t)^a `[K]` of the distribution alignment, by running means over all processes' batches.

        In the paper q is E ŷ_s and a is 1. Ours is 1/K: how often a class occurs in the source says nothing of the
        target, and a skewed one draws answers away from the classes that it has few of (docs/results.md). a = 0 leaves
        predictions as they are.
        """
        running = self.networks["frequencies"]
        assert isinstance(running, Frequencies)
        now = [from_all(logits.softmax(1)) for logits in (source, target)]
        weight = 1 - 0.5 ** (len(now[0]) / HALF_LIFE)
        for mean, answers in zip((running.source, running.target), now, strict=True):
            mean.lerp_(answers.mean(0), weight)
        even = torch.full_like(running.source, 1 / len(running.source))
        aim = {"source": running.source, "even": even}[self.preset.prior]
        return ((aim + TINY) / (running.target + TINY)) ** self.preset.alignment

    def _strong(self, batch: Batch) -> Tensor:
        preset, rule = self.preset, self.rule
        return strong_view(batch.weak, batch.draws, rule.mean, rule.std, recolour=preset.strong_recolour)


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
    least = threshold * from_all(source.softmax(1).amax(1)).mean()
    return labels, (sure >= least).to(sure.dtype)


def ramp(fraction: float) -> float:
    """μ, the target loss's weight: 1/2 - cos(min(π, 2πt/T))/2, from 0 to 1 in the first half."""
    return 0.5 - math.cos(min(math.pi, 2 * math.pi * fraction)) / 2
