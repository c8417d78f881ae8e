"""AdaBN (Li et al. 2017, arXiv 1603.04779): the target is answered with batch statistics of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genshift.data.feed import Batch
from genshift.methods.schedules import Progress
from genshift.methods.supervised import Supervised
from genshift.nets.layers import in_domain


class AdaBN(Supervised):
    """Source-only learning. In each step target images pass too, without any gradient, and leave the running mean and
    variance of each BatchNorm layer that answer the target (algorithm 1), in their weak view, which is nearest to what
    will be asked; scale and shift are shared.

    The paper takes the target's statistics once, after training; the running ones of the last steps are the same up to
    their momentum, and are there at every check.
    """

    def set_up(self) -> None:
        super().set_up()
        self.draws = ("source", "target")

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on labelled source images; the target's statistics follow."""
        in_domain(self.networks["extractor"], "source")
        scalars = super().step(batch, progress)
        with torch.no_grad(), self.arithmetic.autocast():
            in_domain(self.networks["extractor"], "target")(batch["target"].weak)
        return scalars
