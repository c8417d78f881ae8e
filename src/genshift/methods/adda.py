"""Adversarial discriminative domain adaptation (Tzeng et al. 2017, arXiv 1702.05464).

Two phases of one budget. First M_s and C, an extractor and a classifier, learn the source's labels (equation 1). Then
M_s is frozen, and M_t, an extractor of the target's own that starts as M_s, learns to give features that a
discriminator D takes for the source's (equations 2, 7 and 9). Target images are answered by C(M_t(x)).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.methods.base import WON, ClassifierMethod, Domain, Frozen
from genshift.methods.dann import adversary_scalars, domain_loss, source_odds
from genshift.methods.schedules import Progress
from genshift.methods.supervised import label_loss, labelled_scalars
from genshift.nets.backbone import Adversary, BackboneParts
from genshift.presets import Adaptation, BenchmarkPreset


class ADDA(ClassifierMethod):
    """M_s is `source_extractor`, M_t `extractor`, C `predictor`, D `domain`.

    Until adaptation begins M_t is a copy of M_s after every step, so that no moment of its own starts it: the phase is
    a function of progress alone, wherever a run is stopped. BatchNorm: in pre-training M_s sees the source; in
    adaptation M_s keeps its running statistics (evaluation mode), and M_t sees the target alone.
    """

    draws = ("source", "target")
    preset: Adaptation

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """The discriminator, and M_s; `extractor` is M_t."""
        return {"domain": Adversary(parts.features), "source_extractor": parts.extractor()}

    def set_up(self) -> None:
        self.phases = (0.0, self.preset.pretrain)
        self.optimizers = {
            "labels": self._optimizer(self.preset.pretrain_lr, "source_extractor", "predictor"),
            "domain": self._optimizer(self.preset.lr, "domain"),
            "extractor": self._optimizer(self.preset.lr, "extractor"),
        }
        self._follow()

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step of the phase that `progress` is in: on source labels, or on both domains without any."""
        if progress.fraction < self.preset.pretrain:
            return self.pretrain(batch["source"])
        return self.adapt(batch["source"].x, batch["target"].x)

    def pretrain(self, source: Batch) -> dict[str, Tensor]:
        """Equation 1: M_s and C learn the source's labels."""
        assert source.y is not None
        with self.arithmetic.autocast():
            logits = self.nets["predictor"](self.nets["source_extractor"](source.x))
        loss = label_loss(logits, source.y)
        self._descend("labels", loss)
        self._follow()
        return labelled_scalars(loss, logits, source.y)

    def adapt(self, xs: Tensor, xt: Tensor) -> dict[str, Tensor]:
        """Equation 9: D tells M_s(xs) from M_t(xt) (equation 2), then M_t takes its features past D (equation 7)."""
        source_extractor = self.networks["source_extractor"].eval()
        with self.arithmetic.autocast():
            with torch.no_grad():
                fs = source_extractor(xs)
            ft = self.nets["extractor"](xt)
            domain_logits = self.nets["domain"](torch.cat([fs, ft.detach()]))
        loss_domain = domain_loss(domain_logits, len(xs))
        self._descend("domain", loss_domain)
        with Frozen(self.networks["domain"]):
            with self.arithmetic.autocast():
                taken_for = self.networks["domain"](ft)
            loss_adversary = -F.logsigmoid(source_odds(taken_for)).mean()
            self._descend("extractor", loss_adversary)
        return {**adversary_scalars(loss_domain, domain_logits, len(xs)), "loss_adversary": loss_adversary.detach()}

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """A discriminator that has won."""
        share = means.get("domain_accuracy", 0.0)
        if share <= WON:
            return {}
        clause = f"the discriminator tells {share:.1%} of the features apart, so the extractor learns little."
        return {"discriminator won": clause}

    def extractor_of(self, domain: Domain) -> nn.Module:
        """M_s or M_t. `validate` therefore measures C(M_s(x)): how well labels are learnt, in pre-training; in
        adaptation what stays as it is (up to the moving average), since the source says nothing of M_t."""
        return self.networks["source_extractor" if domain == "source" else "extractor"]

    @torch.no_grad()
    def _follow(self) -> None:
        ours, theirs = (list(self.networks[n].state_dict().values()) for n in ("extractor", "source_extractor"))
        torch._foreach_copy_(ours, theirs)
