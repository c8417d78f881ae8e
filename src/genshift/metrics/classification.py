"""How often a classifier is right, and what it takes for what."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genshift.errors import Refusal
from genshift.metrics.binomial import is_extreme, standard_error


def accuracy(predicted: Tensor, labels: Tensor) -> tuple[float, float]:
    """The share of `predicted` [N] that equals `labels` [N], and its binomial standard error.

    The error is what another draw of N test images would change, not what another seed would; see `standard_error`.
    Raises ValueError for unlike shapes, Refusal for no images.
    """
    _check_pair(predicted, labels)
    value = (predicted == labels.to(predicted.device)).double().mean().item()
    return value, standard_error(value, labels.numel())


def error_of_mean(shares: Tensor) -> float:
    """The standard error of the mean of `shares` [N] in [0, 1], one an image; of 0 and 1 as `standard_error`."""
    mean, n = shares.mean().item(), len(shares)
    return standard_error(mean, n) if n < 2 or is_extreme(mean) else shares.std().item() / math.sqrt(n)


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts, int64 [classes, classes] on the CPU: rows are the true class, columns the predicted one.

    `predicted` and `labels` are integers [N]. Raises ValueError for unlike shapes, Refusal for values outside
    0 … classes − 1 or no images.
    """
    _check_pair(predicted, labels)
    true, guess = labels.detach().cpu().long(), predicted.detach().cpu().long()
    for name, values in (("labels", true), ("predictions", guess)):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= classes:
            raise Refusal(
                f"The {name} run from {low} to {high}, and {classes} classes were announced: "
                f"expected 0 to {classes - 1}; check the label column or the number of classes."
            )
    return torch.bincount(true * classes + guess, minlength=classes * classes).reshape(classes, classes)


def recall(confusion_KK: Tensor) -> Tensor:
    """Per-class recall, float64 [K] in [0, 1]; NaN for a class with no image."""
    counts = confusion_KK.double()
    return counts.diagonal() / counts.sum(dim=1)


def _check_pair(predicted: Tensor, labels: Tensor) -> None:
    if predicted.ndim != 1 or predicted.shape != labels.shape:
        raise ValueError(f"predicted is {tuple(predicted.shape)} and labels {tuple(labels.shape)}: both must be [N]")
    if labels.numel() == 0:
        raise Refusal("There are no images to measure accuracy on: expected at least one labelled image.")
