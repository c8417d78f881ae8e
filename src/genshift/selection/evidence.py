"""What speaks for and against a model on its target, without one target label: independent signs, each a number.

`verdict` makes one estimate and one word of them. Every sign is of held-out source images with labels, source training
images, and target training images that are nothing but pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.methods import ClassifierMethod
from genshift.methods.base import Domain
from genshift.metrics.calibration import SMALLEST, at_temperature, temperature
from genshift.metrics.classification import accuracy
from genshift.metrics.discrepancy import Said, disagreement_bound
from genshift.metrics.label_free import difference_of_confidences, optimal_transport, thresholded_confidence
from genshift.metrics.linear_probe import linear_probe
from genshift.metrics.neighbours import nearest_of
from genshift.selection.verdict import Evidence

NEIGHBOURS = 5
NEAR = 0.95  # of held-out source images lie nearer to a training one than what counts as far


def evidence_of(
    method: ClassifierMethod, held_out: Tensor, labels: Tensor, source: Tensor, source_labels: Tensor, target: Tensor
) -> Evidence:
    """The signs of a model, of uint8 images `[N, C, H, W]`: held-out source ones with `labels`, source training ones
    with theirs, and target training ones."""
    labels, source_labels = labels.cpu(), source_labels.cpu()
    raw = {"source": method.predict(held_out, "source"), "target": method.predict(target)}
    classes = raw["source"].shape[1]
    value, _ = accuracy(raw["source"].argmax(1), labels)
    degrees = temperature(raw["source"], labels)
    sure = {domain: at_temperature(said, degrees) for domain, said in raw.items()}
    answers = {domain: said.argmax(1).cpu() for domain, said in raw.items()}
    features = {
        "source": method.embed(held_out, "source").double().cpu(),
        "target": method.embed(target).double().cpu(),
    }
    learnt = method.embed(source, "source").double().cpu()
    logits = {domain: said.double().cpu().clamp(min=SMALLEST).log() for domain, said in raw.items()}
    # How far a critic can contradict it on the target alone.
    bounds = {}
    for name, at in (("bound_logits", logits), ("bound_features", features)):
        said = {domain: Said(at[domain], answers[domain]) for domain in ("source", "target")}
        _, gap = disagreement_bound(said["source"], said["target"], value, classes)
        bounds[name] = max(0.0, value - gap)
    # What the nearest source images are, and how near.
    nearest = {domain: nearest_of(at, learnt, min(NEIGHBOURS, len(learnt))) for domain, at in features.items()}
    voted = {domain: _vote(source_labels[rows], classes) for domain, (_, rows) in nearest.items()}
    far = nearest["source"][0][:, 0].quantile(NEAR)
    shares = {
        domain: torch.bincount(said, minlength=classes).double() / len(said)
        for domain, said in (("source", labels), ("target", answers["target"]))
    }
    count = min(len(learnt), len(target))
    told, _ = linear_probe(
        torch.cat([learnt[:count], features["target"][:count]]), torch.arange(2).repeat_interleave(count)
    )
    return {
        "classes": classes,
        "source": value,
        "held_out": len(labels),
        "images": len(target),
        "temperature": degrees,
        "confidence": sure["target"].amax(1).mean().item(),
        "thresholded": thresholded_confidence(sure["source"], labels, sure["target"]),
        "difference": difference_of_confidences(sure["source"], labels, sure["target"]),
        "transport": optimal_transport(shares["source"], sure["target"]),
        "bound_logits": bounds["bound_logits"],
        "bound_features": bounds["bound_features"],
        "neighbours": (voted["target"] == answers["target"]).double().mean().item(),
        "neighbours_source": (voted["source"] == answers["source"]).double().mean().item(),
        "steady": _steady(method, target, answers["target"], "target"),
        "steady_source": _steady(method, held_out, answers["source"], "source"),
        "near": (nearest["target"][0][:, 0] <= far).double().mean().item(),
        "mixed": min(1.0, 2 * (1 - told)),
        "shares": torch.minimum(shares["source"], shares["target"]).sum().item(),
    }


def _vote(labels: Tensor, classes: int) -> Tensor:
    """The commonest class of each row of labels [N, k]; of several, that of the nearest."""
    votes = F.one_hot(labels, classes).sum(1).double()
    order = torch.arange(labels.shape[1], 0, -1, dtype=torch.float64) / (2 * labels.shape[1] ** 2)
    return (votes + (F.one_hot(labels, classes).double() * order[None, :, None]).sum(1)).argmax(1)


def _steady(method: ClassifierMethod, images: Tensor, said: Tensor, domain: Domain) -> float:
    """How often the class stays under changes that change no class: a shift by a fourteenth of the side each way, a
    tenth smaller, and four fifths of the contrast."""
    side = images.shape[-1]
    step = max(1, side // 14)
    x = images.float()
    padded = F.pad(x, (step, step, step, step), mode="replicate")
    views = [padded[..., a : a + images.shape[-2], b : b + side] for a, b in ((0, step), (step, 0))]
    views += [padded[..., a : a + images.shape[-2], b : b + side] for a, b in ((2 * step, step), (step, 2 * step))]
    views.append(F.interpolate(padded, size=images.shape[-2:], mode="bilinear", antialias=True))
    middle = x.mean((2, 3), keepdim=True)
    views.append(middle + 0.8 * (x - middle))
    stays = [
        (method.predict(view.round().clamp(0, 255).to(torch.uint8), domain).argmax(1).cpu() == said).double().mean()
        for view in views
    ]
    return torch.stack(stays).mean().item()
