"""The keeper of the target's labels: every figure, check and warning that needs them is here, out of the loop's reach.

What it computes with them is an oracle: it is written apart, printed, and never steers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.methods import ClassifierMethod, Method
from genshift.metrics.classification import accuracy, confusion
from genshift.metrics.embedding import fixed_sample, tsne
from genshift.presets import Adaptation
from genshift.runs.folder import CHOICE, RunFolder
from genshift.runs.results import EvaluationOptions, value_of
from genshift.selection.rules import unadapted
from genshift.training.domains import evaluation_images, in_classes
from genshift.training.loop import Observer

CURVE_IMAGES = 1_000
TSNE_IMAGES = 600  # of each domain


def oracle_curve(
    run: RunFolder, preset: Adaptation, data_root: Path | None, skip_broken: bool = False
) -> Observer | None:
    """An observer of training that writes the target accuracy to oracle.jsonl, on the same images each time.

    None where the target has no labels; nothing is written where they are of other classes than the source's. The
    images live in the returned function alone.
    """
    images, _ = evaluation_images(preset.target, preset, data_root, skip_broken, preset.method == "target")
    if images is None or images.labels is None:
        return None
    sample = images.take(torch.from_numpy(fixed_sample(len(images), CURVE_IMAGES, 0)))

    def observe(images: int, method: Method) -> None:
        assert isinstance(method, ClassifierMethod)
        shown = in_classes(sample, tuple(run.config["classes"]))
        if shown.labels is None:
            return
        value, _ = accuracy(method.predict(shown.images).argmax(1), shown.labels)
        run.append("oracle.jsonl", {"images": images, "target_accuracy": value, "n": len(shown)})

    return observe


def measure(
    run: RunFolder, preset: Adaptation, method: Method, classes: tuple[str, ...], asked: EvaluationOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and evaluation of an adapted model, or of one of its bounds, on its test splits."""
    assert isinstance(method, ClassifierMethod)
    target, source, wording, strange = _measured_on(run, preset, asked.data_root, classes)
    results: dict[str, Any] = {}
    evaluation: dict[str, Any] = {"classes": list(classes), "warnings": strange}
    if source is not None and source.labels is not None and preset.method != "target":
        results["source_test_accuracy"] = _measured(method.predict(source.images, "source"), source, wording["source"])
    if target is not None and target.labels is not None:
        probabilities = method.predict(target.images)
        results["oracle/target_test_accuracy"] = _measured(probabilities, target, wording["target"])
        evaluation["confusion"] = confusion(probabilities.argmax(1), target.labels, len(classes)).tolist()
        evaluation["warnings"] += warnings_of(run, preset, results)
    if asked.draw:
        evaluation["tsne"] = None if source is None or target is None else _latent_map(method, source, target)
    return results, evaluation


def _measured_on(
    run: RunFolder, preset: Adaptation, data_root: Path | None, classes: tuple[str, ...]
) -> tuple[ImageSet | None, ImageSet | None, dict[str, str], list[str]]:
    """Target and source images to measure on, labels counted in the run's classes, what they are in words, and of
    which labels are left out because they are of other classes."""
    skip_broken = bool(run.config.get("skip_broken"))
    found, wording, strange = [], {}, []
    for domain in ("target", "source"):
        name = getattr(preset, domain)
        seen_labels = name == preset.trains_on
        fingerprint = run.config["data"]["source"]["fingerprint"]
        images, wording[domain] = evaluation_images(name, preset, data_root, skip_broken, seen_labels, fingerprint)
        wording[domain] += _by_rule(run)
        found.append(None if images is None else in_classes(images, classes))
        if images is not None and (others := set(images.classes) - set(classes)):
            strange.append(
                f"{name} has labels of classes that were not learnt ({', '.join(sorted(others)[:3])}): unused."
            )
    return found[0], found[1], wording, strange


def _by_rule(run: RunFolder) -> str:
    """Which checkpoint was measured, where a rule chose it."""
    if run.selected() is None:
        return ""
    choice = run.read(CHOICE)
    return f", by the checkpoint of {choice['images']:,} images, which the rule '{choice['rule']}' chose"


def _measured(probabilities: Tensor, images: ImageSet, wording: str) -> dict[str, Any]:
    assert images.labels is not None
    value, error = accuracy(probabilities.argmax(1), images.labels)
    protocol = f"{wording}, {len(images):,} at {images.images.shape[-1]} px; std is the binomial error"
    return value_of(value, len(images), protocol, error)


def _latent_map(method: ClassifierMethod, source: ImageSet, target: ImageSet) -> dict[str, Any]:
    """t-SNE of features of both domains: the same images in every run over the same sets, so that maps compare."""
    parts = [part.take(torch.from_numpy(fixed_sample(len(part), TSNE_IMAGES, 0))) for part in (source, target)]
    features = torch.cat([method.embed(parts[0].images, "source"), method.embed(parts[1].images, "target")])
    xy = tsne(features, seed=0)
    labels = [[-1] * len(p) if p.labels is None else p.labels.tolist() for p in parts]
    return {
        "x": [round(float(v), 3) for v in xy[:, 0]],
        "y": [round(float(v), 3) for v in xy[:, 1]],
        "label": labels[0] + labels[1],
        "domain": [0] * len(parts[0]) + [1] * len(parts[1]),
        "n": len(features),
        "split": f"{source.name} and {target.name}, {len(parts[0])} + {len(parts[1])} evaluation images",
    }


# --- warnings -------------------------------------------------------------------------------------------------------


def warnings_of(run: RunFolder, preset: Adaptation, results: dict[str, Any]) -> list[str]:
    """What the labels say against the run: an adapted model below its source-only baseline, were it found beside."""
    if preset.method in ("source", "target"):
        return []
    baseline = find_baseline(run)
    if baseline is None:
        return []
    key = "oracle/target_test_accuracy"
    ours, theirs = results[key]["value"], baseline.read("results.json")[key]["value"]
    if ours >= theirs:
        return []
    return [
        f"Adaptation did harm: {preset.name} reaches {ours:.2%} on {preset.target}, below source-only's {theirs:.2%} "
        f"({baseline.path.name})."
    ]


def find_baseline(run: RunFolder) -> RunFolder | None:
    """The evaluated source-only run of the same study, task and seed in the same parent folder, if there is one."""
    for other in unadapted(run):
        try:
            if "oracle/target_test_accuracy" in other.read("results.json"):
                return other
        except Refusal:  # not evaluated, or broken: no baseline, and no reason to refuse this run
            continue
    return None
