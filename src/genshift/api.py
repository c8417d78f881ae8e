"""The verbs of genshift as Python functions; the command line calls these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from genshift import nets, presets, studies
from genshift.data import ImageSet, load_named
from genshift.errors import Refusal
from genshift.evaluation import evaluate as evaluating
from genshift.evaluation import sweep as sweeping
from genshift.evaluation.generation import as_taken
from genshift.evaluation.options import EvaluationOptions
from genshift.methods import Attributes, ClassifierMethod, class_of, networks_of
from genshift.methods.vae import VAEMethod
from genshift.presets import VAE, Adaptation, Classifier, Generator, Preset
from genshift.presets.benchmark import OWN
from genshift.runs.files import csv_text, write_text, write_whole
from genshift.runs.folder import RunFolder
from genshift.runs.results import results_as_json
from genshift.runs.trained_run import open_run, preset_of
from genshift.sampling import write_samples
from genshift.sampling.write_samples import SampleRequest
from genshift.selection import checkpoint_selection
from genshift.selection.rules import DEFAULT
from genshift.studies import BudgetName
from genshift.studies.running import run_study
from genshift.training.domains import in_classes, open_set
from genshift.training.train import Settings


def train(
    preset: str | Preset,
    out: Path | str,
    *,
    images: int | None = None,
    data_root: Path | None = None,
    **settings: Any,
) -> bool:
    """Trains a preset (by name, or changed with `.replaced`) into `out`, or continues there; then evaluates it.

    images: the budget, instead of the preset's. settings: the fields of `genshift.training.train.Settings` (seed,
    minutes, device, threads, …). Returns False where a signal stopped it early; the same call continues. Raises Refusal
    for wrong input.
    """
    chosen = presets.get(preset) if isinstance(preset, str) else preset
    if images is not None and settings.get("minutes") is not None:
        raise Refusal("images and minutes both name the budget: give one of them.")
    chosen = chosen if images is None else chosen.replaced(images=images)
    for role, unnamed in OWN.items():
        if getattr(chosen, role, "") == unnamed and not Path(unnamed).exists():
            raise Refusal(f"{chosen.name} learns from your own folders: give --source LABELLED --target UNLABELLED.")
    asked = EvaluationOptions(data_root, draw=not isinstance(chosen, Adaptation))
    return evaluating.train_and_evaluate(chosen, Path(out), Settings(data_root=data_root, **settings), asked)


def evaluate(run: Path | str, *, data_root: Path | None = None, **asked: Any) -> dict[str, Any]:
    """Evaluates a run on its test splits; `asked` are the fields of `genshift.evaluation.options.EvaluationOptions`.

    Returns what results.json holds. Raises Refusal for a sampling that the run cannot take.
    """
    return results_as_json(evaluating.evaluate(Path(run), EvaluationOptions(data_root, **asked)))


def sample(
    run: Path | str,
    count: int,
    out: Path | str,
    *,
    label: str | int | None = None,
    seed: int = 0,
    first: int = 0,
    names: str = "number",
    **sampling: Any,
) -> list[Path]:
    """Draws pictures number `first` to `first + count - 1` of the series `seed` into PNG files in `out`, with grid.png.

    label: a class's name or number, for a conditional run, or "none" for pictures of a diffusion model without a label;
    by default the classes take turns. names: "number", "class" for files CLASS_001.png and so on, or "folder" for
    CLASS/00000.png, which reads as labelled pictures. sampling: of a diffusion run, the fields of
    `genshift.presets.Sampling` that are to differ from what `sweep` chose, else from the preset's. Picture i is the
    same whatever the count, and is drawn once: the same call continues what was stopped. Returns the files. Raises
    Refusal for a run that draws nothing, an unknown label, a sampling that the run cannot take, or a folder that holds
    anything else.
    """
    order = SampleRequest(count, seed, first, None if label is None else str(label), names, sampling)
    return write_samples.draw(RunFolder(Path(run)), order, Path(out))


def sweep(
    run: Path | str,
    features: Path | str,
    *,
    count: int | None = None,
    accuracy: float | None = None,
    data_root: Path | None = None,
    **axes: Any,
) -> dict[str, Any]:
    """Measures how guidance, its interval, steps and sampler change what a diffusion run draws, in the features of the
    classifier's run `features`, and leaves the best in the run for `sample` and `evaluate`.

    count: pictures of each setting (500, or half the training pictures where these are few). accuracy: what the
    best, that of the lowest distance, must reach (two standard errors below the highest). axes: the fields of
    `genshift.evaluation.sweep.Axes`. Returns what RUN/sweep.json holds; the same call continues what was stopped.
    Raises Refusal for a run that is no diffusion model's, and for settings that it cannot take.
    """
    return sweeping.sweep(RunFolder(Path(run)), Path(features), sweeping.Axes(**axes), count, data_root, accuracy)


def select(
    runs: Path | str | Sequence[Path | str], *, rule: str = DEFAULT, data_root: Path | None = None
) -> dict[str, Any]:
    """Chooses a checkpoint of an adapted run, or of several of one task, without a target label; from then on
    `predict`, `embed` and `evaluate` of its run use it.

    rule: one of `genshift.selection.rules.RULES`. Returns the choice, and every candidate with its scores. Raises
    Refusal for a run that adapts nothing or held no source images out, for runs of unlike tasks, and for an unknown
    rule.
    """
    named = [runs] if isinstance(runs, str | Path) else runs
    return checkpoint_selection.select([RunFolder(Path(run)) for run in named], rule, data_root).as_json()


def reconstruct(
    run: Path | str,
    images: str | Path,
    out: Path | str,
    *,
    split: str = "train",
    data_root: Path | None = None,
    skip_broken: bool = False,
) -> list[tuple[str, float, float, float]]:
    """Writes a VAE's reconstructions of pictures into `out`: numbered PNG files, pairs.png and errors.csv.

    Returns (image name, MSE of pixels in [0, 1], PSNR in decibels, SSIM) for each. Raises Refusal for a run that is no
    VAE, and where `out` is not empty.
    """
    folder = RunFolder(Path(run))
    preset = preset_of(folder.config)
    if not isinstance(preset, VAE):
        raise Refusal(f"{run} is {preset.summary}: it reconstructs nothing; name a VAE's run.")
    opened = open_run(folder)
    method, classes = opened.method, opened.classes
    assert isinstance(method, VAEMethod)
    pictures, names = _read(preset, images, split, data_root, skip_broken, labels=preset.condition == "classes")
    return write_samples.reconstruct(method, in_classes(as_taken(preset, pictures), classes), names, Path(out))


def predict(
    run: Path | str,
    images: str | Path,
    out: Path | None = None,
    *,
    split: str = "train",
    data_root: Path | None = None,
    skip_broken: bool = False,
) -> list[tuple[Any, ...]]:
    """(image name, class, confidence) for each picture, or (image name, a probability for each attribute); written to
    `out` as CSV where given. Raises Refusal for a run that tells nothing of pictures, or has diverged."""
    opened = open_run(Path(run))
    preset, method, classes = opened.preset, opened.method, opened.classes
    if not isinstance(method, ClassifierMethod):
        raise Refusal(f"{run} is {preset.summary}: it predicts no labels; name a run that learnt classes.")
    pictures, names = _read(preset, images, split, data_root, skip_broken)
    probabilities = method.predict(pictures.images)
    if not bool(probabilities.isfinite().all()):
        raise Refusal(f"{run} answers with values that are not finite: its training diverged; train with a lower --lr.")
    if isinstance(method, Attributes):
        header, rows = classes, [(n, *each) for n, each in zip(names, probabilities.tolist(), strict=True)]
    else:
        confidence, label = probabilities.max(1)
        header = ("label", "confidence")
        rows = [(n, classes[k], c) for n, k, c in zip(names, label.tolist(), confidence.tolist(), strict=True)]
    if out is not None:
        write_text(out, csv_text(("image_name", *header), rows, ".6f"))
    return rows


def _read(
    preset: Preset, images: str | Path, split: str, data_root: Path | None, skip_broken: bool, labels: bool = False
) -> tuple[ImageSet, list[str]]:
    """A user's pictures as the preset takes them, and their names."""
    options: dict[str, Any] = {"data_root": data_root, "skip_broken": skip_broken, "labels": labels}
    if isinstance(preset, Adaptation):
        return open_set(images, split, preset, **options)
    return load_named(images, split, size=preset.size, colour=preset.colour, **options)


def embed(
    run: Path | str,
    images: str | Path,
    out: Path | None = None,
    *,
    split: str = "train",
    data_root: Path | None = None,
    skip_broken: bool = False,
) -> np.ndarray:
    """Latent features float32 `[N, D]`; written to `out` (.npz: features, names) where given.

    A VAE's are the means of its posterior. Raises Refusal for a run without an encoder.
    """
    opened = open_run(Path(run))
    preset, method = opened.preset, opened.method
    if not isinstance(method, ClassifierMethod | VAEMethod):
        raise Refusal(f"{run} is {preset.summary}: it has no encoder; name a run of a VAE or of a classifier.")
    pictures, names = _read(preset, images, split, data_root, skip_broken)
    features = method.embed(pictures.images).numpy()
    if out is not None:
        write_whole(out, lambda path: _write_npz(path, features, names))
    return features


def _write_npz(path: Path, features: np.ndarray, names: list[str]) -> None:
    with path.open("wb") as file:
        np.savez(file, features=features, names=np.array(names))


def show(preset: str | Preset) -> dict[str, Any]:
    """What `genshift show` prints: options with their origins, networks as print(net) shows them, parameters, and
    GFLOP an image of the forward pass."""
    chosen = presets.get(preset) if isinstance(preset, str) else preset
    classes = _classes_to_show(chosen)
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


def _classes_to_show(preset: Preset) -> int:
    """Ten classes where the data would say how many there are, and CelebA's forty attributes."""
    if isinstance(preset, Classifier) and preset.answers == "attributes":
        return 40
    return 0 if isinstance(preset, Generator) and preset.condition == "none" else 10


def study(name: str, out: Path, budget: BudgetName = "cpu", **options: Any) -> Path | None:
    """Trains what is missing of a study, evaluates and writes OUT/page.html; see `studies.running.run_study`."""
    return run_study(studies.get(name), budget, out, **options)


def demo(out: Path, seeds: int = 1) -> Path | None:
    """The demo: source-only, DANN and trained-on-target on the embedded digits, with its page.

    One thread: batches this small gain a quarter from a second, and lose tenfold where another program wants the core.
    """
    return run_study(studies.get("demo"), "full", out, seeds=seeds, threads=1)
