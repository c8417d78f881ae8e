"""Learning from labels alone: classifiers, and the two bounds of adaptation (source-only, trained on target)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.data.imageset import ImageSet
from genshift.methods.base import ClassifierMethod, at_least_float32
from genshift.methods.schedules import Progress


class Supervised(ClassifierMethod):
    """Cross-entropy on labelled images. BatchNorm sees that one domain."""

    def set_up(self) -> None:
        super().set_up()
        self.draws = (self.preset.labelled,)

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on labelled pictures: "data", or in adaptation "source" (the method `target`: the target's)."""
        source = batch[self.preset.labelled]
        assert source.y is not None
        with self.arithmetic.autocast():
            logits = self.nets["predictor"](self.nets["extractor"](source.x))
        loss = label_loss(logits, source.y)
        self._descend("all", loss)
        return labelled_scalars(loss, logits, source.y)

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Accuracy on held-out labelled pictures, with its binomial error."""
        measures = super().validate(held_out)
        if self.preset.labelled == "source":
            return measures
        return {"accuracy": measures["source_accuracy"], "error": measures["error"]}


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits or log-probabilities `[N, K]` (on the latter it is their negative log-likelihood)."""
    return F.cross_entropy(at_least_float32(logits), labels)


def labelled_scalars(loss: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What a step on labels shows."""
    return {"loss_label": loss.detach(), "accuracy": batch_accuracy(logits, labels)}


def batch_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of a batch that is classified right."""
    return (logits.detach().argmax(1) == labels).float().mean()
