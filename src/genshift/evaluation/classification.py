"""How well a classifier of pictures does on pictures that it was not trained on."""

from __future__ import annotations

import math

import torch

from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.options import EvaluationOptions
from genshift.methods import ClassifierMethod
from genshift.metrics.classification import accuracy, confusion
from genshift.presets import Classifier
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.runs.results import Measure, Results
from genshift.training.domains import in_classes
from genshift.training.training_data import open_unseen


class ClassifierEvaluation(FamilyEvaluation[Classifier, ClassifierMethod]):
    """Accuracy, of the class or of the attributes."""

    def measure(
        self,
        run: RunFolder,
        preset: Classifier,
        method: ClassifierMethod,
        classes: tuple[str, ...],
        options: EvaluationOptions,
    ) -> tuple[Results, Evaluation]:
        """Accuracy on the test split, or on held-out training images where the set has none."""
        images, wording = open_unseen(preset, options.data_root, bool(run.config.get("skip_broken")))
        record: Evaluation = {"classes": list(classes), "warnings": [], "drawn": True}
        if images is None:
            return {}, record
        probabilities = method.predict(images.images)
        protocol = f"{images.name}, {wording}, {len(images):,} at {preset.size} px"
        if preset.answers == "attributes":
            assert images.attributes is not None
            attributes, mean = attribute_accuracy(probabilities, images.attributes, classes, protocol)
            return {"attribute_accuracy": mean}, {**record, "attributes": attributes}
        labels = in_classes(images, classes).labels
        if labels is None:  # of other classes than the run's
            return {}, record
        predicted = probabilities.argmax(1)
        value, error = accuracy(predicted, labels)
        measure = Measure(value, len(images), f"{protocol}; std is the binomial error", error)
        return {"test_accuracy": measure}, {**record, "confusion": confusion(predicted, labels, len(classes)).tolist()}


def attribute_accuracy(
    probabilities: torch.Tensor, attributes: torch.Tensor, names: tuple[str, ...], protocol: str
) -> tuple[dict[str, float], Measure]:
    """The accuracy of each attribute, and their mean; `probabilities` and `attributes` (0 or 1) are `[N, K]`."""
    # Attributes do not exclude one another: each is a question of its own.
    has = attributes > 0
    right = ((probabilities > 0.5) == has).double()
    by_attribute = {name: round(share, 4) for name, share in zip(names, right.mean(0).tolist(), strict=True)}
    by_image = right.mean(1)  # attributes of one image depend on each other: the error is that over images
    frequency = has.double().mean(0)
    words = f"mean of {len(names)} attributes; {protocol}; std is the standard error; floor: always the same answer"
    error = by_image.std().item() / math.sqrt(len(by_image))
    floor = frequency.maximum(1 - frequency).mean().item()
    return by_attribute, Measure(by_image.mean().item(), len(by_image), words, error, floor)
