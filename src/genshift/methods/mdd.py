"""MDD (Zhang et al. 2019, arXiv 1904.05801): a second classifier seeks where it can differ on the target alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.methods.aligning import Aligning
from genshift.methods.base import at_least_float32
from genshift.methods.dann import GradientReversal
from genshift.methods.schedules import Progress
from genshift.nets.backbone import BackboneParts
from genshift.presets import BenchmarkPreset


class MDD(Aligning):
    """ψ is `extractor`, f `predictor`, f' `auxiliary_predictor`: min over f, ψ of L_label + η D_γ, max over f' of D_γ.

    Both at once, D_γ's gradient reversed and times η on its way into ψ (section 5); η is `lam` with its schedule, γ
    `margin`. The labels h_f that f gives pass no gradient, so f learns from the source's labels alone. f' is of f's
    family, as in the paper; here that is the common backbone's one linear layer (the paper: two layers), and all learn
    at one rate (the paper: ψ at a tenth). BatchNorm: as `Aligning`.
    """

    preset: BenchmarkPreset

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """f'."""
        return {"auxiliary_predictor": parts.predictor()}

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """-D_γ, which f' descends and ψ, behind the reversal, ascends times η."""
        eta = self.lam(progress)
        with self.arithmetic.autocast():
            auxiliary = self.nets["auxiliary_predictor"](GradientReversal.apply(features, eta))
        discrepancy = margin_disparity(at_least_float32(auxiliary), logits.argmax(1), sources, self.preset.margin)
        return -discrepancy, {"disparity": discrepancy.detach(), "lam": torch.tensor(eta)}


def margin_disparity(auxiliary: Tensor, labels: Tensor, sources: int, margin: float) -> Tensor:
    """D_γ = E_t log(1 - σ_h(f')) + γ E_s log σ_h(f') (section 5), at most 0, of logits `[N, K]` by f' and labels h by
    f, int64 `[N]`; the first `sources` rows are the source's.

    On the source f' is to agree with f by cross-entropy, and the more so the larger γ = exp ρ, ρ being the margin that
    it then keeps; on the target to differ, by the modified cross-entropy of GANs (Goodfellow et al. 2014).
    """
    disagree = log_one_minus(auxiliary[sources:], labels[sources:])
    return disagree.mean() - margin * F.cross_entropy(auxiliary[:sources], labels[:sources])


def log_one_minus(logits: Tensor, labels: Tensor) -> Tensor:
    """log(1 - σ_y) `[N]`, at most 0, of logits `[N, K]` and labels y int64 `[N]`: the others' log-probability, summed
    before its logarithm, so that it stays finite where σ_y rounds to 1."""
    own = F.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).logsumexp(1) - logits.logsumexp(1)
