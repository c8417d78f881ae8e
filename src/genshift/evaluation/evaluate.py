"""Trains under the eye of those who measure, and evaluates: one entry for every family of presets."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genshift.device import leads_processes
from genshift.evaluation import adaptation, classification, generation
from genshift.evaluation.feature_distance import judge_name
from genshift.presets import Adaptation, Generator, Preset
from genshift.runs.files import write_text
from genshift.runs.folder import RunFolder
from genshift.runs.records import SOURCE_ONLY
from genshift.runs.results import EvaluationOptions, card, costs
from genshift.runs.trained_run import open_run, preset_of
from genshift.selection import checkpoint_selection
from genshift.selection.rules import DEFAULT, source_only_accuracy
from genshift.training.loop import Observer
from genshift.training.train import Settings, train


def train_and_evaluate(preset: Preset, path: Path, settings: Settings, asked: EvaluationOptions) -> bool:
    """Trains (or continues) under its observers' eyes, then in the leading process scores what can be chosen among and
    evaluates, where that is not done yet.

    Returns False where a signal stopped the training early; the same call then continues.
    """
    run = RunFolder(path)
    observers = [*settings.observers, *_observers(run, preset, settings)]
    if not train(preset, path, replace(settings, observers=observers)):
        return False
    if leads_processes():
        if checkpoint_selection.can_choose(run):
            if preset.select == "label-free" and run.selected() is None:
                checkpoint_selection.select([run], DEFAULT, settings.data_root)
            else:
                checkpoint_selection.scored(run, settings.data_root)
        if not is_current(run, asked):
            evaluate(path, asked)
    return True


def _observers(run: RunFolder, preset: Preset, settings: Settings) -> list[Observer]:
    if isinstance(preset, Adaptation):
        curve = adaptation.oracle_curve(run, preset, settings.data_root, settings.skip_broken)
        keepers = [checkpoint_selection.keeper(run)] if preset.adapts and preset.validation else []
        return [*keepers, *([] if curve is None else [curve])]
    if isinstance(preset, Generator):
        return generation.observers(run, preset, settings.data_root, settings.skip_broken)
    return []


def is_current(run: RunFolder, asked: EvaluationOptions) -> bool:
    """Whether the run was evaluated at the checkpoint that now stands for it, with all that is asked for."""
    if not all((run.path / name).exists() for name in ("evaluation.json", "results.json", "card.md")):
        return False
    evaluation = run.read("evaluation.json")
    if not set(checkpoint_selection.estimates_of(run)) <= set(run.read("results.json")):
        return False
    drawn = not asked.draw or "tsne" in evaluation or evaluation.get("drawn", False)
    same = evaluation.get("images") == run.seen and evaluation.get("selected") == _selected(run)
    return same and drawn and _compared(run, evaluation, asked)


def _selected(run: RunFolder) -> str | None:
    """The name of the checkpoint that `genshift select` chose, if it was asked."""
    path = run.selected()
    return None if path is None else path.name


def _compared(run: RunFolder, evaluation: dict[str, Any], asked: EvaluationOptions) -> bool:
    """Whether a generator's pictures were drawn as asked, and compared in the features that are asked for."""
    preset = preset_of(run.config)
    if not isinstance(preset, Generator):
        return True
    sampling = generation.sampling_asked(run, preset, asked)
    if evaluation.get("sampling") != (None if sampling is None else asdict(sampling)):
        return False
    judged = asked.features is None or evaluation.get("features") == judge_name(asked.features)
    return judged and ("fid" in run.read("results.json") or (asked.weights is None and not asked.download))


def evaluate(path: Path, asked: EvaluationOptions) -> dict[str, Any]:
    """Evaluates a run and writes results.json, evaluation.json and card.md; returns what results.json then holds.

    Raises Refusal where the run or its data cannot be read.
    """
    run = RunFolder(path)
    opened = open_run(run)
    preset, method, classes = opened.preset, opened.method, opened.classes
    if isinstance(preset, Adaptation):
        found, evaluation = adaptation.measure(run, preset, method, classes, asked)
        found |= checkpoint_selection.estimates_of(run)
        evaluation["warnings"] += checkpoint_selection.warnings_of(run)
        if preset.adapts:  # a record may stand alone, without the run that this was read from
            evaluation[SOURCE_ONLY] = source_only_accuracy(run)
    elif isinstance(preset, Generator):
        found, evaluation = generation.measure(run, preset, method, classes, asked)
    else:
        found, evaluation = classification.measure(run, preset, method, classes, asked)
    before, results = _alike(run, evaluation.get("sampling"))
    results |= {**costs(run), **found}
    run.write("results.json", results)
    write_text(run.path / "card.md", card(run, preset, results, evaluation["warnings"]))
    run.write("evaluation.json", {**before, "images": run.seen, "selected": _selected(run), **evaluation})
    return results


def _alike(run: RunFolder, sampling: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stays of an evaluation of the same checkpoint, drawn alike, that was asked for more: the name of the
    features, and its results."""
    if not all((run.path / name).exists() for name in ("evaluation.json", "results.json")):
        return {}, {}
    evaluation = run.read("evaluation.json")
    if evaluation.get("images") != run.seen or evaluation.get("sampling") != sampling:
        return {}, {}
    return {key: evaluation[key] for key in ("features",) if key in evaluation}, run.read("results.json")
