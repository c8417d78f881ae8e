"""How well a classifier of pictures does on pictures that it was not trained on."""

from __future__ import annotations

import torch

from genshift.data.imageset import ImageSet
from genshift.data.manifest import Memory
from genshift.errors import Refusal
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.findings import Findings
from genshift.evaluation.options import EvaluationOptions
from genshift.methods import ClassifierMethod
from genshift.metrics.binomial import interval_of_few
from genshift.metrics.classification import accuracy, confusion, error_of_mean
from genshift.presets import Classifier
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import remembered
from genshift.runs.results import Measure
from genshift.training.domains import foreign_note, of_classes
from genshift.training.training_data import open_unseen


class ClassifierEvaluation(FamilyEvaluation[Classifier, ClassifierMethod]):
    """Accuracy, of the class or of the attributes."""

    def reference(self, run: RunFolder, preset: Classifier, options: EvaluationOptions) -> tuple[ImageSet, str]:
        images, wording = _unseen(run, preset, options)
        if images is None:
            raise Refusal(f"{run.path} held nothing of {preset.data} out, and that has no test part: name a folder.")
        return images, f"{images.name}, {wording}"

    def measure(
        self,
        run: RunFolder,
        preset: Classifier,
        method: ClassifierMethod,
        classes: tuple[str, ...],
        options: EvaluationOptions,
    ) -> Findings:
        """Accuracy on the test split, or on held-out training images where the set has none."""
        images, wording = _unseen(run, preset, options)
        found = Findings(classes)
        found.record["drawn"] = True
        if images is None:
            found.record["warnings"].append(f"{preset.data} has no test part, and nothing was held out: no accuracy.")
            return found
        found.images.append(images)
        protocol = f"{images.name}, {wording}, {len(images):,} at {preset.size} px"
        if preset.answers == "attributes":
            with found.measuring("attribute_accuracy"):
                if images.attributes is None or images.attribute_names != classes:
                    raise Refusal(f"{images.name}, {wording}: without the attributes that the run learnt; add them.")
                attributes, mean = attribute_accuracy(
                    method.predict(images.images), images.attributes, classes, protocol
                )
                found.results["attribute_accuracy"] = mean
                found.record["attributes"] = attributes
            return found
        with found.measuring("test_accuracy"):
            known, foreign = of_classes(images, classes)
            if foreign:
                found.record["warnings"].append(foreign_note(images.name, foreign, known.labels is not None))
            if (labels := known.labels) is None:
                raise Refusal(f"{images.name}, {wording}: without labels, or of other classes than the run learnt.")
            predicted = method.predict(known.images).argmax(1)
            value, error = accuracy(predicted, labels)
            protocol = f"{known.name}, {wording}, {len(known):,} at {preset.size} px; std is the binomial error"
            found.results["test_accuracy"] = Measure(
                value, len(known), protocol, error, interval=interval_of_few(value, len(known))
            )
            found.record["confusion"] = confusion(predicted, labels, len(classes)).tolist()
        return found


def _unseen(run: RunFolder, preset: Classifier, options: EvaluationOptions) -> tuple[ImageSet | None, str]:
    """The pictures to measure on, and what they are in words."""
    return open_unseen(preset, options.data_root, bool(run.config.get("skip_broken")), Memory(remembered(run)))


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
    floor = frequency.maximum(1 - frequency).mean().item()
    return by_attribute, Measure(by_image.mean().item(), len(by_image), words, error_of_mean(by_image), floor)
