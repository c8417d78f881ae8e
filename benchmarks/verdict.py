"""Runs whose truth is known, and what the verdict says of them without it.

    python benchmarks/shapes.py PHOTOS SHAPES --labelled
    python benchmarks/verdict.py train OUT --data-root DATA --pacs PACS --shapes SHAPES [--only WORD]
    python benchmarks/verdict.py fit OUT
    python benchmarks/verdict.py judge OUT

`train` trains the runs that `planned` lists one after the other, short ones, and keeps of each what it says of source
and target (NAME.npz) and its evidence and truth (NAME.json), 40 kB together; the run itself is dropped. What is there
is not trained again. The verdict is developed on the tasks of DEVELOPED: `fit` gives its constants from them. `judge`
says how far it is off on the others, beside each sign alone. Warnings, which can only make a word worse, are left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

import genshift
from genshift.data.manifest import Memory
from genshift.errors import Refusal
from genshift.evaluation.labelled_data import evaluation_images
from genshift.runs.files import write_json
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import remembered
from genshift.runs.trained_run import open_run, preset_of
from genshift.selection.evidence import evidence_of
from genshift.selection.verdict import APART, EDGE, SIGNS, verdict_of
from genshift.training.domains import in_classes, open_domains

DEVELOPED = ("mnistm-usps", "photo-art_painting")
IMAGES = 1_000  # of each kind that evidence is computed from
RIDGE = 0.02


@dataclass(frozen=True)
class Planned:
    """A run: a preset's or method's name, its task and options."""

    preset: str
    source: str
    target: str
    images: int
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return f"{self.source}-{self.target}"

    @property
    def name(self) -> str:
        given = [f"{key}-{value}" for key, value in self.options.items() if key != "size"]
        return "_".join([self.task, self.preset, str(self.images), *given, f"seed{self.seed}"])


DIGITS = (
    ("mnistm", "usps"), ("mnistm", "svhn"), ("usps", "mnistm"), ("svhn", "usps"), ("svhn", "mnistm"), ("usps", "svhn"),
    ("mnist", "mnistm"),
)  # fmt: skip
PACS = (
    ("photo", "art_painting"), ("art_painting", "photo"), ("photo", "cartoon"), ("cartoon", "photo"),
)  # fmt: skip


def planned() -> list[Planned]:
    """Every run; those of DEVELOPED in more settings and seeds."""
    runs = []
    for source, target in DIGITS:
        seeds = range(3 if f"{source}-{target}" in DEVELOPED else 1)
        for seed in seeds:
            runs += [
                Planned("hw3-source-mnistm-svhn", source, target, 4_000, seed),
                Planned("hw3-source-mnistm-svhn", source, target, 40_000, seed),
                Planned("hw3-dann-mnistm-svhn", source, target, 60_000, seed),
                Planned("hw3-dann-mnistm-svhn", source, target, 30_000, seed, {"lam": 5.0}),
                Planned("hw3-adda-mnistm-svhn", source, target, 60_000, seed),
                Planned("mcc", source, target, 16_000, seed),
                Planned("adapt", source, target, 12_000, seed),
                Planned("adamatch-im", source, target, 12_000, seed),
            ]
    for source, target in (*PACS, ("shapes-source", "shapes-target")):
        seeds = range(3 if f"{source}-{target}" in DEVELOPED else 1)
        for seed in seeds:
            runs += [
                Planned("adapt-source", source, target, 2_000, seed, {"size": 64}),
                Planned("adapt-source", source, target, 10_000, seed, {"size": 64}),
                Planned("adapt", source, target, 6_000, seed, {"size": 64}),
                Planned("dann", source, target, 6_000, seed, {"size": 64, "colour": "rgb", "validation": 0.2}),
                Planned("mcc", source, target, 6_000, seed, {"size": 64, "colour": "rgb", "validation": 0.2}),
            ]
    return runs


def place(name: str, given: argparse.Namespace) -> str:
    """A set's name, or where its pictures lie."""
    if name.startswith("shapes-"):
        return str(given.shapes / name.removeprefix("shapes-"))
    folder = given.pacs / name
    return str(folder) if folder.exists() else name


def train(run: Planned, out: Path, given: argparse.Namespace) -> None:
    """Trains a run, keeps what tells of it, and drops it."""
    begun, folder = time.process_time(), out / "training" / run.name
    places = {"source": place(run.source, given), "target": place(run.target, given)}
    genshift.train(
        run.preset, folder, data_root=given.data_root, seed=run.seed, threads=1, evaluate=False,
        images=run.images, **places, **run.options,
    )  # fmt: skip
    spent = time.process_time() - begun
    opened = RunFolder(folder)
    preset: Any = preset_of(opened.config)
    domains = open_domains(preset, given.data_root, memory=Memory(remembered(opened)))
    held_out, method = domains.held_out, open_run(opened).method
    if held_out is None or held_out.labels is None or domains.labelled.labels is None:
        raise Refusal(f"{run.name} held nothing of its source out.")
    rng = np.random.default_rng(0)
    rows = np.arange(len(domains.labelled)) if domains.labelled_rows is None else domains.labelled_rows.numpy()
    chosen = [np.sort(rng.permutation(part)[:IMAGES]) for part in (rows, np.arange(len(domains.target)))]
    evidence = evidence_of(
        method, held_out.images[:IMAGES], held_out.labels[:IMAGES],
        domains.labelled.images[chosen[0]], domains.labelled.labels[chosen[0]], domains.target.images[chosen[1]],
    )  # fmt: skip
    images, _ = evaluation_images("target", opened, preset, given.data_root)
    assert images is not None
    images = in_classes(images, tuple(opened.config["classes"]))
    assert images.labels is not None
    said = method.predict(images.images[: 2 * IMAGES])
    truth = images.labels[: 2 * IMAGES]
    right = (said.argmax(1).cpu() == truth).double().mean().item()
    arrays = {
        "source": method.predict(held_out.images[:IMAGES], "source").half().numpy(),
        "source_labels": held_out.labels[:IMAGES].to("cpu").numpy().astype(np.uint8),
        "target": said.half().numpy(),
        "target_labels": truth.numpy().astype(np.uint8),
    }
    np.savez_compressed(out / f"{run.name}.npz", **arrays)
    facts = {"task": run.task, "preset": run.preset, "images": run.images, "seed": run.seed, "options": run.options}
    write_json(out / f"{run.name}.json", {**facts, "seconds": spent, "evidence": evidence, "truth": right})
    shutil.rmtree(folder)


# --- what is made of them ---------------------------------------------------------------------------------------------


def known(out: Path, developed: bool) -> list[dict[str, Any]]:
    """The runs that are there, of the tasks that the verdict was developed on or of the others."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    return [run for run in runs if (run["task"] in DEVELOPED) == developed]


def fit(out: Path) -> None:
    """Prints SLOPE and SHIFT by least squares, each task of the same weight, with a ridge toward 1 and 0, for the tasks
    are few; and how far off they leave the runs, in log-odds."""
    runs = known(out, developed=True)
    truth, chance = np.array([run["truth"] for run in runs]), np.array([1 / run["evidence"]["classes"] for run in runs])
    signs = np.array([[sign(run["evidence"]) for sign in SIGNS.values()] for run in runs])
    tasks = [run["task"] for run in runs]
    weights = np.array([1 / tasks.count(task) for task in tasks])
    odds = logit(((signs.mean(1) - chance) / (1 - chance)).clip(EDGE, 1 - EDGE))

    def loss(x: np.ndarray) -> float:
        said = chance + (1 - chance) * expit(x[0] * odds + x[1])
        return float((weights * (said - truth) ** 2).sum() + RIDGE * ((x[0] - 1) ** 2 + x[1] ** 2))

    found = minimize(loss, [1.0, 0.0], method="Nelder-Mead").x
    off = logit(truth) - logit(chance + (1 - chance) * expit(found[0] * odds + found[1]))
    apart = np.ptp(signs, 1)
    for name, chosen in (("near", apart <= APART), ("apart", apart > APART)):
        deviation = np.sqrt((off[chosen] ** 2).mean())
        print(f"signs {name}: {chosen.sum()} runs, {apart[chosen].mean():.2f} apart, {deviation:.2f} off")
    print(f"{len(runs)} runs: SLOPE, SHIFT = {found[0]:.2f}, {found[1]:.2f}")


def judge(out: Path) -> None:
    """Prints how the verdict does on the tasks that it was not developed on, beside each sign alone."""
    runs = known(out, developed=False)
    truth = np.array([run["truth"] for run in runs])
    verdicts = [verdict_of(run["evidence"]) for run in runs]
    low, high = (np.array([verdict[end] for verdict in verdicts]) for end in ("low", "high"))
    print(f"{len(runs)} runs of {len({run['task'] for run in runs})} tasks; in points of accuracy")
    told = {"the verdict": [verdict["value"] for verdict in verdicts]}
    for name, sign in SIGNS.items():
        told[name] = [sign(run["evidence"]) for run in runs]
    told["difference of confidences"] = [run["evidence"]["difference"] for run in runs]
    for name, values in told.items():
        off = 100 * (np.array(values) - truth)
        sizes = f"{abs(off).mean():5.1f} on average, {abs(off).max():5.1f} at most"
        print(f"{name:28} off by {sizes}, {off.mean():+5.1f} signed")
    inside = (low <= truth) & (truth <= high)
    print(f"95% interval: right in {inside.mean():.0%}, {100 * (high - low).mean():.0f} wide on average")
    words = np.array([verdict["word"] for verdict in verdicts])
    for least, most in ((0.9, 1.01), (0.75, 0.9), (0.5, 0.75), (0.0, 0.5)):
        here = words[(least <= truth) & (truth < most)]
        counts = ", ".join(f"{(here == word).sum()} {word}" for word in ("good", "doubtful", "do not use"))
        print(f"truth {least:.0%} to {min(most, 1):.0%}: {len(here)} runs, {counts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "fit", "judge"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--pacs", type=Path)
    parser.add_argument("--shapes", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    if given.what != "train":
        {"fit": fit, "judge": judge}[given.what](given.out)
        raise SystemExit
    given.out.mkdir(parents=True, exist_ok=True)
    for run in planned():
        if given.only in run.name and not (given.out / f"{run.name}.json").exists():
            print(run.name, flush=True)
            try:
                train(run, given.out, given)
            except Refusal as refusal:
                print(f"  left out: {refusal}", flush=True)
