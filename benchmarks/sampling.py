"""What a picture costs: a diffusion run's own sampling beside hw2's procedure, with the same network, in one run.

hw2 draws with 1,000 ancestral steps and guidance 3: both branches at every step, or the unconditional one skipped at
random. A third line draws ancestrally with the run's own guidance, so that no sampler is blamed for a guidance. After
each of them the run's own sampling ("ours"; a multistep solver in 20 steps where that takes hundreds) draws as many
pictures again: a ratio compares neighbours, which a busy machine slows alike. Accuracies and distances are a
classifier's, from as many pictures as the line drew. A distance of few pictures is high whoever drew them, so compare
at equal n, beside the floor: real pictures of that n.

    python benchmarks/sampling.py runs/digits-diffusion --features runs/digits-classifier --data-root data --threads 2
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift import device
from genshift.evaluation.feature_distance import FeatureSpace, classifier_space
from genshift.evaluation.generation import training_pictures
from genshift.methods import DiffusionMethod
from genshift.methods.base import CHUNK
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.frechet import Gaussian, frechet, statistics
from genshift.presets import Sampling
from genshift.runs.files import write_json
from genshift.runs.folder import RunFolder
from genshift.sampling.sampler_settings import in_few_steps
from genshift.sampling.trained_generator import open_generator

GUIDANCE, SKIP = 3.0, 0.5  # hw2's, as its preset has them
REFERENCE = 5_000  # training pictures, at most
SEED = 0
HEAD = ("procedure", "evaluations", "seconds", "times ours", "n", "right class", "Fréchet", "floor")


def procedures(own: Sampling, steps: int, conditional: bool) -> dict[str, Sampling]:
    """The ancestral ways of drawing, by name; without labels there is nothing to guide away from."""
    ancestral = replace(own, sampler="ddpm", steps=steps, spacing="time", skip=0.0)
    if not conditional:
        return {f"{steps:,} ancestral steps": ancestral}
    report = Sampling(sampler="ddpm", steps=steps, guidance=GUIDANCE)
    named = f"{steps:,} ancestral steps, guidance"
    found = {
        f"{named} {GUIDANCE:g}": report,
        f"{named} {GUIDANCE:g} skipped at {SKIP:.0%}": replace(report, skip=SKIP),
    }
    return found if ancestral == report else {**found, f"{named} as ours": ancestral}


@dataclass(frozen=True)
class Judge:
    """A classifier's features, real pictures in them, `others` beside these, and the classes that are asked for."""

    space: FeatureSpace
    real: Gaussian
    others: Tensor
    classes: tuple[str, ...]

    def looks_at(self, pictures: Tensor) -> dict[str, Any]:
        """Accuracy (None where the classifier knows other classes), distance and floor of uint8 `[n, C, H, W]`."""
        n = len(pictures)
        return {
            "n": n,
            "accuracy": self._accuracy(pictures),
            "frechet": frechet(self.real, statistics(self.space.embed(pictures))),
            "floor": frechet(self.real, statistics(self.space.embed(self.others[:n]))),
        }

    def _accuracy(self, pictures: Tensor) -> float | None:
        space, classes = self.space, self.classes
        if space.classify is None or not classes or set(space.classes) != set(classes):
            return None
        answers = [space.classes[number] for number in space.classify(pictures).tolist()]
        return sum(name == classes[i % len(classes)] for i, name in enumerate(answers)) / len(answers)


def judge(run: RunFolder, features: Path, data_root: Path | None, classes: tuple[str, ...], most: int) -> Judge:
    """The judge of a run: at most REFERENCE training pictures to compare with, and `most` others for floors."""
    preset = open_generator(run).preset
    train, space = training_pictures(run, preset, data_root), classifier_space(features)
    count = min(len(train), REFERENCE + most)
    rows = torch.from_numpy(fixed_sample(len(train), count, SEED))
    rows = rows[torch.randperm(count, generator=torch.Generator().manual_seed(SEED))]  # a floor takes the first n
    if most > count // 2:
        raise SystemExit(f"--count is at most half the {len(train):,} training pictures.")
    return Judge(space, statistics(space.embed(train.images[rows[most:]])), train.images[rows[:most]], classes)


def drawn(method: DiffusionMethod, how: Sampling, count: int) -> tuple[Tensor, dict[str, Any]]:
    """The first pictures of series SEED, and what one of them cost."""
    own = copy.copy(method)
    own.sampling = how
    begun = time.perf_counter()
    pictures = own.sample(count, SEED)
    seconds = (time.perf_counter() - begun) / (-(-count // CHUNK) * CHUNK)  # chunks are drawn whole
    return pictures, {"evaluations": own.evaluations, "seconds": seconds, "sampling": asdict(how)}


def measured(method: DiffusionMethod, seen: Judge, args: argparse.Namespace, say: Callable[[str], None]) -> list[Any]:
    """The rows of the table."""
    own = in_few_steps(method.sampling)
    drawn(method, replace(own, steps=1), CHUNK)  # warms up
    pictures, cost = drawn(method, own, args.count)
    rows = [{"procedure": "ours", **cost, "ratio": 1.0, **seen.looks_at(pictures)}]
    for name, how in procedures(own, args.steps, method.classes > 0).items():
        say(f"{name} …")
        pictures, cost = drawn(method, how, args.count_ancestral)
        again, beside = drawn(method, own, args.count_ancestral)
        ratio = cost["seconds"] / beside["seconds"]
        rows.append({"procedure": name, **cost, "ratio": ratio, **seen.looks_at(pictures)})
    return [*rows, {"procedure": "ours, as many", **beside, "ratio": 1.0, **seen.looks_at(again)}]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in columns."""
    lines = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    aligned = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join(aligned)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    right = "–" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
    cost = f"{row['evaluations']:,.0f}", f"{row['seconds']:.4g}", f"{row['ratio']:.3g}"
    return row["procedure"], *cost, f"{row['n']:,}", right, f"{row['frechet']:.4g}", f"{row['floor']:.4g}"


def main() -> None:
    """Measures, prints one table, and writes it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a diffusion model's run")
    parser.add_argument("--features", type=Path, required=True, help="the classifier's run that judges")
    parser.add_argument("--count", type=int, default=1_000, help="pictures drawn as the run draws")
    parser.add_argument("--count-ancestral", type=int, default=50, help="pictures drawn ancestrally")
    parser.add_argument("--steps", type=int, default=1_000, help="ancestral steps")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None, help="file for the same as JSON")
    args = parser.parse_args()
    chosen = device.choose_device()
    device.prepare_process(args.threads, chosen)
    run = RunFolder(args.run)
    generator = open_generator(run)
    method, classes = generator.method, generator.classes
    if not isinstance(method, DiffusionMethod):
        raise SystemExit(f"{args.run} is no diffusion model's run.")
    seen = judge(run, args.features, args.data_root, classes, max(args.count, args.count_ancestral))
    rows = measured(method, seen, args, lambda text: print(text, flush=True))
    machine = f"{device.machine(chosen)}, {torch.get_num_threads()} threads, {method.arithmetic.precision}"
    print(f"{args.run.name}, {run.seen:,} images; {machine}; features of {seen.space.name}\n\n{table(rows)}")
    if args.json is not None:
        about = {"run": args.run.name, "images": run.seen, "machine": machine, "features": seen.space.name}
        write_json(args.json, {**about, "rows": rows})


if __name__ == "__main__":
    main()
