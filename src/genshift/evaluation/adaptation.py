"""The keeper of the target's labels: every figure, check and warning that needs them is here, out of the loop's reach.

What it computes with them is an oracle: it is written apart, printed, and never steers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.manifest import Memory
from genshift.device import leads_processes
from genshift.errors import Refusal
from genshift.evaluation import panels
from genshift.evaluation.difficulty import measure_difficulty
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.findings import Findings
from genshift.evaluation.labelled_data import evaluation_images, unread_labels
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import ImageWriter
from genshift.evaluation.probes import measure_probes, sample
from genshift.methods import ClassifierMethod
from genshift.methods.base import CROSS_FITS, Domain
from genshift.metrics.binomial import FEW, interval_of_few
from genshift.metrics.calibration import at_temperature, coverage, expected_calibration_error
from genshift.metrics.classification import accuracy, confusion
from genshift.metrics.embedding import tsne
from genshift.presets import Adaptation
from genshift.presets.benchmark import OWN_STUDY
from genshift.runs.find import neighbour_left_out, source_only_accuracy, unadapted
from genshift.runs.folder import CHOICE, RunFolder
from genshift.runs.forms import Evaluation, Tsne
from genshift.runs.manifest import remembered
from genshift.runs.results import RESULTS, Measure, read_results
from genshift.selection import checkpoint_selection
from genshift.selection.rules import Choice
from genshift.selection.verdict import ESTIMATE
from genshift.training.console import Console
from genshift.training.domains import foreign_note, of_classes, open_domains
from genshift.training.loop import Observer
from genshift.training.train import Settings, predecessor_of

CURVE_IMAGES = 1_000  # whose labels the oracle's curve is measured by, at every check
TSNE_IMAGES = 600  # of each domain
SHOWN = 2_000  # pictures of a domain at most, among which those to show are looked for
ORACLE = "oracle/target_test_accuracy"
CROSS_FITTED = "source_cross_fitted_accuracy"


class AdaptationEvaluation(FamilyEvaluation[Adaptation, ClassifierMethod]):
    """Adapted models and their two bounds: accuracy on the test splits of both domains."""

    def observers(self, run: RunFolder, preset: Adaptation, settings: Settings) -> list[Observer]:
        """One keeps checkpoints to choose from, where the run adapts; one writes the oracle's curve."""
        keepers = [checkpoint_selection.keeper(run)] if preset.adapts and (preset.validation or preset.held_out) else []
        curve = oracle_curve(run, preset, settings)
        return [*keepers, *([] if curve is None else [curve])]

    def is_current(self, run: RunFolder, preset: Adaptation, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether the estimates of target accuracy, where the checkpoints were scored, are among the results."""
        return set(checkpoint_selection.estimate_of_run(run)) <= set(run.read(RESULTS))

    def reference(self, run: RunFolder, preset: Adaptation, options: EvaluationOptions) -> tuple[ImageSet, str]:
        """The target's."""
        images, wording, _ = _domain_images(run, preset, "target", tuple(run.config["classes"]), options.data_root)
        if images is None:
            raise Refusal(f"{run.path} held nothing of {preset.target} out, and that has no test part: name a folder.")
        return images, wording

    def measure(
        self,
        run: RunFolder,
        preset: Adaptation,
        method: ClassifierMethod,
        classes: tuple[str, ...],
        options: EvaluationOptions,
    ) -> Findings:
        """Accuracy on both domains, the target's by its labels (the oracle) and, where a checkpoint was chosen without
        them, as that choice estimates it."""
        found = Findings(classes)
        results, record = found.results, found.record

        def images_of(domain: Domain, measure: str) -> tuple[ImageSet | None, str]:
            # A set that can't be read takes its measures with it, and not the other set's. One that the user names
            # here is refused as a whole: the name may be wrong.
            with nullcontext() if domain in options.places else found.measuring(measure):
                images, wording, warnings = _domain_images(run, preset, domain, classes, options.data_root)
                found.images += [] if images is None else [images]
                record["warnings"] += warnings
                return images, wording
            return None, ""

        target, target_words = images_of("target", ORACLE)
        source, source_words = images_of("source", "source_test_accuracy")
        # What the source's labels say, of a model that learnt from them.
        if source is not None and source.labels is not None and preset.method != "target":
            with found.measuring("source_test_accuracy"):
                predicted = method.predict(source.images, "source").argmax(1)
                results["source_test_accuracy"] = _accuracy(predicted, source.labels, source, source_words)
        # Of few labelled pictures, what their labels say of each by a model that did not see it.
        with found.measuring(CROSS_FITTED):
            results |= _cross_fitted(run, preset, method, options.data_root)
        # What the target's labels say: the oracle.
        if target is not None and target.labels is not None:
            with found.measuring(ORACLE):
                said = method.predict(target.images)
                predicted = said.argmax(1)
                results[ORACLE] = _accuracy(predicted, target.labels, target, target_words)
                record["confusion"] = confusion(predicted, target.labels, len(classes)).tolist()
                record["warnings"] += warnings_of(run, preset, results)
                right = predicted == target.labels.to(predicted.device)
                measure_difficulty(found, target, right)
                _measure_confidence(found, run, said, right)
                if options.draw:
                    found.show(panels.mistakes(ImageWriter(run), target, predicted, classes))
        # Of a user's own pictures, what the model makes of them.
        if preset.study == OWN_STUDY and target is not None and options.keep_pictures:
            _show_answers(found, run, method, classes, source, target)
        # What their features tell: the domain, and the class.
        measure_probes(found, method, source, target)
        if options.draw:
            record["tsne"] = None
            if source is not None and target is not None:
                _draw(found, run, method, source, target, min(TSNE_IMAGES, options.most or TSNE_IMAGES))
        # What was said without them.
        with found.measuring(ESTIMATE):
            results |= checkpoint_selection.estimate_of_run(run)
            record["warnings"] += checkpoint_selection.warnings_of(run)
        if preset.adapts:  # a record may stand alone, without the run that this was read from
            record["source_only_accuracy"] = source_only_accuracy(run)
        return found


def oracle_curve(run: RunFolder, preset: Adaptation, settings: Settings) -> Observer | None:
    """An observer of training that writes the target accuracy to oracle.jsonl, on the same images each time.

    None where the target has no labels; nothing is written where they are of other classes than the source's. The
    images live in the returned function alone.
    """
    images, _ = evaluation_images(
        "target", run, preset, settings.data_root, settings.skip_broken, predecessor_of(settings)
    )
    if images is None or images.labels is None:
        for note in [] if images is None else unread_labels(images):
            Console(leads_processes()).say(f"note: {note}")
        return None
    watched = sample(images, CURVE_IMAGES)

    def observe(images: int, method: ClassifierMethod) -> None:
        # The run's classes stand in its configuration, which is not written yet when the observer is made.
        shown, _ = of_classes(watched, tuple(run.config["classes"]))
        if shown.labels is None:
            return
        value, _ = accuracy(method.predict(shown.images).argmax(1), shown.labels)
        run.append("oracle.jsonl", {"images": images, "target_accuracy": value, "n": len(shown)})

    return observe


def _domain_images(
    run: RunFolder, preset: Adaptation, domain: Domain, classes: tuple[str, ...], data_root: Path | None
) -> tuple[ImageSet | None, str, list[str]]:
    """The images of a domain to measure on, labels counted in the run's classes; what they are and which checkpoint is
    measured, in words; and a warning where pictures, or all labels, are left out because they are of other classes."""
    name = preset.source if domain == "source" else preset.target
    images, wording = evaluation_images(domain, run, preset, data_root, bool(run.config.get("skip_broken")))
    if run.selected() is not None:
        choice: Choice = run.read(CHOICE)
        wording += f", by the checkpoint of {choice['images']:,} images, which the rule '{choice['rule']}' chose"
    if images is None:  # its labels were learnt from, and none was held out
        return None, wording, []
    warnings = unread_labels(images)
    known, foreign = of_classes(images, classes)
    if foreign:
        warnings.append(foreign_note(name, foreign, known.labels is not None))
    return known, wording, warnings


def _accuracy(predicted: Tensor, labels: Tensor, images: ImageSet, wording: str) -> Measure:
    value, error = accuracy(predicted, labels)
    protocol = f"{wording}, {len(images):,} at {images.images.shape[-1]} px; std is the binomial error"
    return Measure(value, len(images), protocol, error, interval=interval_of_few(value, len(images)))


def _cross_fitted(
    run: RunFolder, preset: Adaptation, method: ClassifierMethod, data_root: Path | None
) -> dict[str, Measure]:
    """The accuracy on all labelled pictures of a small source, each answered by a model that did not see it, where the
    method learns such models in seconds; nothing otherwise."""
    entry = run.config["data"]["source"]
    if not method.cross_fits or entry["n"] + entry.get("held_out", 0) >= FEW:
        return {}
    source = open_domains(preset, data_root, bool(run.config.get("skip_broken")), Memory(remembered(run))).labelled
    assert source.labels is not None
    right = method.cross_fitted(source.images, source.labels)
    value, error = accuracy(right, torch.ones_like(right))
    words = f"every labelled picture of {source.name} held out once, in {CROSS_FITS} parts; by source labels alone"
    interval = interval_of_few(value, len(right))
    return {CROSS_FITTED: Measure(value, len(right), f"{words}; std is the binomial error", error, interval=interval)}


def as_told(run: RunFolder, said: Tensor) -> Tensor:
    """Predictions `[N, K]` at the temperature of the run's verdict, where it has one: what a user sees of them."""
    verdict = checkpoint_selection.verdict_of_run(run)
    return said if verdict is None else at_temperature(said, verdict["temperature"])


def _measure_confidence(found: Findings, run: RunFolder, said: Tensor, right: Tensor) -> None:
    """How far confidence is from the truth, as it is told and as the network has it, and what the surest are worth."""
    told, kinds = as_told(run, said), {"": "as it is told", "_raw": "as the network has it"}
    for (end, words), sure in zip(kinds.items(), (told, said), strict=True):
        protocol = f"expected calibration error of 15 bins (arXiv 1706.04599), confidence {words}"
        value = expected_calibration_error(sure.amax(1), right)
        found.results[f"oracle/calibration_error{end}"] = Measure(value, len(right), protocol)
    found.record["coverage"] = [
        {"least": least, "coverage": share, "accuracy": value} for least, share, value in coverage(told.amax(1), right)
    ]


def _show_answers(
    found: Findings,
    run: RunFolder,
    method: ClassifierMethod,
    classes: tuple[str, ...],
    source: ImageSet | None,
    target: ImageSet,
) -> None:
    """Pictures of the target by what the model says of them; no label of theirs is looked at."""
    shown, writer = sample(target, SHOWN), ImageWriter(run)
    with found.measuring("pictures of the target by what is said of them"):
        said = as_told(run, method.predict(shown.images))
        for least in (False, True):
            found.show(panels.surest(writer, shown, said, classes, least))
        found.show(panels.contested(writer, shown, said, classes))
        if source is not None:
            known = sample(source, SHOWN)
            features = {"source": method.embed(known.images, "source"), "target": method.embed(shown.images)}
            found.show(panels.nearest_source(writer, shown, known, features, classes))


def _draw(
    found: Findings, run: RunFolder, method: ClassifierMethod, source: ImageSet, target: ImageSet, most: int
) -> None:
    """Pictures of both domains, and a map of the features of at most so many of each."""
    with found.measuring("domains.png"):
        found.show(panels.domains(ImageWriter(run), source, target))
    with found.measuring("t-SNE"):
        found.record["tsne"] = _latent_map(method, source, target, most)


def _latent_map(method: ClassifierMethod, source: ImageSet, target: ImageSet, most: int) -> Tsne:
    """t-SNE of features of both domains: the same images in every run over the same sets, so that maps compare."""
    samples = [sample(part, most) for part in (source, target)]
    features = torch.cat([method.embed(samples[0].images, "source"), method.embed(samples[1].images, "target")])
    xy = tsne(features, seed=0)
    labels: list[int | None] = []
    for part in samples:
        labels += [-1] * len(part) if part.labels is None else part.labels.tolist()
    return {
        "x": [round(float(value), 3) for value in xy[:, 0]],
        "y": [round(float(value), 3) for value in xy[:, 1]],
        "label": labels,
        "domain": [0] * len(samples[0]) + [1] * len(samples[1]),
        "n": len(features),
        "split": f"{source.name} and {target.name}, {len(samples[0])} + {len(samples[1])} evaluation images",
    }


# --- warnings -------------------------------------------------------------------------------------------------------


def warnings_of(run: RunFolder, preset: Adaptation, results: Mapping[str, Measure]) -> list[str]:
    """What the labels say against the run: an adapted model below its source-only baseline, where one lies beside."""
    baseline = find_baseline(run) if preset.adapts else None
    if baseline is None:
        return []
    ours, theirs = results[ORACLE].value, read_results(baseline)[ORACLE].value
    if ours >= theirs:
        return []
    return [
        f"Adaptation did harm: {preset.name} reaches {ours:.2%} on {preset.target}, below source-only's {theirs:.2%} "
        f"({baseline.path.name})."
    ]


def find_baseline(run: RunFolder) -> RunFolder | None:
    """The evaluated source-only run of the same study, task and seed in the same parent folder, if there is one."""
    for other in unadapted(run):
        try:
            if (other.path / RESULTS).exists() and ORACLE in read_results(other):
                return other
        except Refusal as refusal:  # no baseline, and no reason to refuse this run
            neighbour_left_out(str(refusal))
    return None
