"""Deep CORAL (Sun and Saenko 2016, arXiv 1607.01719): the domains' logits get one covariance."""

from __future__ import annotations

from torch import Tensor

from genshift.methods.aligning import Aligning
from genshift.methods.schedules import Progress
from genshift.nets.layers import all_gather_rows
from genshift.presets import BenchmarkPreset


class CORAL(Aligning):
    """The CORAL loss at one layer, the paper's own choice, the last. BatchNorm: as `Aligning`."""

    preset: BenchmarkPreset

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted CORAL loss of the whole batch's logits."""
        loss = coral_loss(all_gather_rows(logits[:sources]), all_gather_rows(logits[sources:]))
        return self.preset.coral * loss, {"loss_coral": loss.detach()}


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """|C_S - C_T|²_F / 4d² of rows `[N_s, d]` and `[N_t, d]` (equation 1)."""
    return (covariance(source) - covariance(target)).square().sum() / (4 * source.shape[1] ** 2)


def covariance(rows: Tensor) -> Tensor:
    """`[d, d]` of rows `[N, d]`, divided by N - 1 (equations 2 and 3)."""
    centred = rows - rows.mean(0)
    return centred.t() @ centred / max(1, len(rows) - 1)
