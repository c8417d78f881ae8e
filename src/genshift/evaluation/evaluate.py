"""One entry for every family of presets: who looks on while a run trains, and its evaluation afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genshift.device import leads_processes
from genshift.evaluation.adaptation import AdaptationEvaluation
from genshift.evaluation.classification import ClassifierEvaluation
from genshift.evaluation.diffusion import DiffusionEvaluation
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.generation import LatentGeneratorEvaluation
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.vae import VAEEvaluation
from genshift.presets import GAN, VAE, Adaptation, Classifier, Diffusion, Preset
from genshift.runs.files import write_text
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.runs.results import RESULTS, Results, card, read_results, results_as_json, training_costs
from genshift.runs.trained_run import open_run, preset_of
from genshift.selection import checkpoint_selection
from genshift.selection.rules import DEFAULT_RULE
from genshift.training.console import Console
from genshift.training.train import Settings

RECORD, CARD = "evaluation.json", "card.md"
FAMILIES: Mapping[str, FamilyEvaluation[Any, Any]] = {
    Adaptation.family: AdaptationEvaluation(),
    Classifier.family: ClassifierEvaluation(),
    GAN.family: LatentGeneratorEvaluation(),
    VAE.family: VAEEvaluation(),
    Diffusion.family: DiffusionEvaluation(),
}


def with_observers(run: RunFolder, preset: Preset, settings: Settings) -> Settings:
    """The settings of a training under the eyes of those who look at its family's networks, in the leading process: the
    others' observers are never called, and need not read what they look at."""
    if not leads_processes():
        return settings
    watching = FAMILIES[preset.family].observers(run, preset, settings.data_root, settings.skip_broken)
    return replace(settings, observers=[*settings.observers, *watching])


def after_training(run: RunFolder, preset: Preset, settings: Settings, options: EvaluationOptions | None) -> None:
    """Of a run that was trained to its end, in the leading process: scores what can be chosen among, chooses where the
    preset asks for that, and evaluates, each where it is not done yet; without `options` nothing is evaluated."""
    if checkpoint_selection.can_choose(run):
        if preset.select == "label-free" and run.selected() is None:
            checkpoint_selection.select([run], DEFAULT_RULE, settings.data_root)
        else:
            checkpoint_selection.scored(run, settings.data_root)
    if options is not None and not is_current(run, options):
        evaluate(run.path, options)


def is_current(run: RunFolder, options: EvaluationOptions) -> bool:
    """Whether the run was evaluated at the checkpoint that now stands for it, with all that is asked for."""
    if not all((run.path / name).exists() for name in (RECORD, RESULTS, CARD)):
        return False
    record: Evaluation = run.read(RECORD)
    drawn = not options.draw or "tsne" in record or record.get("drawn", False)  # adaptation draws a t-SNE alone
    preset = preset_of(run.config)
    return _is_of_this(run, record) and drawn and FAMILIES[preset.family].is_current(run, preset, record, options)


def _is_of_this(run: RunFolder, record: Evaluation) -> bool:
    """Whether an evaluation is of the checkpoint that now stands for the run."""
    return record.get("images") == run.seen and record.get("selected") == _selected(run)


def _selected(run: RunFolder) -> str | None:
    """The name of the checkpoint that `genshift select` chose, if it was asked."""
    path = run.selected()
    return None if path is None else path.name


def evaluate(path: Path, options: EvaluationOptions) -> Results:
    """Evaluates a run and writes results.json, evaluation.json and card.md; returns what results.json then holds.

    Raises Refusal where the run or its data cannot be read.
    """
    opened = open_run(path, on=options.device, threads=options.threads)
    run, preset = opened.folder, opened.preset
    family = FAMILIES[preset.family]
    family.check_options(run, preset, options)
    with Console().phase("Evaluating"):
        measured, record = family.measure(run, preset, opened.method, opened.classes, options)
    # Measures that an earlier evaluation was asked for and this one was not, where they still hold.
    kept, kept_record = _kept(run, record.get("sampling"))
    results = {**kept, **training_costs(run), **measured}
    run.write(RESULTS, results_as_json(results))
    write_text(run.path / CARD, card(run, preset, results, record["warnings"]))
    # Last, for it says of which checkpoint the others are.
    run.write(RECORD, {**kept_record, "images": run.seen, "selected": _selected(run), **record})
    return results


def _kept(run: RunFolder, sampling: dict[str, Any] | None) -> tuple[Results, Evaluation]:
    """What an earlier evaluation measured besides, if the same checkpoint stands for the run and samples were drawn
    alike: its results, and the name of the judge."""
    if not all((run.path / name).exists() for name in (RECORD, RESULTS)):
        return {}, {}
    record: Evaluation = run.read(RECORD)
    if not _is_of_this(run, record) or record.get("sampling") != sampling:
        return {}, {}
    return read_results(run), {"features": record["features"]} if "features" in record else {}
