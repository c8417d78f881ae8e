"""Linear probes of an adapted model's features: how far the domains are mixed, and how far the classes stay apart."""

from __future__ import annotations

import torch

from genshift.data.imageset import ImageSet
from genshift.evaluation.findings import Findings
from genshift.methods import ClassifierMethod
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.linear_probe import linear_probe
from genshift.runs.results import Measure

DOMAINS, CLASSES = "domain_probe_accuracy", "oracle/class_probe_accuracy"
PROBED = 1_000  # images of each domain, the same ones in every run over the same sets: bounds the probes' time
PROBE = (
    "held-out accuracy of a logistic regression on standardised features (two halves, as many of each class in both, "
    "each tested by what the other taught); std is the binomial error"
)


def measure_probes(found: Findings, method: ClassifierMethod, source: ImageSet | None, target: ImageSet | None) -> None:
    """Adds what a linear probe tells of the features: the domain, and by the target's labels (the oracle) the class."""
    if target is None:
        return
    shown = sample(target, PROBED)
    if shown.labels is not None:
        with found.measuring(CLASSES):
            accuracy, error = linear_probe(method.embed(shown.images), shown.labels)
            commonest = int(shown.labels.bincount().max()) / len(shown)
            protocol = f"{PROBE}; the class of {len(shown):,} images of {target.name}; floor: always the commonest"
            found.results[CLASSES] = Measure(accuracy, len(shown), protocol, error, commonest)
    if source is None:
        return
    with found.measuring(DOMAINS):
        count = min(PROBED, len(source), len(target))
        sides = {"source": sample(source, count), "target": sample(target, count)}
        features = torch.cat([method.embed(sides["source"].images, "source"), method.embed(sides["target"].images)])
        accuracy, error = linear_probe(features, torch.arange(2).repeat_interleave(count))
        protocol = f"{PROBE}; {source.name} from {target.name}, {count:,} images of each; floor: domains that are mixed"
        found.results[DOMAINS] = Measure(accuracy, 2 * count, protocol, error, 0.5)


def sample(images: ImageSet, count: int) -> ImageSet:
    """`count` of the images, the same ones in every run over the same set."""
    return images.take(torch.from_numpy(fixed_sample(len(images), count, 0)))
