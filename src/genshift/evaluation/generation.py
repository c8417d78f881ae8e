"""What becomes of a generator: pictures over its training, and measures of what it draws in the end."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.pixels import to_colour
from genshift.device import leads_processes
from genshift.errors import Refusal
from genshift.evaluation import feature_distance, panels, per_class, reverse_process
from genshift.evaluation.feature_distance import FeatureSpace, RealAndGenerated, over_series
from genshift.evaluation.panels import COLUMNS, GRID, PANEL, ImageWriter
from genshift.methods import DiffusionMethod, GeneratorMethod, LatentGeneratorMethod, Method
from genshift.methods.vae import VAEMethod
from genshift.metrics import reconstruction
from genshift.metrics.classification import standard_error
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.faces import has_face
from genshift.metrics.neighbours import memorisation, nearest_images
from genshift.metrics.sharpness import sharpness
from genshift.nets import channels
from genshift.presets import VAE, Diffusion, Generator, Preset, Sampling
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.png import grid, write_png
from genshift.runs.results import EvaluationOptions, value_of
from genshift.sampling import autoguidance
from genshift.sampling.sampler_settings import fit_and_store, has_mixture, sampling_of, set_sampling, unguided
from genshift.training.console import Console
from genshift.training.domains import hold_out, in_classes
from genshift.training.loop import Observer
from genshift.training.training_data import open_pictures, open_unseen

SERIES = 3
STAGE_IMAGES = 500
MOST = 5_000  # pictures of a series
MOST_STEPS = 100  # of a diffusion model that is looked at while it trains, or evaluated without being told
MOST_DENOISED = 1_000  # of a diffusion model's: in 20 steps each picture passes through its network 40 times
LOOKED_AT = 1_000  # by the face detector, and beside the training pictures
FAR_BELOW = 0.8  # of the real pictures' face rate
COPIED = 0.01  # share of samples that are copies, above that of held-out pictures


# --- over training --------------------------------------------------------------------------------------------------


def observers(run: RunFolder, preset: Generator, data_root: Path | None, skip_broken: bool = False) -> list[Observer]:
    """Who looks at a generator at each check: one writes a grid of pictures from the same noise each time into
    samples/; of a VAE, one keeps the latent vectors of the same held-out pictures; of a diffusion model, one keeps its
    early state."""
    if not leads_processes():
        return []
    watching: list[Observer] = [_grids(run)]
    if isinstance(preset, Diffusion):
        watching.append(autoguidance.keeper(run))
    held_out = held_out_pictures(preset, data_root, skip_broken) if isinstance(preset, VAE) else None
    return watching if held_out is None else [*watching, _latents(run, stage_pictures(held_out).images)]


def _grids(run: RunFolder) -> Observer:
    def observe(images: int, method: Method) -> None:
        assert isinstance(method, GeneratorMethod)
        pictures = plainly(method).sample(GRID, seed=0)  # a mixture is fitted only to what has learnt to the end
        write_png(run.path / "samples" / f"images-{images:012d}.png", grid(pictures, COLUMNS))

    return observe


def _latents(run: RunFolder, pictures: Tensor) -> Observer:
    def observe(images: int, method: Method) -> None:
        assert isinstance(method, VAEMethod)
        path = run.path / "samples" / f"latents-{images:012d}.safetensors"
        checkpoint.save(path, Checkpoint({"latents": method.embed(pictures)}, {"images": images}))

    return observe


def plainly(method: GeneratorMethod) -> GeneratorMethod:
    """The same networks, drawing from N(0, I) whatever the preset's prior; a diffusion model in few steps."""
    plain = copy.copy(method)
    if isinstance(plain, VAEMethod):
        plain.preset = replace(plain.preset, prior="normal")
    if isinstance(plain, DiffusionMethod):
        plain.sampling = in_few_steps(plain.sampling)
        if (how := plain.sampling).by_weak and plain.weak is None:  # a training has kept none yet
            plain.sampling = replace(how, guide="unconditional") if how.by_label else unguided(how)
    return plain


def in_few_steps(sampling: Sampling) -> Sampling:
    """A multistep solver with the same guidance, where the sampling takes more steps than may be waited for."""
    return sampling if sampling.steps <= MOST_STEPS else replace(sampling, sampler="dpm++2m", steps=20, skip=0.0)


# --- real pictures --------------------------------------------------------------------------------------------------


def held_out_pictures(preset: Generator, data_root: Path | None, skip_broken: bool = False) -> ImageSet | None:
    """Pictures that were not trained on, as the networks take them: the test split, else the share held out."""
    images, _ = open_unseen(preset, data_root, skip_broken)
    return None if images is None else as_taken(preset, images)


def stage_pictures(held_out: ImageSet) -> ImageSet:
    """The pictures whose latent vectors are kept at each check: the same ones in every run."""
    return held_out.take(torch.from_numpy(fixed_sample(len(held_out), STAGE_IMAGES, 0)))


def training_pictures(preset: Generator, data_root: Path | None, skip_broken: bool = False) -> ImageSet:
    """The pictures that were trained on, as the networks take them."""
    images, _ = open_pictures(preset, "train", data_root, skip_broken=skip_broken)
    rows, _ = hold_out(images, preset.validation)
    return as_taken(preset, images if rows is None else images.take(rows))


def as_taken(preset: Preset, images: ImageSet) -> ImageSet:
    """The pictures in the colour that the preset's networks take and give: the reports' repeat grey three times."""
    return replace(images, images=to_colour(images.images, "rgb" if channels(preset) == 3 else None))


# --- measures -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationContext:
    """A trained generator, the real pictures it is held against, and what it drew: series of uint8 `[n, C, H, W]`."""

    run: RunFolder
    preset: Generator
    method: GeneratorMethod
    train: ImageSet
    held_out: ImageSet | None
    console: Console
    sides: RealAndGenerated
    classes: tuple[str, ...] = ()
    seconds: float = 0.0  # a picture of the series

    @property
    def series(self) -> list[Tensor]:
        """The series, from the run's own prior."""
        return list(self.sides.series)


Found = dict[str, Any]


def measure(
    run: RunFolder, preset: Preset, method: Method, classes: tuple[str, ...], asked: EvaluationOptions
) -> tuple[Found, Found]:
    """Results and evaluation of a generator: what it draws beside real pictures, and of a VAE its reconstructions.

    Writes pictures into samples/, and a VAE's fitted prior beside its checkpoints. Raises Refusal where the data, or
    the run of `asked.features`, cannot be read.
    """
    assert isinstance(preset, Generator) and isinstance(method, GeneratorMethod)
    judge = None if asked.features is None else feature_distance.classifier_space(asked.features)
    case = _case(run, preset, _told(run, method, asked), classes, asked.data_root)
    results, evaluation = _compared(case, judge, asked)
    results |= _looked_at(case)
    pictures = [entry for entry in _pictures(case) if entry is not None]
    if isinstance(case.method, DiffusionMethod):
        seen = reverse_process.watch(case.method)
        results |= reverse_process.costs(case.method, seen, case.seconds, SERIES * len(case.sides.reference))
        pictures += reverse_process.pictures(ImageWriter(run), case.method, seen, classes)
        evaluation["sampling"] = asdict(case.method.sampling)
    if isinstance(method, VAEMethod) and case.held_out is not None:
        coded, errors, panel = _reconstructed(case, method, case.held_out)
        results |= coded
        evaluation |= errors
        pictures.append(panel)
    evaluation |= {"pictures": pictures, "snapshots": panels.snapshots(run), "drawn": asked.draw}
    if asked.draw and case.held_out is not None:
        evaluation |= panels.stages(run, stage_pictures(case.held_out))
    if judge is not None:
        evaluation["features"] = judge.name
    warnings = [*warnings_of(run, results), *_dependence(preset, results, asked)]
    return results, {**evaluation, "classes": list(classes), "warnings": warnings}


def sampling_asked(run: RunFolder, preset: Preset, asked: EvaluationOptions) -> Sampling | None:
    """How a diffusion run's pictures are drawn for its evaluation: in few steps where nobody, and no sweep, asked for
    the preset's many; None for other runs. Raises Refusal for changes that the run cannot take."""
    own = sampling_of(run, preset, asked.sampling)
    if own is None or not isinstance(preset, Diffusion) or {"sampler", "steps"} & set(asked.sampling):
        return own
    return in_few_steps(own) if (own.sampler, own.steps) == (preset.sampler, preset.steps) else own


def _told(run: RunFolder, method: GeneratorMethod, asked: EvaluationOptions) -> GeneratorMethod:
    """The method, drawing as `sampling_asked` says."""
    set_sampling(run, method, asked.sampling)
    sampling = sampling_asked(run, method.preset, asked)
    if not isinstance(method, DiffusionMethod) or sampling is None or sampling == method.sampling:
        return method
    all_steps = f"`--steps {method.sampling.steps}` takes as many"
    method.sampling = sampling
    Console().say(f"note: these are drawn with {reverse_process.in_words(method)}; {all_steps}.")
    return method


def _case(
    run: RunFolder, preset: Generator, method: GeneratorMethod, classes: tuple[str, ...], root: Path | None
) -> EvaluationContext:
    console = Console()
    skip_broken = bool(run.config.get("skip_broken"))
    train = training_pictures(preset, root, skip_broken)
    held_out = held_out_pictures(preset, root, skip_broken)
    if method.classes:
        train = in_classes(train, classes)
        held_out = None if held_out is None else _labelled(in_classes(held_out, classes))
    if isinstance(method, VAEMethod) and has_mixture(method):
        console.say("Fitting the mixture that latent vectors are drawn from …")
        console.say(f"The mixture: {fit_and_store(run, method, train)}.")
    begun = time.perf_counter()
    sides = _drawn(train, method, console)
    seconds = (time.perf_counter() - begun) / (SERIES * len(sides.reference))
    return EvaluationContext(run, preset, method, train, held_out, console, sides, classes, seconds)


def _labelled(images: ImageSet) -> ImageSet | None:
    return None if images.labels is None else images


def _drawn(train: ImageSet, method: GeneratorMethod, console: Console) -> RealAndGenerated:
    """Two real halves and as many samples in each series; their number is half the training pictures, or less."""
    most = MOST_DENOISED if isinstance(method, DiffusionMethod) else MOST
    labels = train.labels if method.classes else None
    one, other = per_class.even_halves(per_class.kinds(labels, len(train)), most)
    n = len(one)
    console.say(f"Drawing {SERIES} × {n:,} pictures …")
    series = [method.sample(n, seed) for seed in range(SERIES)]
    even = "" if labels is None else f", {per_class.evenness(labels[one], method.classes)}"
    drawn = f"{SERIES} series of {n:,} samples (seeds 0 to {SERIES - 1}), std over them"
    words = (
        f"{drawn}, each against the same random half ({n:,}) of {train.name}'s {len(train):,} training pictures at "
        f"{train.images.shape[-1]} px{even}; floor: as many of the other half against it"
    )
    sides = RealAndGenerated(train.images[one], train.images[other], series, words, drawn)
    if labels is None:
        return sides
    return replace(sides, real_labels=labels[one], labels=per_class.turns(n, method.classes))


def _compared(case: EvaluationContext, judge: FeatureSpace | None, asked: EvaluationOptions) -> tuple[Found, Found]:
    """Distances in every feature space that is at hand, and what a classifier says class by class."""
    results: Found = {}
    evaluation: Found = {}
    if judge is None:
        command = f"genshift evaluate {case.run.path} --features RUN"
        case.console.say(f"note: `{command}` adds the Fréchet distance in a classifier's features.")
    else:
        case.console.say(f"Comparing in the features of {judge.name} …")
        real = feature_distance.embed_real(judge, case.sides)
        results |= feature_distance.compare(judge, case.sides, real)
        if has_mixture(case.method):
            results["frechet_normal_prior"] = _without_mixture(case, judge, real)
        if case.sides.labels is not None:
            known, evaluation = _class_by_class(case, judge, real)
            results |= known
    if asked.weights is not None or asked.download:
        space = feature_distance.inception_space(asked.weights, asked.download, case.console.say)
        if space is not None:
            case.console.say("Comparing in Inception's features, which takes minutes on a CPU …")
            results |= feature_distance.compare(space, case.sides, feature_distance.embed_real(space, case.sides))
    return results, evaluation


def _class_by_class(case: EvaluationContext, judge: FeatureSpace, real: tuple[Tensor, Tensor]) -> tuple[Found, Found]:
    """The accuracy under a classifier that knows the classes, and a row of evaluation.json for each of them."""
    if not per_class.knows(judge, case.classes):
        case.console.say(f"note: {judge.name} does not tell these classes apart, so their accuracy is not measured.")
        return {}, {}
    seen = per_class.look(judge, case.sides, case.classes, real, case.held_out)
    found = {"class_accuracy": per_class.accuracy(judge, case.sides, seen)}
    return found, {"by_class": per_class.rows(case.sides, seen, case.classes)}


def _without_mixture(case: EvaluationContext, judge: FeatureSpace, real: tuple[Tensor, Tensor]) -> Found:
    """The Fréchet distance of samples whose latent vectors come from N(0, I)."""
    n = len(case.sides.reference)
    series = [plainly(case.method).sample(n, seed) for seed in range(SERIES)]
    sides = replace(case.sides, series=series, words=f"latent vectors from N(0, I); {case.sides.words}")
    return feature_distance.compare(replace(judge, measures={"frechet": "frechet"}), sides, real)["frechet"]


def _looked_at(case: EvaluationContext) -> Found:
    """Measures that need no network: sharpness, nearest training pictures, and of faces the detector's rate."""
    case.console.say("Looking at sharpness and nearest training pictures …")
    results = {"sharpness": _sharpness(case)}
    if case.held_out is not None:
        results |= _nearest(case, case.held_out)
    if case.preset.task == "celeba":
        case.console.say("Looking for faces …")
        try:
            results["face_rate"] = _face_rate(case)
        except Refusal as refusal:
            case.console.say(f"warning: {refusal}")
    return results


def _sharpness(case: EvaluationContext) -> Found:
    protocol = (
        f"variance of the Laplacian of luma, pixels in [0, 1], a mean over pictures; {case.sides.words.split('; ')[0]}"
    )
    means = [sharpness(pictures).mean().item() for pictures in case.series]
    return over_series(means, len(case.sides.reference), protocol, sharpness(case.sides.reference).mean().item())


def _nearest(case: EvaluationContext, held_out: ImageSet) -> Found:
    """How near samples lie to the training pictures, beside held-out real pictures: have they been memorised?"""
    shown = held_out.take(torch.from_numpy(fixed_sample(len(held_out), LOOKED_AT, 0)))
    real = nearest_images(shown.images, case.train.images)
    found = [memorisation(nearest_images(s[:LOOKED_AT], case.train.images), real) for s in case.series]
    n = min(LOOKED_AT, len(case.series[0]))
    words = (
        f"pixels, mirror images included; {SERIES} series of {n:,} samples beside {len(case.train):,} training "
        f"pictures, std over them; floor: the same of {len(real.rows):,} held-out real pictures"
    )
    ratio = f"median distance to the nearest training picture, over that of held-out real pictures; {words}"
    copies = f"share whose nearest training picture is under a third as far as the second nearest; {words}"
    return {
        "nearest_train": over_series([each.ratio for each in found], n, ratio, 1.0),
        "copies": over_series([each.copies for each in found], n, copies, found[0].copies_held_out),
    }


def _face_rate(case: EvaluationContext) -> Found:
    seen = case.series[0][:LOOKED_AT]
    real = case.train.images[torch.from_numpy(fixed_sample(len(case.train), LOOKED_AT, 0))]
    rate, floor = (has_face(pictures).double().mean().item() for pictures in (seen, real))
    protocol = (
        f"share of {len(seen):,} samples (seed 0) in which dlib's HOG detector finds a face, enlarged to 160 px; std "
        f"is the binomial error; floor: the same of {len(real):,} training pictures"
    )
    return value_of(rate, len(seen), protocol, standard_error(rate, len(seen)), floor)


# --- a VAE's reconstructions ----------------------------------------------------------------------------------------


def _reconstructed(
    case: EvaluationContext, method: VAEMethod, held_out: ImageSet
) -> tuple[Found, Found, dict[str, str]]:
    """Results, what of them the report draws, and the panel."""
    decoded = method.reconstruct(held_out.images, held_out.labels if method.classes else None)
    errors = {
        "reconstruction_mse": reconstruction.mse(held_out.images, decoded),
        "psnr": reconstruction.psnr(held_out.images, decoded),
        "ssim": reconstruction.ssim(held_out.images, decoded),
    }
    units = {"reconstruction_mse": "mean squared error, pixels in [0, 1]", "psnr": "decibels", "ssim": "11×11 windows"}
    words = (
        f"{held_out.name}, {len(held_out):,} held-out pictures at {held_out.images.shape[-1]} px, decoded from their "
        "posterior means; std is the standard error over pictures"
    )
    results = {
        name: value_of(each.mean().item(), len(each), f"{units[name]}; {words}", _error(each))
        for name, each in errors.items()
    }
    panel = panels.reconstructions(ImageWriter(case.run), held_out.images, decoded)
    return results, {"panel_mse": errors["reconstruction_mse"][:PANEL].tolist()}, panel


def _error(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0


# --- pictures and warnings ------------------------------------------------------------------------------------------


def _pictures(case: EvaluationContext) -> Iterator[dict[str, str] | None]:
    """The pictures of the report, each written and with its entry; None for one that the data do not allow."""
    writer, method = ImageWriter(case.run), case.method
    yield panels.samples(writer, method, "grid", "Samples")
    if 1 < len(case.classes) <= panels.MOST_CLASSES and method.classes:
        yield panels.by_class(writer, method, case.classes)
    if has_mixture(method):
        yield panels.samples(writer, plainly(method), "prior-normal", "Samples from N(0, I)")
    if isinstance(method, LatentGeneratorMethod):
        yield panels.interpolation(writer, method, case.held_out)
    if isinstance(method, VAEMethod) and case.held_out is not None:
        yield panels.arithmetic(writer, method, case.train, case.held_out)
    yield panels.neighbours(writer, case.series[0], case.train.images)


def warnings_of(run: RunFolder, results: Found) -> list[str]:
    """What went wrong in training and stayed, and what the measures say against the samples."""
    said = [_alarm(run, name) for name in dict.fromkeys(name for row in run.rows() for name in row.get("alarms", []))]
    copies, faces = results.get("copies"), results.get("face_rate")
    if copies is not None and copies["value"] > copies["floor"] + COPIED:
        said.append(f"Memorised: {copies['value']:.1%} of the samples are copies of training pictures.")
    if faces is not None and faces["value"] < FAR_BELOW * faces["floor"]:
        said.append(f"Few faces: the detector finds one in {faces['value']:.1%} of samples, in {faces['floor']:.1%} of "
                    "real pictures.")  # fmt: skip
    return said


def _alarm(run: RunFolder, name: str) -> str:
    seen = [row["images"] for row in run.rows() if name in row.get("alarms", [])]
    return (
        f"{name[0].upper()}{name[1:]}: so it stood in {len(seen)} readings between {seen[0]:,} and {seen[-1]:,} images "
        "of training."
    )


def _dependence(preset: Generator, results: Found, asked: EvaluationOptions) -> list[str]:
    """Whether the classifier that judges the samples has taught the generator."""
    taught = preset.features if isinstance(preset, VAE) and preset.perceptual else ""
    if "class_accuracy" not in results or not taught or asked.features is None:
        return []
    if Path(taught).resolve() != asked.features.resolve():
        return []
    return ["Not independent: the classifier that judges the samples has taught the generator (--perceptual)."]
