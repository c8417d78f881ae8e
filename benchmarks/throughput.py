"""DANN's training throughput beside a plain loop of the same networks, in one run.

The plain loop is written the usual way: two `DataLoader`s whose data set applies PIL transforms to one image at a time,
float32, NCHW, PyTorch's own layers and Adam. Both sides use the same threads, batch and step; every second of both is
counted, from the stored bytes to the stepped weights. The rounds alternate, so that a busy machine slows both.

    python benchmarks/throughput.py --networks hw2 --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from genshift import device, presets
from genshift.data.feed import Feed, TrainingSet
from genshift.data.imageset import ImageSet
from genshift.methods.dann import GradientReversal, dann_lambda
from genshift.methods.schedules import Progress
from genshift.nets import layers
from genshift.runs.trained_run import build_method
from genshift.training.ema import MovingAverage

PRESETS = {"hw2": "hw2-dann-mnistm-svhn", "hw3": "hw3-dann-mnistm-svhn"}
IMAGES = 4_096


class PlainImages(Dataset[tuple[Tensor, int]]):
    """Images as a tutorial holds them: arrays, each made a PIL picture and then a tensor when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: float, std: float) -> None:
        self.images, self.labels, self.mean, self.std = images, labels, mean, std

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index]).convert("RGB").resize((28, 28))
        x = torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).contiguous().float().div(255)
        return (x - self.mean) / self.std, int(self.labels[index])


def synthetic(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB images uint8 [N, 28, 28, 3] of noise (throughput does not look at them) and labels."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (IMAGES, 28, 28, 3), np.uint8), generator.integers(0, 10, IMAGES)


def plain_networks(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The same networks over PyTorch's own layers."""
    own = {layers.Conv2d: nn.Conv2d, layers.BatchNorm1d: nn.BatchNorm1d, layers.BatchNorm2d: nn.BatchNorm2d}
    for net in networks.values():
        for module in net.modules():
            module.__class__ = own.get(type(module), module.__class__)
    return networks


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


def plain_step(preset: presets.Adaptation) -> Callable[[], None]:
    """One step of the plain loop, as the cited sources write it."""
    arithmetic = device.choose_arithmetic("float32", torch.device("cpu"))
    method = build_method(preset, 10, arithmetic, 0)
    networks = plain_networks(method.networks)
    extractor, predictor, domain = (networks[n] for n in ("extractor", "predictor", "domain"))
    model = torch.optim.Adam([*extractor.parameters(), *predictor.parameters()], lr=preset.lr)
    adversary = torch.optim.Adam(domain.parameters(), lr=preset.lr)

    def loader(seed: int, batch: int) -> Iterator[Any]:
        images = PlainImages(*synthetic(seed), preset.mean, preset.std)
        return endless(DataLoader(images, batch, shuffle=True, drop_last=True))

    source, target = loader(0, preset.batch_source), loader(1, preset.batch_target)

    def alternating() -> None:
        (xs, ys), (xt, _) = next(source), next(target)
        is_source = torch.cat([torch.ones(len(xs), 1), torch.zeros(len(xt), 1)])
        features = extractor(torch.cat([xs, xt]))
        loss = F.binary_cross_entropy_with_logits(domain(features.detach()), is_source)
        adversary.zero_grad()
        loss.backward()
        adversary.step()
        loss = F.cross_entropy(predictor(features[: len(xs)]), ys)
        loss = loss - 0.1 * F.binary_cross_entropy_with_logits(domain(features), is_source)
        model.zero_grad()
        loss.backward()
        model.step()
        loss.item()

    def reversal() -> None:
        (xs, ys), (xt, _) = next(source), next(target)
        fs, ft = extractor(xs), extractor(xt)
        lam = dann_lambda(0.5)
        loss = F.nll_loss(predictor(fs), ys)
        loss = loss + F.nll_loss(domain(GradientReversal.apply(fs, lam)), torch.zeros(len(xs), dtype=torch.long))
        loss = loss + F.nll_loss(domain(GradientReversal.apply(ft, lam)), torch.ones(len(xt), dtype=torch.long))
        model.zero_grad()
        adversary.zero_grad()
        loss.backward()
        model.step()
        adversary.step()
        loss.item()

    return reversal if preset.adversary == "reversal" else alternating


def our_step(preset: presets.Adaptation) -> Callable[[], None]:
    """One step as genshift's loop takes it, its moving average included."""
    arithmetic = device.choose_arithmetic("auto", torch.device("cpu"))
    method = build_method(preset, 10, arithmetic, 0)
    parts = {}
    for seed, (name, batch) in enumerate((("source", preset.batch_source), ("target", preset.batch_target))):
        images, labels = synthetic(seed)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        parts[name] = TrainingSet(ImageSet(name, pixels, torch.from_numpy(labels).long()), batch)
    feed = Feed(parts, method.rule, arithmetic, seed=0)
    average = MovingAverage(method.networks, preset.ema_half_life)
    seen = 0

    def step() -> None:
        nonlocal seen
        method.step(feed.at(seen), Progress(seen, 10_000_000))
        average.update(method.networks, feed.batch, seen)
        seen += feed.batch

    return step


def seconds_a_step(step: Callable[[], None], steps: int) -> float:
    """The mean over `steps`."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", choices=tuple(PRESETS), default="hw2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    preset = presets.get(PRESETS[args.networks])
    assert isinstance(preset, presets.Adaptation)
    device.prepare_process(args.threads, torch.device("cpu"))
    steps = {"plain": plain_step(preset), "genshift": our_step(preset)}
    for step in steps.values():
        seconds_a_step(step, 3)
    rounds = [{name: seconds_a_step(step, args.steps) for name, step in steps.items()} for _ in range(args.rounds)]
    speed = {name: preset.batch_source / statistics.median(r[name] for r in rounds) for name in steps}
    ratios = sorted(r["plain"] / r["genshift"] for r in rounds)
    print(
        json.dumps(
            {
                "networks": args.networks,
                "batch": [preset.batch_source, preset.batch_target],
                "threads": args.threads,
                "machine": device.machine(torch.device("cpu")),
                "source_images_per_second": {name: round(value, 1) for name, value in speed.items()},
                "ratio": round(statistics.median(ratios), 2),
                "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
            }
        )
    )


if __name__ == "__main__":
    main()
