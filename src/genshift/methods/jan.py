"""JAN (Long et al. 2017, arXiv 1605.06636): the joint distributions of features and answers are matched."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.methods.aligning import Aligning
from genshift.methods.dan import mmd, multi_kernel, squared_distances, whole_batch
from genshift.methods.schedules import Progress

# The kernels of the paper's code: of features five around γ, each twice as wide as the one before; of answers one.
FEATURE_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
ANSWER_BANDWIDTH = 1.68


class JAN(Aligning):
    """L_label + λ D_L(P, Q), λ rising from 0 as DANN's; without the adversary of the paper's JAN-A.

    D_L is the joint maximum mean discrepancy (JMMD, section 4.1): the MMD by the kernel Π_l k^l of the layers l, here
    the features and the softmax of the logits; so images are alike that are so in both. Estimated as DAN's, without
    bias over all pairs of the whole batch; the paper's code goes over N pairs. BatchNorm: as `Aligning`.
    """

    def transfer(
        self, features: Tensor, logits: Tensor, sources: int, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted JMMD of the whole batch."""
        z, n_s = whole_batch(features, sources)
        answers, _ = whole_batch(logits.softmax(1), sources)
        loss, lam = mmd(joint_kernel(z, answers), n_s), self.lam(progress)
        return lam * loss, {"loss_jmmd": loss.detach(), "lam": torch.tensor(lam)}


def joint_kernel(features: Tensor, answers: Tensor) -> Tensor:
    """Π_l k^l, from 0 to 1, `[N, N]` of features `[N, D]` and probabilities `[N, K]`."""
    of_answers = (-squared_distances(answers) / ANSWER_BANDWIDTH).exp()
    return multi_kernel(features, FEATURE_BANDWIDTHS) * of_answers
