"""AdaMatch (Berthelot et al. 2022, arXiv 2106.04732): weak views label strong ones, with the source to calibrate by."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genshift.data.feed import Batch, PixelRule
from genshift.data.strong import strong_view
from genshift.device import Arithmetic
from genshift.methods.base import Classifying, StillStatistics, wide
from genshift.methods.schedules import Progress, make_optimizer
from genshift.methods.supervised import label_loss, share_right
from genshift.nets.layers import from_all
from genshift.presets.beyond import AdaMatch


class AdaMatchMethod(Classifying):
    """BatchNorm: both domains' views in one pass, whose statistics the running ones follow; a second pass of the
    source's alone is normalised by the source's and leaves them (section 3.2). Target images are thus answered with
    statistics of both domains, as they were labelled."""

    draws = ("source", "target")

    def __init__(
        self, preset: AdaMatch, networks: dict[str, nn.Module], rule: PixelRule, arithmetic: Arithmetic
    ) -> None:
        self.preset, self.networks, self.nets = preset, networks, dict(networks)
        self.rule, self.arithmetic = rule, arithmetic
        parameters = [p for net in networks.values() for p in net.parameters()]
        self.optimizers = {"all": make_optimizer(preset.optimizer, parameters, preset.lr, preset.weight_decay)}

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on weak and strong views of labelled source and unlabelled target images."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        y = source.y
        views = [view for each in (source, target) for view in (each.weak, self._strong(each))]
        with self.arithmetic.autocast():
            joint, alone = self._logits_of(torch.cat(views), 2 * len(y))
        zs, zt = wide(joint[: 2 * len(y)]), wide(joint[2 * len(y) :])
        zs = interpolated(zs, wide(alone), self._mixture(source, zs))
        weak_s, weak_t = zs[: len(y)], zt[: len(target.x)]
        labels, counts = pseudo_labels(weak_s.detach(), weak_t.detach(), self.preset.threshold)
        loss_label = label_loss(weak_s, y) + label_loss(zs[len(y) :], y)
        loss_target = -((labels * zt[len(target.x) :].log_softmax(1)).sum(1) * counts).mean()
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

    def _strong(self, batch: Batch) -> Tensor:
        return strong_view(batch.weak, batch.draws, self.rule.mean, self.rule.std)

    def _logits_of(self, x: Tensor, sources: int) -> tuple[Tensor, Tensor]:
        """Logits of both domains in one pass (equation 1), and of the first `sources` rows, the source's, by
        themselves (equation 2)."""
        extractor = self.nets["extractor"]
        joint = extractor(x)
        with StillStatistics(self.networks["extractor"]):
            alone = extractor(x[:sources])
        logits = self.nets["predictor"](torch.cat([joint, alone]))
        return logits[: len(x)], logits[len(x) :]

    def _mixture(self, source: Batch, logits: Tensor) -> Tensor:
        """λ of equation 3 for each logit of weak then strong views, a function of the images seen."""
        lam = source.draws.uniform("interpolation", 2, logits.shape[1])
        return lam.transpose(0, 1).flatten(0, 1).to(logits)


def interpolated(joint: Tensor, alone: Tensor, lam: Tensor) -> Tensor:
    """Random logit interpolation, λ z' + (1 - λ) z'' with a λ of U[0, 1) for each logit (equation 3)."""
    return lam * joint + (1 - lam) * alone


def pseudo_labels(source: Tensor, target: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The target's labels by weak views: rectified probabilities `[N_t, K]`, and which of them count, 0 or 1 `[N_t]`.

    Of logits `[N_s, K]` and `[N_t, K]`. Distribution alignment: ỹ = normalise(ŷ_t E ŷ_s / E ŷ_t); relative confidence
    threshold: those count whose max ỹ is at least `threshold` times the mean of max ŷ_s (sections 3.3 and 3.4). The
    means are of the whole batch, over all processes.
    """
    ps, pt = source.softmax(1), target.softmax(1)
    aligned = pt * from_all(ps).mean(0) / from_all(pt).mean(0)
    aligned = aligned / aligned.sum(1, keepdim=True)
    least = threshold * from_all(ps.amax(1)).mean()
    return aligned, (aligned.amax(1) >= least).to(aligned.dtype)


def ramp(fraction: float) -> float:
    """μ, the target loss's weight: 1/2 - cos(min(π, 2πt/T))/2, from 0 to 1 in the first half (section 3.5)."""
    return 0.5 - math.cos(min(math.pi, 2 * math.pi * fraction)) / 2
