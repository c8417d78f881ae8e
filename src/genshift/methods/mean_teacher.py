"""Self-ensembling (French, Mackiewicz and Fisher 2018, arXiv 1706.05208): a student that follows its own average."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genshift.data.feed import Batch
from genshift.data.strong import strong_view
from genshift.methods.base import ClassifierMethod, at_least_float32
from genshift.methods.schedules import Progress
from genshift.methods.supervised import batch_accuracy, label_loss
from genshift.nets.backbone import BackboneParts
from genshift.nets.layers import all_gather_rows, in_domain
from genshift.presets import BenchmarkPreset

PAIRS = ("extractor", "predictor")


class MeanTeacher(ClassifierMethod):
    """`extractor` and `predictor` are the teacher, which answers; `student_extractor` and `student_predictor` learn.

    BatchNorm: each domain is normalised by its own batch, as the paper asks. The teacher's weights and its
    statistics of the source follow the student's; its statistics of the target are those of the images it sees.
    """

    draws = ("source", "target")
    preset: BenchmarkPreset

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """The student, which learns."""
        return {"student_extractor": parts.extractor(), "student_predictor": parts.predictor()}

    def set_up(self) -> None:
        for name in PAIRS:
            self.networks[name].load_state_dict(self.networks[f"student_{name}"].state_dict())
            self.networks[name].requires_grad_(False)
        self.optimizers = {"all": self._optimizer(self.preset.lr, *(f"student_{name}" for name in PAIRS))}

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step of the student on labelled source images and on strong views of the target's, which the teacher
        answers in weak ones; then the teacher follows."""
        source, target = batch["source"], batch["target"]
        assert source.y is not None
        strong = strong_view(target.weak, target.draws, self.rule.mean, self.rule.std)
        with self.arithmetic.autocast():
            with torch.no_grad():  # the teacher's probabilities, of weak views
                features = in_domain(self.networks["extractor"], "target")(target.weak)
                taught = at_least_float32(self.networks["predictor"](features)).softmax(1)
            extractor = self.nets["student_extractor"]
            both = [in_domain(extractor, "source")(source.x), in_domain(extractor, "target")(strong)]
            logits = at_least_float32(self.nets["student_predictor"](torch.cat(both)))
        zs, zt = logits[: len(source.y)], logits[len(source.y) :]
        loss_label = label_loss(zs, source.y)
        sure = (taught.amax(1) > self.preset.threshold).to(zt.dtype)
        distance, unevenness = agreement(zt.softmax(1), taught, sure)
        loss_target = distance + self.preset.balance * unevenness
        self._descend("all", loss_label + self.preset.consistency * loss_target)
        self._follow(len(source.y) * (len(all_gather_rows(sure)) // len(sure)))
        return {
            "loss_label": loss_label.detach(),
            "loss_target": loss_target.detach(),
            "accuracy": batch_accuracy(zs, source.y),
            "confident": sure.mean(),
        }

    @torch.no_grad()
    def _follow(self, images: int) -> None:
        """The teacher's average moves by a step of so many source images."""
        weight = 1 - 0.5 ** (images / self.preset.teacher_half_life)
        for name in PAIRS:
            teacher, student = self.networks[name].state_dict(), self.networks[f"student_{name}"].state_dict()
            names = [key for key in teacher if "running" not in key and teacher[key].is_floating_point()]
            torch._foreach_lerp_([teacher[key] for key in names], [student[key] for key in names], weight)


def agreement(student: Tensor, teacher: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
    """How far the student is from the teacher, and how unevenly it uses its classes; of probabilities `[N, K]`, and of
    which images the teacher is `sure`, 0 or 1 `[N]`.

    The squared difference, a mean over classes and over all images, those below the threshold counting 0; the binary
    cross-entropy of the student's mean probabilities, of the whole batch, with 1/K each, summed over classes and scaled
    by the share of images that are sure.
    """
    distance = ((student - teacher).square().mean(1) * sure).mean()
    even = 1 / student.shape[1]
    mean = all_gather_rows(student).mean(0).clamp(1e-6, 1 - 1e-6)
    unevenness = -(even * mean.log() + (1 - even) * (1 - mean).log()).sum()
    return distance, unevenness * all_gather_rows(sure).mean()
