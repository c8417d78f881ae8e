"""Probabilities that mean what they say: a temperature from labelled images, and how far probabilities are off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genshift.metrics.inputs import as_points
from genshift.metrics.label_free import as_probabilities

COOLEST, HOTTEST = 0.05, 20.0  # temperatures that are looked at
SMALLEST = 1e-12  # a probability's, before its logarithm
STEPS = 20  # of coverage
BINS = 15  # of confidence (Guo et al. 2017)


def temperature(probabilities: Tensor, labels: Tensor) -> float:
    """The T in [0.05, 20] by which softmax(log p / T) of the predictions [N, K] is likeliest, given their integer
    `labels` [N]: above 1 where they are too sure.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2). A label's likelihood is smoothed by one
    image's weight spread over all, so that a set without a mistake does not ask for T = 0. Raises ValueError for unlike
    counts, and as `as_probabilities` does.
    """
    from scipy.optimize import minimize_scalar

    logs, true = as_probabilities(probabilities).clamp(min=SMALLEST).log(), torch.as_tensor(labels).cpu()
    if true.shape != logs.shape[:1]:
        raise ValueError(f"there are {len(logs)} predictions and labels {tuple(true.shape)}: expected one an image")
    targets = torch.nn.functional.one_hot(true.long(), logs.shape[1]).double()
    targets = (len(logs) * targets + 1.0 / logs.shape[1]) / (len(logs) + 1)

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        return -(targets * scaled.log_softmax(1)).sum(1).mean().item()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded").x))


def temperature_of_mean(probabilities: Tensor, mean: float) -> float:
    """The T in [0.05, 20] at which the mean confidence of predictions [N, K], the largest of softmax(log p / T) in each
    row, is `mean`: where the share of right answers is known or estimated, confidence then says it, as far as one
    number can bring that about. The nearest end where no T reaches it. Raises as `as_probabilities` does.
    """
    from scipy.optimize import brentq

    logs = as_probabilities(probabilities).clamp(min=SMALLEST).log()

    def too_sure(log_temperature: float) -> float:
        return (logs / np.exp(log_temperature)).softmax(1).amax(1).mean().item() - mean

    coolest, hottest = float(np.log(COOLEST)), float(np.log(HOTTEST))
    if too_sure(coolest) <= 0:
        return COOLEST
    return HOTTEST if too_sure(hottest) >= 0 else float(np.exp(brentq(too_sure, coolest, hottest)))


def at_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """softmax(log p / T) of each row of `probabilities` [N, K], float64: the same order of classes, less sure where T
    is above 1. Raises as `as_probabilities` does."""
    return (as_probabilities(probabilities).clamp(min=SMALLEST).log() / temperature).softmax(1)


def expected_calibration_error(confidence: npt.ArrayLike | Tensor, right: npt.ArrayLike | Tensor) -> float:
    """How far `confidence` [N] in [0, 1] is from the share that is `right` [N], a mean over 15 bins of confidence of
    equal width, weighed by their images: a share in [0, 1] (Guo et al. 2017, arXiv 1706.04599, equation 3).

    Raises ValueError for unlike counts or values outside [0, 1], Refusal for no images.
    """
    sure, true = (as_points(torch.as_tensor(values)[:, None])[:, 0] for values in (confidence, right))
    if sure.shape != true.shape:
        raise ValueError(f"there are {len(sure)} confidences and {len(true)} answers: expected one an image")
    if bool(((sure < 0) | (sure > 1)).any()):
        raise ValueError("confidences must lie in [0, 1]")
    places = (sure * BINS).ceil().clamp(1, BINS).long() - 1  # bins (a, b], the first with 0
    off = torch.zeros(BINS, dtype=torch.float64).index_add_(0, places, sure - true)
    return (off.abs().sum() / len(sure)).item()


def coverage(confidence: Tensor, right: Tensor) -> list[tuple[float, float, float]]:
    """What is right of the surest pictures alone: for each twentieth of `confidence` [N], the least confidence among
    so many of the surest, their share of all, and the share of them that is `right` [N]."""
    order = confidence.detach().cpu().double().argsort(descending=True, stable=True)
    sure, true = confidence.detach().cpu().double()[order], right.detach().cpu().double()[order].cumsum(0)
    counts = dict.fromkeys(max(1, round(len(sure) * step / STEPS)) for step in range(1, STEPS + 1))
    return [(sure[n - 1].item(), n / len(sure), true[n - 1].item() / n) for n in counts]
