"""What the page asks of a run that learnt classes: what it takes an own picture for, and how surely."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from torch import Tensor

from genshift.data.catalog import lookup
from genshift.errors import Refusal
from genshift.methods import ClassifierMethod
from genshift.methods.base import Domain
from genshift.metrics.calibration import at_temperature, temperature
from genshift.metrics.neighbours import nearest_of
from genshift.model import Model
from genshift.presets import Adaptation
from genshift.studio.pictures import png, uploaded
from genshift.studio.workshop import Opened, Workshop

NEAREST = 8  # training pictures beside a picture
SHOWN_CLASSES = 10


class Classify(Struct, forbid_unknown_fields=True):
    """An own picture, base64 of its file."""

    run: str
    picture: str


def classify(workshop: Workshop, asked: Classify) -> dict[str, Any]:
    """The likeliest classes of an own picture with calibrated confidence, the training pictures nearest to it in
    features, and what the source-only run beside an adapted one says. What needs data that is not there is left out,
    with the reason."""
    path = workshop.path(asked.run)
    opened, data = workshop.open(asked.run), uploaded(asked.picture)
    method = classifier_of(opened.model)
    found: dict[str, Any] = {"notes": []}
    with workshop.computing:
        images, _ = opened.model.read(data)
        found |= {"picture": png(images.images[0]), "notes": list(images.notes)}
        raw = opened.model.probabilities(images.images)
        if opened.model.tells_attributes:
            found["answers"] = _likeliest(raw[0], opened.model.classes)
        else:
            degrees, why = calibration(opened)
            found["notes"] += [] if degrees else [why]
            sure = raw if degrees is None else at_temperature(raw, degrees)
            found |= {"answers": _likeliest(sure[0], opened.model.classes), "temperature": degrees}
        try:
            found["nearest"] = _nearest(opened, method, images.images)
        except Refusal as refusal:
            found["notes"].append(f"No nearest training pictures: {refusal}")
        if opened.preset.adapts:
            found["source_only"] = _source_only(workshop, path, data, found["notes"])
    return found


def classifier_of(model: Model) -> ClassifierMethod:
    """The run's method; Refusal for one that learnt neither classes nor attributes."""
    method = model.run.method
    if not isinstance(method, ClassifierMethod):
        raise Refusal(f"{model.run.folder.path.name} is {model.run.preset.summary}: it names no classes.")
    return method


def calibration(opened: Opened) -> tuple[float | None, str]:
    """The temperature by which held-out labelled pictures are predicted with the confidence that their share of right
    answers has; or None, and why."""

    def fitted() -> tuple[float | None, str]:
        try:
            held_out = opened.data.held_out
        except Refusal as refusal:
            return None, f"Confidence is not calibrated: {refusal}"
        if held_out is None or held_out.labels is None:
            return None, "Confidence is not calibrated: the run held no labelled pictures out."
        said = classifier_of(opened.model).predict(held_out.images, domain_of_labels(opened))
        return temperature(said, held_out.labels), ""

    return opened.once("temperature", fitted)


def domain_of_labels(opened: Opened) -> Domain:
    """As what the labelled pictures pass the network."""
    trained_on_target = isinstance(opened.preset, Adaptation) and opened.preset.method == "target"
    return "target" if trained_on_target else "source"


def fills_frame(opened: Opened) -> bool:
    """Whether digits reach the rim in what the run sees, where MNIST's have a margin."""
    preset = opened.preset
    data = lookup(str(getattr(preset, "data", None) or getattr(preset, "source", "")))
    return data is not None and data.fills_frame and getattr(preset, "frame", "full") == "full"


def _likeliest(shares: Tensor, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    order = shares.argsort(descending=True)[:SHOWN_CLASSES].tolist()
    return [{"class": classes[place], "share": shares[place].item()} for place in order]


def _nearest(opened: Opened, method: ClassifierMethod, images: Tensor) -> list[dict[str, Any]]:
    """Of the labelled training pictures."""
    trained = opened.training_pictures
    features = opened.once("training features", lambda: method.embed(trained.images, domain_of_labels(opened)))
    distances, rows = nearest_of(method.embed(images), features, min(NEAREST, len(trained)))
    found = []
    for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True):
        label = None if trained.labels is None else trained.classes[int(trained.labels[row])]
        found.append({"picture": png(trained.images[row]), "label": label, "distance": distance})
    return found


def _source_only(workshop: Workshop, path: Any, data: bytes, notes: list[str]) -> dict[str, Any] | None:
    """What the run that was not adapted says of the same picture; None where none lies beside."""
    for beside in workshop.source_only(path):
        try:
            opened = workshop.open_folder(beside)
            raw = opened.model.probabilities(opened.model.read(data)[0].images)
            degrees, _ = calibration(opened)
        except Refusal as refusal:  # a broken neighbour takes nothing from this run
            notes.append(f"Source-only is left out: {refusal}")
            continue
        sure = raw if degrees is None else at_temperature(raw, degrees)
        return {"run": beside.name, "answers": _likeliest(sure[0], opened.model.classes), "temperature": degrees}
    return None
