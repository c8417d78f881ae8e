"""One entry for every family of presets: who looks on while a run trains, and its evaluation afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genshift.data.text import UTF8
from genshift.device import leads_processes
from genshift.errors import Refusal
from genshift.evaluation import labels
from genshift.evaluation.adaptation import AdaptationEvaluation
from genshift.evaluation.classification import ClassifierEvaluation
from genshift.evaluation.diffusion import DiffusionEvaluation
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.findings import Findings
from genshift.evaluation.gan import GANEvaluation
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.two_sets import compare_sets
from genshift.evaluation.vae import VAEEvaluation
from genshift.presets import GAN, VAE, Adaptation, Classifier, Diffusion, Preset
from genshift.runs.files import write_text
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Audit, Evaluation, PictureEntry
from genshift.runs.manifest import placed
from genshift.runs.owner import MEASURING, TRAIN, check_owned, owned
from genshift.runs.results import RESULTS, Results, card, read_results, results_as_json, training_costs
from genshift.runs.trained_run import open_run, preset_of
from genshift.selection import checkpoint_selection
from genshift.selection.rules import DEFAULT_RULE
from genshift.temporary import remove_litter
from genshift.training.console import Console, say_training
from genshift.training.train import Settings

RECORD, CARD = "evaluation.json", "card.md"
FAMILIES: Mapping[str, FamilyEvaluation[Any, Any]] = {
    Adaptation.family: AdaptationEvaluation(),
    Classifier.family: ClassifierEvaluation(),
    GAN.family: GANEvaluation(),
    VAE.family: VAEEvaluation(),
    Diffusion.family: DiffusionEvaluation(),
}


def with_observers(run: RunFolder, preset: Preset, settings: Settings) -> Settings:
    """The settings of a training under the eyes of those who look at its family's networks, in the leading process: the
    others' observers are never called, and need not read what they look at."""
    if not leads_processes():
        return settings
    watching = FAMILIES[preset.family].observers(run, preset, settings)
    return replace(settings, observers=[*settings.observers, *watching])


def after_training(run: RunFolder, preset: Preset, settings: Settings, options: EvaluationOptions | None) -> None:
    """Of a run that was trained to its end, in the leading process: scores what can be chosen among, chooses where the
    preset asks for that, and evaluates, each where it is not done yet; without `options` nothing is evaluated.

    Where another process evaluates the run just then, it waits for the end of that."""
    with owned(run, MEASURING, command=TRAIN, say=Console().say, wait=True):
        if checkpoint_selection.can_choose(run):
            if preset.select == "label-free" and run.selected() is None:
                checkpoint_selection.select([run], DEFAULT_RULE, settings.data_root)
            else:
                checkpoint_selection.score(run, settings.data_root)
        if options is not None and not is_current(run, options):
            _evaluate(run.path, options)


def is_current(run: RunFolder, options: EvaluationOptions) -> bool:
    """Whether the run was evaluated at the checkpoint that now stands for it, with all that is asked for."""
    if not all((run.path / name).exists() for name in (RECORD, RESULTS, CARD)):
        return False
    record: Evaluation = run.read(RECORD)
    drawn = not options.draw or "tsne" in record or record.get("drawn", False)  # adaptation draws a t-SNE alone
    preset = preset_of(run.config)
    as_many = record.get("most") in (None, options.most)
    private = options.keep_pictures or not any(map(_may_be_real, record.get("pictures", [])))
    return (
        _is_of_this(run, record)
        and drawn
        and private
        and as_many
        and FAMILIES[preset.family].is_current(run, preset, record, options)
    )


def evaluate_pictures(pictures: str, reference: str, options: EvaluationOptions) -> Findings:
    """The distances of two sets of pictures, as `two_sets.compare_sets`; Refusal also where every measure was
    refused."""
    found = compare_sets(pictures, reference, options, FAMILIES)
    if not found.results:
        raise Refusal(f"{pictures} could not be compared. {' '.join(found.refused)}")
    return found


def _is_of_this(run: RunFolder, record: Evaluation) -> bool:
    """Whether an evaluation is of the checkpoint that now stands for the run."""
    return record.get("images") == run.seen and record.get("selected") == _selected(run)


def _selected(run: RunFolder) -> str | None:
    """The name of the checkpoint that `genshift select` chose, if it was asked."""
    path = run.selected()
    return None if path is None else path.name


def evaluate(path: Path, options: EvaluationOptions) -> Results:
    """Evaluates a run and writes results.json, evaluation.json and card.md; returns what results.json then holds.

    A measure that is refused ends itself, with a warning. Beside a training it measures the checkpoint that now stands
    for the run. Raises Refusal where the run or its data cannot be read, and where every measure was refused.
    """
    found, results = _evaluate(path, options)
    if found.refused and not found.results:
        raise Refusal(f"Nothing of {path} could be measured. {' '.join(found.refused)}")
    return results


def audit(path: Path, files: Sequence[Path], options: EvaluationOptions, encoding: str = UTF8) -> Audit:
    """What labels of a few target pictures say of a run, as `labels.audit`; where the run was evaluated, results.json
    and card.md say it too. Refusal as there."""
    run = RunFolder(path)
    opened = open_run(run, on=options.device, threads=options.threads)
    say_training(opened)
    with Console().phase("Predicting the target"):
        found = labels.audit(opened, files, options.data_root, options.places, encoding)
    if (run.path / RESULTS).exists():
        results = {**read_results(run), **labels.audited(run, opened.checkpoint)}
        warnings = run.read_if_there(RECORD).get("warnings", [])
        run.write(RESULTS, results_as_json(results))
        write_text(run.path / CARD, card(run, opened.preset, results, warnings))
    return found


def _evaluate(path: Path, options: EvaluationOptions) -> tuple[Findings, Results]:
    """As `evaluate`, also where every measure was refused; what was found, and what results.json then holds."""
    run = RunFolder(path)
    stands = {"images": run.seen, "selected": _selected(run)}  # before it is opened: a training beside this goes on
    opened = open_run(run, on=options.device, threads=options.threads)
    say_training(opened)
    preset = opened.preset
    family = FAMILIES[preset.family]
    family.check_options(run, preset, options)
    remove_litter(run.path)
    with Console().phase("Evaluating"):
        found = family.measure(run, placed(run, preset, options.places), opened.method, opened.classes, options)
    if not options.keep_pictures:
        _drop_real_pictures(run, found.record)
    _say_notes(run, found)
    record, data = found.record, found.stamp(opened.checkpoint.name)
    # Measures that an earlier evaluation was asked for and this one was not, where they still hold.
    kept, kept_record = _kept(run, record.get("sampling"), family.not_asked(options), data)
    results = {**kept, **training_costs(run), **found.results, **labels.audited(run, opened.checkpoint)}
    check_owned(run)
    run.write(RESULTS, results_as_json(results))
    write_text(run.path / CARD, card(run, preset, results, record["warnings"]))
    # Last, for it says of which checkpoint the others are.
    asked = {} if options.most is None else {"most": options.most}
    run.write(RECORD, {**kept_record, **stands, **asked, **record})
    return found, results


def _drop_real_pictures(run: RunFolder, record: Evaluation) -> None:
    """Takes real pictures, and those of which it is not known, out of the run: of this evaluation and of earlier
    ones."""
    record["pictures"] = [entry for entry in record.get("pictures", []) if not _may_be_real(entry)]
    stay = {entry["file"] for entry in record["pictures"]}
    for path in (run.path / "samples").glob("*.*"):
        snapshot = path.name.startswith(("images-", "latents-"))  # generated, and numbers
        if not snapshot and f"samples/{path.name}" not in stay:
            path.unlink()


def _may_be_real(entry: PictureEntry) -> bool:
    return entry.get("real", True) != {}


def _say_notes(run: RunFolder, found: Findings) -> None:
    """Says what was noted when the sets were read that stands neither in config.json, from when the run was begun, nor
    among the warnings."""
    said = {note for entry in run.config["data"].values() for note in entry.get("notes", [])}
    said.update(found.record["warnings"])
    for note in dict.fromkeys(note for images in found.images for note in images.notes):
        if note not in said:
            Console().say(f"note: {note}")


def _kept(
    run: RunFolder, sampling: dict[str, Any] | None, not_asked: frozenset[str], data: str
) -> tuple[Results, Evaluation]:
    """What an earlier evaluation found of the measures that are not asked for now, if the same checkpoint stands for
    the run, samples were drawn alike and the real images are the same, by their digest; and the name of their judge,
    with its tables. What was asked for and failed is not kept."""
    if not all((run.path / name).exists() for name in (RECORD, RESULTS)):
        return {}, {}
    record: Evaluation = run.read(RECORD)
    if not _is_of_this(run, record) or record.get("sampling") != sampling:
        return {}, {}
    earlier = read_results(run).items()
    kept = {name: measure for name, measure in earlier if name in not_asked and measure.data == data}
    kept_record: Evaluation = {"features": record["features"]} if "features" in record else {}
    if "class_accuracy" in kept and "by_class" in record:
        kept_record["by_class"] = record["by_class"]
    if "attribute_flips" in kept and "attribute_changes" in record:
        kept_record["attribute_changes"] = record["attribute_changes"]
    return kept, kept_record
