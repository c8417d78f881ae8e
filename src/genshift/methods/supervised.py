"""Learning from labels alone: classifiers, and the two bounds of adaptation (source-only, trained on target)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch, PixelNormalization
from genshift.data.imageset import ImageSet
from genshift.device import Arithmetic
from genshift.methods.base import ClassifierMethod, at_least_float32
from genshift.methods.schedules import Progress
from genshift.presets import Adaptation, Classifier


class Supervised(ClassifierMethod):
    """Cross-entropy on labelled images. BatchNorm sees that one domain."""

    def __init__(
        self,
        preset: Adaptation | Classifier,
        networks: dict[str, nn.Module],
        rule: PixelNormalization,
        arithmetic: Arithmetic,
    ) -> None:
        super().__init__(preset, networks, rule, arithmetic)
        self.set = "data" if isinstance(preset, Classifier) else "source"
        self.draws = (self.set,)
        self.optimizers = {"all": self._optimizer(preset.lr, *networks)}

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on labelled pictures: "data", or in adaptation "source" (the target's own, in the role 'target')."""
        source = batch[self.set]
        assert source.y is not None
        with self.arithmetic.autocast():
            logits = self.nets["predictor"](self.nets["extractor"](source.x))
        loss = label_loss(logits, source.y)
        self._descend("all", loss)
        return labelled_scalars(loss, logits, source.y)

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Accuracy on held-out labelled pictures, with its binomial error."""
        found = super().validate(held_out)
        return {"accuracy": found["source_accuracy"], "error": found["error"]} if self.set == "data" else found


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits or log-probabilities `[N, K]` (on the latter it is their negative log-likelihood)."""
    return F.cross_entropy(at_least_float32(logits), labels)


def labelled_scalars(loss: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What a step on labels shows."""
    return {"loss_label": loss.detach(), "accuracy": batch_accuracy(logits, labels)}


def batch_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of a batch that is classified right."""
    return (logits.detach().argmax(1) == labels).float().mean()
