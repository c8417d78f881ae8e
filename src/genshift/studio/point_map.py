"""The latent map: features of evaluation pictures of each domain in the plane, with the pictures themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta, Struct
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.pixels import to_colour
from genshift.errors import Refusal
from genshift.evaluation.probes import sample
from genshift.methods.base import Domain
from genshift.metrics.calibration import at_temperature
from genshift.metrics.embedding import pca_plane, tsne
from genshift.presets import Adaptation
from genshift.studio.classes import calibration, classifier_of, unseen_pictures
from genshift.studio.pictures import sheet
from genshift.studio.workshop import MOST, Opened, Workshop

NO_LABEL = -1
SMALLEST_SHOWN = 28  # pixels of a picture's side, which is halved until it is below twice as much


class MapOf(Struct, forbid_unknown_fields=True):
    """A map of so many pictures in all, laid out so."""

    run: str
    count: Annotated[int, Meta(ge=10, le=MOST)] = 1_000
    layout: Literal["pca", "tsne"] = "pca"


def point_map(workshop: Workshop, asked: MapOf) -> dict[str, Any]:
    """Columns, one entry a point: its place, its domain, its label by the set (−1: none), the class that it is taken
    for and how surely; and the pictures in one sheet, in the order of the points."""
    opened = workshop.open(asked.run)
    method, classes = classifier_of(opened.model), opened.model.classes
    if opened.model.tells_attributes:
        raise Refusal("This run learnt attributes, which do not exclude one another: it has no map by class.")
    with workshop.computing:
        parts, notes = _parts(opened, asked.count)
        degrees, why = calibration(opened)
        features = torch.cat([method.embed(images.images, domain) for domain, images in parts])
        said = torch.cat([method.predict(images.images, domain) for domain, images in parts])
    # Laid out without the lock: others need not wait for it.
    xy = tsne(features, seed=0) if asked.layout == "tsne" else pca_plane(features)
    confidence, predicted = (said if degrees is None else at_temperature(said, degrees)).max(1)
    pictures = torch.cat([_shown(images.images) for _, images in parts])
    labels = [_labels_of(images) for _, images in parts]
    domains = [[place] * len(images) for place, (_, images) in enumerate(parts)]
    return {
        "x": np.round(xy[:, 0], 4).tolist(),
        "y": np.round(xy[:, 1], 4).tolist(),
        "label": [label for part in labels for label in part],
        "domain": [place for part in domains for place in part],
        "predicted": predicted.tolist(),
        "confidence": [round(value, 4) for value in confidence.tolist()],
        "classes": list(classes),
        "domains": [f"{domain}: {images.name}" if opened.preset.adapts else images.name for domain, images in parts],
        "sheet": sheet(pictures),
        "side": pictures.shape[-1],
        "notes": [*notes, why],
    }


def _parts(opened: Opened, count: int) -> tuple[list[tuple[Domain, ImageSet]], list[str]]:
    """Evaluation pictures by domain, of each an equal number, their labels in the run's classes; and what is missing.
    Refusal where none can be read."""
    parts: list[tuple[Domain, ImageSet]] = []
    notes: list[str] = []
    domains: tuple[Domain, ...] = ("source", "target") if isinstance(opened.preset, Adaptation) else ("source",)
    for domain in domains:
        try:
            images = unseen_pictures(opened, domain)
        except Refusal as refusal:
            notes.append(str(refusal))
            continue
        if images is None:
            notes.append(f"The run held nothing of its {domain} out, and that has no test part.")
            continue
        parts.append((domain, sample(replace(images, attributes=None, attribute_names=()), count // len(domains))))
    if not parts:
        raise Refusal(f"There is nothing to map. {' '.join(notes)}")
    return parts, notes


def _labels_of(images: ImageSet) -> list[int]:
    return [NO_LABEL] * len(images) if images.labels is None else images.labels.tolist()


def _shown(images: Tensor) -> Tensor:
    """In colour, and no larger than a map needs."""
    images = to_colour(images.cpu(), "rgb")
    while images.shape[-1] >= 2 * SMALLEST_SHOWN:
        images = torch.nn.functional.avg_pool2d(images.float(), 2).round().to(torch.uint8)
    return images
