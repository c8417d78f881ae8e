"""What the tests of adaptation methods share: a step's batch, numpy's softmax, and a training of seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from torch import nn

from genshift import presets
from genshift.data import load
from genshift.data.feed import Batch, StepRandom
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run


def adapted_batch(source: int, target: int, seed: int = 0) -> dict[str, Batch]:
    """Pictures of two domains that differ, in float64, weak views all; labels for the source alone."""
    generator = torch.Generator().manual_seed(seed)
    xs = torch.rand(source, 3, 28, 28, dtype=torch.float64, generator=generator) * 2 - 1
    xt = torch.rand(target, 3, 28, 28, dtype=torch.float64, generator=generator) - 0.2
    ys = torch.arange(source) % 10
    return {"source": Batch(xs, ys, StepRandom(1, 0, source)), "target": Batch(xt, None, StepRandom(2, 0, target))}


def assert_gradients(networks: Mapping[str, nn.Module], others: Mapping[str, nn.Module], *names: str) -> None:
    """The gradients in the networks of these names are those in `others`, and there are some."""
    for name in names:
        for (key, p), q in zip(networks[name].named_parameters(), others[name].parameters(), strict=True):
            assert p.grad is not None and q.grad is not None, (name, key)
            torch.testing.assert_close(p.grad, q.grad, msg=f"{name} {key}")


def softmax(z: Any) -> Any:
    """Of numpy logits `[N, K]`."""
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def accuracy_on_the_embedded_pair(role: str, folder: Path, steps: int = 100, **changes: Any) -> float:
    """Target test accuracy after a training of seconds, from `uci` to `uci-m`; source-only has 0.6 (0.1 is chance).

    On 200 images its standard error is 0.035, and in so few steps most methods have gained little yet: a mark below
    source-only's says that a method learns and does not collapse, one above that it adapts.
    """
    small = {"batch_source": 32, "batch_target": 32, "width": 16, "precision": "float32", "lr_warmup": 0, "lr": 4e-3}
    small |= {"ema_half_life": 0, "validation": 0.0, "select": "last", "source": "uci", "target": "uci-m"}
    small["strong"] = presets.get(f"{role}-usps-mnistm").strong / 2
    preset = presets.get(f"{role}-usps-mnistm").replaced(**{**small, **changes})
    assert tiny.train(preset, folder / role, images=32 * steps)
    images = load("uci-m", "test", size=28)
    assert images.labels is not None
    predicted = open_run(RunFolder(folder / role)).method.predict(images.images).argmax(1)
    return (predicted == images.labels).double().mean().item()
