"""What changes over training, as functions of progress; optimizers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from genshift.methods.muon import Muon


@dataclass(frozen=True)
class Progress:
    """How far training is: `images` of `total` seen."""

    images: int
    total: int

    @property
    def fraction(self) -> float:
        """From 0 at the start to 1 at the end."""
        return min(1.0, self.images / self.total)


def dann_lambda(fraction: float, gamma: float = 10.0) -> float:
    """λ_p = 2/(1+exp(-γp)) - 1, from 0 to 1 (DANN, arXiv 1505.07818, section 5.2.2)."""
    return 2.0 / (1.0 + math.exp(-gamma * fraction)) - 1.0


def learning_rate(lr: float, schedule: str, warmup: int, progress: Progress) -> float:
    """The learning rate at `progress`: a linear rise over `warmup` images, then constant, cosine or linear to 0."""
    rise = min(1.0, (progress.images + 1) / warmup) if warmup else 1.0
    p = progress.fraction
    shape = {"constant": 1.0, "cosine": 0.5 * (1.0 + math.cos(math.pi * p)), "linear": 1.0 - p}[schedule]
    return lr * rise * shape


def make_optimizer(
    kind: str,
    parameters: Iterable[nn.Parameter] | Sequence[dict[str, Any]],
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """Adam, AdamW (PyTorch's defaults but `betas`), Muon for kernels with AdamW for the rest, or SGD with momentum 0.9;
    fused where every parameter allows it. Parameters, or groups of them as torch.optim takes them."""
    given: list[Any] = list(parameters)
    every = [p for one in given for p in (one["params"] if isinstance(one, dict) else [one])]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in every)
    options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "fused": fused}
    if kind == "sgd":
        return torch.optim.SGD(given, momentum=0.9, **options)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
    return kinds[kind](given, betas=betas, **options)
