"""How well a classifier of pictures does on pictures that it was not trained on."""

from __future__ import annotations

import math
from typing import Any

from genshift.methods import ClassifierMethod, Method
from genshift.metrics.classification import accuracy, confusion
from genshift.presets import Classifier, Preset
from genshift.runs.folder import RunFolder
from genshift.runs.results import EvaluationOptions, value_of
from genshift.training.domains import in_classes
from genshift.training.training_data import open_unseen


def measure(
    run: RunFolder, preset: Preset, method: Method, classes: tuple[str, ...], asked: EvaluationOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and evaluation on the test split, or on held-out training images where the set has none."""
    assert isinstance(preset, Classifier) and isinstance(method, ClassifierMethod)
    images, wording = open_unseen(preset, asked.data_root, bool(run.config.get("skip_broken")))
    evaluation: dict[str, Any] = {"classes": list(classes), "warnings": [], "drawn": True}
    if images is None:
        return {}, evaluation
    said = method.predict(images.images)
    protocol = f"{images.name}, {wording}, {len(images):,} at {preset.size} px"
    if preset.answers == "classes":
        images = in_classes(images, classes)
        if images.labels is None:
            return {}, evaluation
        value, error = accuracy(said.argmax(1), images.labels)
        evaluation["confusion"] = confusion(said.argmax(1), images.labels, len(classes)).tolist()
        return {
            "test_accuracy": value_of(value, len(images), f"{protocol}; std is the binomial error", error)
        }, evaluation
    assert images.attributes is not None
    has = images.attributes > 0
    right = ((said > 0.5) == has).double()
    often = has.double().mean(0)
    evaluation["attributes"] = {
        name: round(share, 4) for name, share in zip(classes, right.mean(0).tolist(), strict=True)
    }
    each = right.mean(1)
    words = f"mean of {len(classes)} attributes; {protocol}; std is the standard error; floor: always the same answer"
    error, floor = each.std().item() / math.sqrt(len(each)), often.maximum(1 - often).mean().item()
    return {"attribute_accuracy": value_of(each.mean().item(), len(images), words, error, floor)}, evaluation
