"""What the page asks of a run that learnt classes: what it takes an own picture for, and how surely."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.manifest import Memory
from genshift.errors import Refusal
from genshift.evaluation.labelled_data import evaluation_images
from genshift.methods import ClassifierMethod
from genshift.methods.base import Domain
from genshift.metrics.calibration import at_temperature, temperature
from genshift.metrics.neighbours import nearest_of
from genshift.model import Model
from genshift.presets import Adaptation, Pictures
from genshift.runs.manifest import remembered
from genshift.studio.pictures import png, uploaded
from genshift.studio.workshop import Opened, Workshop
from genshift.training.domains import of_classes
from genshift.training.training_data import open_unseen

NEAREST = 8  # training pictures beside a picture
SHOWN_CLASSES = 10
MNIST_SHARE = 20 / 28  # of the side that a digit takes
INK_PICTURES, DARK = 500, 64  # looked at for it, and the grey below which a ground is dark


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
            found["how"] = why
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
    """The temperature that confidence is told at, and by what: the verdict's, where the run has one, as `predict` tells
    it; else that by which labelled pictures that were not trained on are predicted with the confidence that their share
    of right answers has. Or None, and why. No target label is looked at."""

    def fitted() -> tuple[float | None, str]:
        if (degrees := opened.model.temperature) != 1:
            return degrees, "Confidence is told so that on the run's target its mean is the estimated accuracy."
        domain = domain_of_labels(opened)
        try:
            held_out = opened.data.held_out or unseen_pictures(opened, domain)
        except Refusal as refusal:
            return None, f"Confidence is not calibrated: {refusal}"
        if held_out is None or held_out.labels is None:
            return None, "Confidence is not calibrated: the run held no labelled pictures out, and none are there."
        degrees = temperature(classifier_of(opened.model).predict(held_out.images, domain), held_out.labels)
        where = ": on pictures of the target it can be too high" if opened.preset.adapts else ""
        return degrees, f"Confidence is calibrated on labelled pictures that were not trained on{where}."

    return opened.once("temperature", fitted)


def domain_of_labels(opened: Opened) -> Domain:
    """As what the labelled pictures pass the network."""
    trained_on_target = isinstance(opened.preset, Adaptation) and opened.preset.method == "target"
    return "target" if trained_on_target else "source"


def unseen_pictures(opened: Opened, domain: Domain) -> ImageSet | None:
    """Pictures of a domain that were not trained on, labelled in the run's classes where they are of them; None where
    the run held none out and no test part is there. Refusal where they cannot be read."""
    preset, folder = opened.preset, opened.model.run.folder
    if isinstance(preset, Adaptation):
        images, _ = evaluation_images(domain, folder, preset, opened.data_root)
    else:
        assert isinstance(preset, Pictures)
        skip_broken = bool(folder.config.get("skip_broken"))
        images, _ = open_unseen(preset, opened.data_root, skip_broken, Memory(remembered(folder)))
    return None if images is None else of_classes(images, opened.model.classes)[0]


def ink_share(opened: Opened) -> float:
    """How much of a picture's side a digit takes, the longer way, by the training pictures; as MNIST's makers had it
    where that cannot be told, for there is no dark ground or no picture."""
    try:
        grey = opened.training_pictures.images[:INK_PICTURES].float().mean(1)
    except Refusal:
        return MNIST_SHARE
    ink = grey > grey.amax((1, 2), keepdim=True) / 2
    high, wide = (ink.any(dim).float().sum(1).median().item() for dim in (2, 1))
    is_dark = grey.flatten(1).median().item() < DARK
    return max(high, wide) / grey.shape[-1] if is_dark else MNIST_SHARE


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
