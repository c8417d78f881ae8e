"""A checkpoint chosen by the labels of a few target pictures, under its own name, and what such a choice costs.

The rules of `genshift.selection` read no target label; this choice does, and is only made where a user asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genshift.data.text import UTF8
from genshift.errors import Refusal
from genshift.evaluation import labels
from genshift.runs.folder import CHOICE, RunFolder, images_of
from genshift.runs.trained_run import load_networks, open_run
from genshift.selection.checkpoint_selection import checkpoints_of
from genshift.selection.rules import Choice
from genshift.training.console import Console

RULE = labels.BY_LABELS
DRAWS = 2_000  # of the bootstrap


class AuditedChoice(TypedDict):
    """What was chosen: the checkpoint, its accuracy on the n labelled pictures, how far the choice itself made that too
    high, and every candidate's accuracy."""

    checkpoint: str
    accuracy: float
    optimism: float
    n: int
    candidates: dict[str, float]


def choose_by_labels(
    path: Path,
    files: Sequence[Path],
    data_root: Path | None = None,
    places: Mapping[str, str] | None = None,
    encoding: str = UTF8,
) -> AuditedChoice:
    """Chooses the checkpoint that names most of the labelled pictures right (the latest of several), and writes
    selection.json. Refusal as `labels.read_answers`, and where there is one checkpoint alone."""
    run = RunFolder(path)
    opened = open_run(run, "last")
    preset = labels.audited_preset(opened, places)
    paths = checkpoints_of(run)
    if len(paths) < 2:
        raise Refusal(f"{path} has one checkpoint: there is nothing to choose among.")
    plan = labels.find_plan(run, files)
    target = labels.target_of(opened, preset, "train" if plan is None else plan.split, data_root)
    answers = labels.read_answers(files, target, preset.target, opened.classes, encoding)
    named = [answer for answer in answers.rows if answer.label >= 0]
    if not named:
        raise Refusal("No labelled picture shows one of the run's classes: nothing can be chosen by it.")
    pictures = target.images.images[[answer.row for answer in named]]
    wanted = np.array([answer.label for answer in named])
    method: Any = opened.method
    right = []
    for candidate in Console().track(paths, "Holding checkpoints against the labels"):
        load_networks(method, candidate, run.config["images"])
        right.append(method.predict(pictures).argmax(1).cpu().numpy() == wanted)
    accuracies = np.mean(right, axis=1)
    best = len(paths) - 1 - int(np.argmax(accuracies[::-1]))
    chosen, accuracy, cost = paths[best], float(accuracies[best]), optimism(right)
    words = f"{len(named)} labels chose this among {len(paths)} checkpoints: what the same labels say of it is about "
    choice: Choice = {
        "rule": RULE,
        "why": f"right on most of {len(named)} labelled target pictures",
        "checkpoint": chosen.name,
        "images": images_of(chosen),
        "candidates": len(paths),
        "among": [path.name],
        "warnings": [f"{words}{100 * cost:.1f} points too high; label others to know its accuracy."],
    }
    run.write(CHOICE, choice)
    by_name = {path.name: float(value) for path, value in zip(paths, accuracies, strict=True)}
    return {
        "checkpoint": chosen.name, "accuracy": accuracy, "optimism": cost, "n": len(named), "candidates": by_name,
    }  # fmt: skip


def optimism(right: ArrayLike) -> float:
    """By how much the accuracy of the best of K candidates is too high on the n pictures that chose it, in [0, 1];
    right: bool `[K, n]`.

    By the bootstrap (Efron 1983): pictures drawn again with replacement choose anew, and the chosen one's accuracy on
    them is held against that on all n.
    """
    hits: NDArray[np.float64] = np.asarray(right, dtype=np.float64)
    count = hits.shape[1]
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    again = drawn @ hits.T / count
    best = again.argmax(1)
    return max(0.0, float((again[np.arange(DRAWS), best] - hits.mean(1)[best]).mean()))
