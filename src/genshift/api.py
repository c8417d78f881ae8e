"""The verbs of genshift as Python functions; the command line calls these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from genshift import nets, presets, studies
from genshift.data.check import look
from genshift.data.imageset import ImageSet
from genshift.data.survey import typical_side
from genshift.data.text import UTF8
from genshift.device import leads_processes
from genshift.errors import Refusal, unknown
from genshift.evaluation import evaluate as evaluating
from genshift.evaluation import labelling
from genshift.evaluation import sweep as sweeping
from genshift.evaluation.audited_choice import choose_by_labels
from genshift.evaluation.labels import FOLDER
from genshift.evaluation.options import EvaluationOptions
from genshift.exporting import hub
from genshift.exporting import write as exporting
from genshift.exporting.about import metadata
from genshift.exporting.bundle import bundle as write_bundle
from genshift.exporting.parts import open_part
from genshift.methods import class_of, networks_of
from genshift.model import Pictures, load
from genshift.nets.pretrained import read_weights, squeezenet_of
from genshift.paths import AnyPath, given_path, given_paths, output_file, output_folder
from genshift.presets import YOURS, BenchmarkPreset, Preset, Student
from genshift.presets.base import BY_SIZES
from genshift.presets.benchmark import LARGE_SIZE, OWN, SQUEEZENETS
from genshift.presets.diffusion import FOLDED, STUDENT_OPTIONS
from genshift.presets.keywords import TrainOptions
from genshift.run import Run
from genshift.runs.clean import clean as drop_what_continuing_needs
from genshift.runs.files import as_written, csv_text, write_json, write_text, write_whole
from genshift.runs.folder import RunFolder
from genshift.runs.owner import MEASURING, TRAINING, owned
from genshift.runs.results import results_as_json
from genshift.runs.sorting import Sorter
from genshift.sampling import write_samples
from genshift.sampling.student import student_of
from genshift.sampling.write_samples import SampleRequest
from genshift.selection import checkpoint_selection
from genshift.selection.information_trial import decided, tidied
from genshift.selection.rules import DEFAULT_RULE
from genshift.studies import BudgetName
from genshift.studies.plan import StudyPlan
from genshift.studies.plan import plan_study as study_plan
from genshift.studies.running import run_study
from genshift.training.console import Console, logging_to, say_training
from genshift.training.loop import Observer
from genshift.training.plan import Plan
from genshift.training.plan import plan as plan_training
from genshift.training.tracking import Tracking
from genshift.training.train import Settings, owning
from genshift.training.train import train as run_training

# What a preset is shown with where the data would say how many there are: ten classes, CelebA's forty attributes.
CLASSES_SHOWN = {"classes": 10, "attributes": 40, "nothing": 0}


def train(
    preset: str | Preset,
    out: AnyPath,
    *,
    data_root: AnyPath | None = None,
    seed: int = 0,
    minutes: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    keep: int = 2,
    track: str | None = None,
    skip_broken: bool = False,
    evaluate: bool = True,
    keep_pictures: bool = True,
    log: AnyPath | None = None,
    command: str = "",
    start: AnyPath | None = None,
    observers: Sequence[Observer] = (),
    **options: Unpack[TrainOptions],
) -> Run:
    """Trains a preset, or a method on two sets, into the folder `out`, or continues there; then evaluates it.

    preset: a preset's name, a method's, or a preset that was changed with `.replaced`. options: the preset's own, such
    as `source`, `target`, `images` or `lr`; paths may be strings or Path. keep_pictures: whether the evaluation may
    leave real pictures in the run. minutes: the budget, instead of `images`.
    log: a file that gets every line too. track: "tensorboard", "wandb" or "mlflow" (an extra each), which gets
    scalars, samples, settings and results too, on this machine unless its environment variables say otherwise.
    start: a run with the same networks, which this one starts from; what that held out stays held out. observers:
    functions of (images seen, method) that look at each check. Returns the run, whose `finished` is False where a
    signal stopped it early; the same call continues. Raises Refusal for wrong input.
    """
    given: dict[str, Any] = {}
    for name, value in options.items():
        given[name] = str(value) if isinstance(value, Path) else value  # a path as presets hold it
    if minutes is not None and "images" in given:
        raise Refusal("images and minutes both name the budget: give one of them.")
    chosen = _with_options(preset, given)
    for domain, placeholder in OWN.items():
        if getattr(chosen, domain, "") == placeholder and not Path(placeholder).exists():
            raise Refusal(f"{chosen.name} learns from your own folders: give --source LABELLED --target UNLABELLED.")
    run, root = Run(out), _given(data_root)
    chosen = resolved(chosen, out)
    settings = Settings(seed, minutes, device, threads, root, skip_broken, keep, command, _given(start))
    settings = replace(settings, observers=list(observers))
    if log is not None and given_path(log).resolve().parent == run.path.resolve() and Path(log).suffix != ".log":
        raise Refusal(f"--log {log} lies in the run folder, whose files are genshift's own: let its name end in .log.")
    with ExitStack() as stack:
        stack.enter_context(logging_to(_given(log)))
        stack.enter_context(owning(run.folder))
        if (settled := decided(chosen, run.folder, settings)) is None:
            return run
        chosen, settings = settled
        if track is not None and leads_processes():
            settings = replace(settings, tracking=stack.enter_context(Tracking(run.folder, track, Console().say)))
        watched = evaluating.with_observers(run.folder, chosen, settings)
        finished = run_training(chosen, run.path, watched)
        tidied(run.folder)
        if finished and leads_processes():
            evaluation = EvaluationOptions(root, draw=chosen.draws, keep_pictures=keep_pictures) if evaluate else None
            evaluating.after_training(run.folder, chosen, settings, evaluation)
    return run


def distill(
    run: AnyPath,
    out: AnyPath,
    *,
    data_root: AnyPath | None = None,
    seed: int = 0,
    minutes: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    keep: int = 2,
    evaluate: bool = True,
    keep_pictures: bool = True,
    log: AnyPath | None = None,
    command: str = "",
    places: Mapping[str, str] | None = None,
    **options: Any,
) -> Run:
    """Trains a student of the diffusion run `run` into `out`, or continues there; then evaluates it. The student draws
    in 1, 2, 4 or 8 passes, with the teacher's guidance folded in.

    options: those of `student`. The others are as in `train`, and `places` as in `EvaluationOptions`. Returns the
    student's run. Raises Refusal for a run that no student can learn by, and where the teacher is not what it was when
    the student was begun.
    """
    preset = student(run, places=places, **options)
    if minutes is not None and "images" in options:
        raise Refusal("images and minutes both name the budget: give one of them.")
    return train(
        preset, out, data_root=data_root, seed=seed, minutes=minutes, device=device, threads=threads, keep=keep,
        skip_broken=bool(RunFolder(given_path(run)).config.get("skip_broken")), evaluate=evaluate,
        keep_pictures=keep_pictures, log=log, command=command, start=run,
    )  # fmt: skip


def student(run: AnyPath, *, places: Mapping[str, str] | None = None, **options: Any) -> Student:
    """The preset of a student of the diffusion run `run`; by its budget it costs what its teacher's training did.

    options: `images`, `batch`, `lr` and others of `genshift.presets.diffusion.STUDENT_OPTIONS`; and `guide`,
    `guidance`, `guidance_from`, `guidance_to` and `clip` where the teacher is to draw otherwise than it does.
    """
    if strangers := [name for name in options if name not in (*FOLDED, *STUDENT_OPTIONS)]:
        raise unknown("option", strangers[0], (*FOLDED, *STUDENT_OPTIONS))
    teacher = RunFolder(given_path(run))
    described = student_of(teacher, options, places)
    if teacher.seen < (planned := teacher.config["images"]):
        trained = f"not trained to its end ({teacher.seen:,} of {planned:,} images)"
        Console(leads_processes()).say(f"note: {teacher.path} is {trained}, and teaches as it is.")
    return described


def plan(preset: Preset, out: AnyPath, **settings: Any) -> Plan:
    """What `train` would cost on this machine (minutes, memory, disk), by a few steps; nothing is written."""
    settings["data_root"] = _given(settings.get("data_root"))
    run = RunFolder(given_path(out))
    return plan_training(resolved(preset, out), run, Settings(**settings))


def resolved(preset: Preset, out: AnyPath) -> Preset:
    """The preset as `train` takes it into the run folder `out`: with the backbone that its file of weights is of, and
    the size that its folders' pictures suggest, where neither was given."""
    run = RunFolder(given_path(out))
    return _with_size(_with_backbone(preset, run), run)


def _with_backbone(preset: Preset, run: RunFolder) -> Preset:
    """The preset with the version of SqueezeNet that its file of weights is of, where no backbone was named."""
    named, weights = (preset.options().get(name, "none") for name in ("backbone", "weights"))
    if named not in SQUEEZENETS or preset.origins.get("backbone") == YOURS or weights in ("none", "download"):
        return preset
    # The file need not be there any more when a run continues.
    fields = run.config["preset"]["fields"] if run.exists() else {}
    found = fields.get("backbone") or squeezenet_of(read_weights(given_path(weights)))
    assert isinstance(preset, BenchmarkPreset)  # no other has a backbone
    return preset if found is None else replace(preset, backbone=found)


def _with_size(preset: Preset, run: RunFolder) -> Preset:
    """The preset with the side that its folders' pictures suggest, where it decides by the data and none was given."""
    if getattr(preset, "augment", "given") != "auto" or preset.origins.get("size") == YOURS:
        return preset
    assert isinstance(preset, BenchmarkPreset)  # no other decides so
    if run.exists():  # as it began, wherever the pictures lie now
        size = run.config["preset"]["fields"].get("size", preset.size)
    else:
        sides = [side for place in (preset.source, preset.target) if (side := typical_side(place)) is not None]
        size = LARGE_SIZE if sides and min(sides) >= LARGE_SIZE else preset.size
    if size == preset.size:
        return preset
    return replace(preset, size=size, origins={**preset.origins, "size": BY_SIZES})


def _given(path: AnyPath | None) -> Path | None:
    """A path that need not be given."""
    return None if path is None else given_path(path)


def _with_options(preset: str | Preset, given: dict[str, Any]) -> Preset:
    """The preset, by its name or a method's, with the options that were given."""
    if isinstance(preset, str):
        is_method = preset in presets.METHODS
        pair = {domain: given.pop(domain, None) if is_method else None for domain in OWN}
        preset = presets.named(presets.benchmark.road(preset, given.get("weights")), **pair)
    known = preset.options()
    for name in given:
        if name not in known:
            where = f"`genshift show {preset.name}` lists them."
            raise unknown("option", name, [*known, *(train.__kwdefaults__ or {})], where)
    return preset.replaced(**given) if given else preset


def evaluate(
    run: AnyPath | None = None,
    *,
    pictures: AnyPath | None = None,
    reference: AnyPath | None = None,
    out: AnyPath | None = None,
    labels: AnyPath | Sequence[AnyPath] | None = None,
    encoding: str = UTF8,
    data_root: AnyPath | None = None,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluates a run on its test splits; `options` are the fields of `genshift.evaluation.options.EvaluationOptions`.

    labels: one or several CSVs (`image_name,label`, in `encoding`) of a few pictures of the run's target; then these
    alone are evaluated, and what `genshift.runs.forms.Audit` describes is returned.

    Instead of a run, `pictures`, a folder or a data set's name, are held against `reference`, which may be a run too;
    `out`, a file, then gets what is returned. Returns what results.json holds; a measure that is refused is left out,
    with a warning. Beside a training it measures the checkpoint that now stands for the run. Raises Refusal where every
    measure is refused, or something cannot be read, for a sampling that the run cannot take, and where another process
    evaluates the run.
    """
    options |= {name: _given(options[name]) for name in ("features", "weights") if name in options}
    evaluation = EvaluationOptions(_given(data_root), device=device, threads=threads, **options)
    of_pictures = {"out": out, "size": evaluation.size, "skip_broken": evaluation.skip_broken}
    if run is not None and pictures is None and reference is None:
        if given := [name for name, value in of_pictures.items() if value]:
            raise Refusal(f"{given[0]} goes with pictures and a reference: leave it out, for {run} is a run.")
        path = given_path(run)
        with owned(RunFolder(path), MEASURING, command="genshift evaluate", say=Console().say):
            if labels is not None:
                return dict(evaluating.audit(path, given_paths(labels), evaluation, encoding))
            return results_as_json(evaluating.evaluate(path, evaluation))
    if run is not None or pictures is None or reference is None:
        raise Refusal("Give a run to evaluate, or pictures and a reference to hold them against.")
    if labels is not None:
        raise Refusal("labels are of a run's target: name the run, and no pictures.")
    if evaluation.drawing:
        raise Refusal(f"{next(iter(evaluation.drawing))} is of how a run draws: pictures are measured as they are.")
    file = None if out is None else output_file(out)
    found = evaluating.evaluate_pictures(str(pictures), str(reference), evaluation)
    for warning in found.refused:
        Console().say(f"warning: {warning}")
    results = results_as_json(found.results)
    if file is not None:
        write_json(file, results)
    return results


def sample(
    run: AnyPath,
    count: int,
    out: AnyPath,
    *,
    label: str | int | None = None,
    label_index: int | None = None,
    seed: int = 0,
    first: int = 0,
    names: str = "number",
    **sampling: Any,
) -> list[Path]:
    """Draws pictures number `first` to `first + count - 1` of the series `seed` into PNG files in `out`, with grid.png.

    label: a conditional run's class by its name (of digits a number: 3 is the class "3"), or "none" for pictures of a
    diffusion model without a label; label_index: the class by its place instead. By default the classes take turns.
    names: "number", "class" for files CLASS_001.png and so on, or "folder" for
    CLASS/00000.png, which reads as labelled pictures. sampling: of a diffusion run, the fields of
    `genshift.presets.Sampling` that are to differ from what `sweep` chose, else from the preset's. Picture i is the
    same whatever the count, and is drawn once: the same call continues what was stopped. Returns the files. Raises
    Refusal for a run that draws nothing, an unknown label, a sampling that the run cannot take, or a folder that holds
    anything else.
    """
    order = SampleRequest(count, seed, first, None if label is None else str(label), label_index, names, sampling)
    return write_samples.draw(RunFolder(given_path(run)), order, given_path(out))


def sweep(
    run: AnyPath,
    features: AnyPath,
    *,
    count: int | None = None,
    accuracy: float | None = None,
    skips: Sequence[float] | None = None,
    data_root: AnyPath | None = None,
    places: Mapping[str, str] | None = None,
    **axes: Any,
) -> dict[str, Any]:
    """Measures how guidance, its interval, steps and sampler change what a diffusion run draws, in the features of the
    classifier's run `features`, and leaves the best in the run for `sample` and `evaluate`.

    count: pictures of each setting (500, or half the training pictures where these are few). accuracy: what the
    best, that of the lowest distance, must reach (two standard errors below the highest). axes: the fields of
    `genshift.evaluation.sweep.Axes`, each a list or a single value. skips: shares of the steps in which guidance is
    left out, a table of its own by the preset's own sampler, of `count` pictures (100), which chooses nothing and is
    what is then returned. places: as in `EvaluationOptions`. Returns what
    RUN/sweep.json holds; the same call continues what was stopped. Raises Refusal for a run that is no diffusion
    model's, for settings that it cannot take, and where another process is at work in it.
    """
    folder, judge, root = RunFolder(given_path(run)), given_path(features), _given(data_root)
    axes = {name: [values] if isinstance(values, str | int | float) else values for name, values in axes.items()}
    if skips is not None and (axes or accuracy is not None):
        other = next(iter(axes), "accuracy")
        raise Refusal(f"skips is a table of its own, which chooses nothing: leave {other} to another sweep.")
    with owned(folder, TRAINING, MEASURING, command="genshift sweep", say=Console().say):
        if skips is not None:
            return dict(sweeping.skip_table(folder, judge, skips, count, root, places))
        return dict(sweeping.sweep(folder, judge, sweeping.Axes(**axes), count, root, accuracy, places))


def select(
    runs: AnyPath | Sequence[AnyPath],
    *,
    rule: str = DEFAULT_RULE,
    labels: AnyPath | Sequence[AnyPath] | None = None,
    encoding: str = UTF8,
    data_root: AnyPath | None = None,
    places: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Chooses a checkpoint of an adapted run, or of several of one task, without a target label; from then on
    `predict`, `embed` and `evaluate` of its run use it.

    rule: one of `genshift.selection.rules.RULES`. labels: CSVs of a few target pictures; then these choose among one
    run's checkpoints instead, and `genshift.evaluation.audited_choice.AuditedChoice` is returned. places: as in
    `EvaluationOptions`. Returns the choice, and every candidate with its scores. Raises Refusal for a run that adapts
    nothing or held no source images out, for runs of unlike tasks, for an unknown rule, and where another process is at
    work in one of them.
    """
    folders = [RunFolder(run) for run in given_paths(runs)]
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(owned(folder, TRAINING, MEASURING, command="genshift select", say=Console().say))
        if labels is not None:
            if len(folders) != 1 or rule != DEFAULT_RULE:
                raise Refusal("Labels choose among the checkpoints of one run, by no other rule: name one run alone.")
            chosen = choose_by_labels(folders[0].path, given_paths(labels), _given(data_root), places, encoding)
            return dict(chosen)
        return checkpoint_selection.select(folders, rule, _given(data_root), places).as_json()


def label(
    run: AnyPath,
    *,
    count: int = 50,
    out: AnyPath | None = None,
    seed: int | None = None,
    split: str = "train",
    labels: AnyPath | Sequence[AnyPath] | None = None,
    encoding: str = UTF8,
    data_root: AnyPath | None = None,
    places: Mapping[str, str] | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> labelling.Drawn:
    """Draws `count` pictures of a run's target at random within strata of confidence, and writes into `out`
    (RUN/labels) the plan of it and a page on which to label them; a larger count draws further ones to those.

    labels: CSVs of pictures that are labelled already; those that were drawn among them become OUT/labels.csv, and no
    page is written. seed: of the chance (0); split: the part of the target; places: as in `EvaluationOptions`. Raises
    Refusal for a run without a target, for a count that cannot be drawn, and where `out` holds another plan.
    """
    path = given_path(run)
    folder = output_folder(path / FOLDER if out is None else out)
    opened = load(path, device=device, threads=threads).run
    order = labelling.Order(count, seed, split, None if labels is None else given_paths(labels), encoding)
    return labelling.label(opened, folder, order, _given(data_root), places)


def reconstruct(run: AnyPath, images: Pictures, out: AnyPath, **reading: Any) -> list[tuple[str, float, float, float]]:
    """Writes a VAE's reconstructions of pictures into `out`: numbered PNG files, pairs.png and errors.csv.

    reading: as in `genshift.model.Model.predict`. Returns (image name, MSE of pixels in [0, 1], PSNR in decibels, SSIM)
    for each. Raises Refusal for a run that is no VAE, and where `out` holds anything but what an earlier call of the
    same left, which is written again.
    """
    folder = given_path(out)
    write_samples.check_place(folder)
    model = load(run)
    method = model.vae()
    pictures, names = model.read_for_generator(images, **reading)
    _tell(pictures)
    _say_escaped(names)
    return write_samples.reconstruct(method, pictures, names, folder)


def predict(
    run: AnyPath,
    images: Pictures,
    out: AnyPath | None = None,
    *,
    sort: AnyPath | None = None,
    least: float | None = None,
    link: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **reading: Any,
) -> list[tuple[Any, ...]]:
    """(image name, class, confidence) for each picture, or (image name, a probability for each attribute); written to
    `out` as CSV where given. `genshift.load(RUN).predict` is for a program.

    sort: a new or empty folder that gets a copy of each picture (a link to it, with `link`) in the folder of its class;
    where `least` is given, below `sure`, or below `doubtful` where its confidence is lower. reading: as in
    `reconstruct`. Raises Refusal for a run that tells nothing of pictures, or has diverged, and, before any work, where
    `out` or `sort` cannot be written or the pictures are no files to sort.
    """
    file = None if out is None else output_file(out)
    sorter = None if sort is None else Sorter(given_path(sort), images, least, link)
    if sorter is None and (least is not None or link):
        raise Refusal(f"{'link' if link else 'least'} says how pictures are sorted: name the folder (sort) too.")
    model = load(run, device=device, threads=threads)
    if sorter is not None and model.tells_attributes:
        raise Refusal(f"{run} tells attributes, which do not exclude one another: pictures cannot be sorted by them.")
    pictures, names = model.read(images, **reading)
    if sorter is not None:
        sorter.check(names)
    _tell(pictures)
    probabilities = model.probabilities(pictures.images)
    if model.tells_attributes:
        header, rows = model.classes, [(n, *shares) for n, shares in zip(names, probabilities.tolist(), strict=True)]
    else:
        header, rows = ("label", "confidence"), [tuple(row) for row in model.likeliest(probabilities, names)]
    if file is not None:
        _say_escaped(names)
        write_text(file, csv_text(("image_name", *header), rows, ".6f"))
    if sorter is not None:
        sorter.sort(rows, model.classes)
    return rows


def _tell(pictures: ImageSet) -> None:
    """Says what is unusual of pictures that a run is asked about: it answers all the same."""
    against, notes = look(pictures)
    for note in (*pictures.notes, *notes, *filter(None, [against])):
        Console(leads_processes()).say(f"note: {note}")


def embed(
    run: AnyPath,
    images: Pictures,
    out: AnyPath | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    **reading: Any,
) -> np.ndarray:
    """Latent features float32 `[N, D]`; written to `out` (.npz: features, names) where given.

    A VAE's are the means of its posterior. reading: as in `reconstruct`. Raises Refusal for a run without an encoder,
    and, before any work, where `out` cannot be written.
    """
    output = None if out is None else output_file(out)
    model = load(run, device=device, threads=threads)
    pictures, names = model.read(images, **reading)
    _tell(pictures)
    features = model.embed_images(pictures.images)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, features=features, names=np.array(names))

    if output is not None:
        write_whole(output, write)
    return features


def export(
    run: AnyPath, out: AnyPath | None = None, *, format: str | None = None, part: str | None = None, **sampling: Any
) -> exporting.Exported:
    """Writes what a run answers with as one file that runs without genshift.

    format: "onnx" (needs the extra `export`), "pt2" (`torch.export`) or "safetensors" (the weights alone); by default
    what `out` ends in, else onnx. out: by default NAME.onnx in the current folder, NAME-PART.onnx of a part that was
    asked for. part: one of `genshift.exporting.parts.PARTS`, where it is not the classifier, decoder, generator or
    denoiser. sampling: of a diffusion run, as in `sample`: how its noise levels lie. Raises Refusal for a part that the
    run has not, a run that has diverged, a missing extra, and, before any work, where `out` cannot be written.
    """
    folder = RunFolder(given_path(run))
    ending = "" if out is None else given_path(out).suffix.removeprefix(".")
    chosen = format or (ending if ending in exporting.FORMATS else "onnx")
    if chosen not in exporting.FORMATS:
        raise unknown("format", chosen, exporting.FORMATS)
    if ending in exporting.FORMATS and ending != chosen:
        raise Refusal(f"{out} is named as another format than {chosen}: name it .{chosen}, or give --format {ending}.")
    name = folder.path.resolve().name + (f"-{part}" if part else "")
    file = output_file(f"{name}.{chosen}" if out is None else out)
    exporting.check_extra(chosen)
    opened, exported = open_part(folder, part, sampling)
    say_training(opened)
    return exporting.write(exported, metadata(opened, exported), chosen, file)


def bundle(run: AnyPath, out: AnyPath, *, license: str | None = None) -> Path:
    """Writes a run in a model hub's form into the folder `out`, which `genshift.load` opens: what it answers with, its
    configuration and measures, and a README.md; nothing of its data but what they were, how many, and their licences.

    license: of the weights, by the hub's name of it (apache-2.0); by default the README states none. The folder is
    whole or absent; an earlier bundle there is replaced. Returns `out`. Raises Refusal for a run that cannot answer
    yet, and where anything else stands there.
    """
    hub.check_licence(license)
    return write_bundle(RunFolder(given_path(run)), output_folder(out), license)


def push(run: AnyPath, repo: str, *, license: str | None = None, public: bool = False) -> str:
    """Sends a run, as `bundle` writes it, or a bundle to the repository `repo` of a model hub (extra `hub`), and
    returns its address.

    The hub is the one that HF_ENDPOINT names, huggingface.co by default; its client finds the token. license: as in
    `bundle`. public: whether everybody may read a repository that is new. Raises Refusal where nobody is logged in, or
    the hub refuses or is not reached.
    """
    hub.check_licence(license)
    folder = RunFolder(given_path(run))
    if license is not None and folder.is_bundle:
        raise Refusal(f"{folder.path} is a bundle, whose README states its licence already: leave license out.")
    return hub.push(folder, repo, license, public)


def _say_escaped(names: Sequence[str]) -> None:
    """One line on names that text files hold otherwise than the file system does."""
    if odd := [name for name in names if name != as_written(name)]:
        Console().say(
            f"note: {len(odd):,} of the names are no UTF-8, such as {as_written(odd[0])}: their bytes XX stand as "
            "\\udcXX."
        )


def show(preset: str | Preset) -> dict[str, Any]:
    """What `genshift show` prints: options with their origins, networks as print(net) shows them, parameters, and
    GFLOP an image of the forward pass."""
    chosen = presets.named(preset, **OWN) if isinstance(preset, str) else preset
    classes = CLASSES_SHOWN[chosen.learns]
    method, networks = class_of(chosen), networks_of(chosen, classes)
    pictures = torch.zeros(2, nets.channels(chosen), chosen.size, chosen.size)
    labels = torch.zeros(2, dtype=torch.int64) if chosen.draws and classes else None
    outputs = {"latents": torch.zeros(2, getattr(chosen, "latent", 0))}
    described, gflop = {}, 0.0
    for name, net in networks.items():
        if not list(net.parameters()):  # what a method keeps in mind: nothing passes it
            continue
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            outputs[name] = net.eval()(*method.inputs(name, pictures, outputs, labels))
        gflop += flops.get_total_flops() / 2 / 1e9
        described[net._get_name()] = {"printed": str(net), "parameters": sum(p.numel() for p in net.parameters())}
    origins = {**dict.fromkeys(chosen.options(), presets.OURS), **chosen.origins}
    options = {k: {"value": v, "origin": origins[k]} for k, v in chosen.options().items()}
    return {
        "name": chosen.name,
        "summary": chosen.summary,
        "task": chosen.task,
        "options": options,
        "published": dict(chosen.published),
        "networks": described,
        "gflop_per_image_forward": round(gflop, 6),
    }


def study(name: str, out: AnyPath, budget: BudgetName = "cpu", **options: Any) -> Path | None:
    """Trains what is missing of a study, evaluates and writes OUT/page.html, which is returned; None where a signal
    stopped it, or nothing could be trained. See `studies.running.run_study`; what is left out is said, and on the page.
    """
    outcome = run_study(studies.get(name), budget, given_path(out), **_study_options(options))
    return outcome.page if outcome.finished else None


def plan_study(name: str, out: AnyPath, budget: BudgetName = "cpu", **options: Any) -> StudyPlan:
    """What `study` would train, what that takes on this machine, and what it would leave out; nothing is written. See
    `studies.plan.plan_study`."""
    return study_plan(studies.get(name), budget, given_path(out), **_study_options(options))


def _study_options(options: dict[str, Any]) -> dict[str, Any]:
    places = ("data_root", "record", "weights", "photos")
    return options | {key: _given(options[key]) for key in places if key in options}


def clean(run: AnyPath) -> int:
    """Drops from a finished run what only continuing needs; returns how many bytes were freed. Raises Refusal for a run
    that is not trained to its end, and where another process is at work in it."""
    folder = RunFolder(given_path(run))
    with owned(folder, TRAINING, MEASURING, command="genshift clean", say=Console().say):
        return drop_what_continuing_needs(folder)


def demo(out: AnyPath, seeds: int = 1) -> Path | None:
    """The demo: source-only, DANN, the default method and trained-on-target on the embedded digits, with its page.

    One thread: batches this small gain a quarter from a second, and lose tenfold where another program wants the core.
    """
    outcome = run_study(studies.get("demo"), "full", given_path(out), seeds=seeds, threads=1)
    return outcome.page if outcome.finished else None
