"""How a generator is measured: its samples beside real pictures, in features and as they are.

What the families have besides stands in `vae` and `diffusion`; pictures for the report are made in `panels`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.data.manifest import Manifest, Memory
from genshift.data.pixels import to_colour
from genshift.device import conditions
from genshift.errors import Refusal
from genshift.evaluation import feature_distance, panels, per_class
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.feature_distance import (
    EQUAL,
    FeatureSpace,
    RealAndGenerated,
    embed_real,
    embed_series,
    over_series,
)
from genshift.evaluation.findings import Findings
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import COLUMNS, GRID, ImageWriter
from genshift.methods import GeneratorMethod, LatentGeneratorMethod
from genshift.methods.base import CHUNK
from genshift.metrics.binomial import standard_error
from genshift.metrics.classification import accuracy
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.faces import has_face
from genshift.metrics.neighbours import memorisation, nearest_images
from genshift.metrics.sharpness import sharpness
from genshift.nets import channels
from genshift.presets import Generator, LatentGenerator, Pictures
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Evaluation
from genshift.runs.manifest import remembered
from genshift.runs.png import grid, write_png
from genshift.runs.results import RESULTS, Measure, Results
from genshift.sampling.sampler_settings import no_sampling
from genshift.training.console import Console
from genshift.training.domains import in_classes, parted
from genshift.training.loop import Observer
from genshift.training.train import Settings
from genshift.training.training_data import open_pictures, open_unseen

SERIES = 3  # of samples, so that a measure has a spread
MOST = 5_000  # pictures of a series: bounds the time that drawing and comparing take
STAGE_IMAGES = 500  # whose latent vectors are kept: bounds the time that t-SNE takes
LOOKED_AT = 1_000  # by the face detector, and beside the training pictures
OF_JUDGE = ("frechet_normal_prior", "class_accuracy", "repeats")  # what a classifier's run tells besides the distances
# Ours: where a warning begins.
FAR_BELOW = 0.8  # of the face rate, or right class, of real pictures
FEW_COVERED = 0.25  # of the real pictures' recall, of so many pictures or more
FEWEST = 100
COPIED = 0.01  # share of samples that are copies, above that of held-out pictures

G = TypeVar("G", bound=Generator)
M = TypeVar("M", bound=GeneratorMethod)


# --- real pictures --------------------------------------------------------------------------------------------------


def held_out_pictures(
    run: RunFolder,
    preset: Generator,
    data_root: Path | None,
    skip_broken: bool = False,
    before: Manifest | None = None,
) -> ImageSet | None:
    """Pictures that are not trained on, as the networks take them: the test split, else the share held out."""
    images, _ = open_unseen(preset, data_root, skip_broken, Memory(remembered(run), before))
    return None if images is None else as_taken(preset, images)


def training_pictures(run: RunFolder, preset: Generator, data_root: Path | None) -> ImageSet:
    """The pictures that were trained on, as the networks take them; Refusal where one is not there any more."""
    images, _ = open_pictures(preset, "train", data_root, skip_broken=bool(run.config.get("skip_broken")))
    memory = Memory(remembered(run))
    known = (memory.own or {}).get("data")
    if known is not None:
        return as_taken(preset, known.arranged(images, preset.data, known.trained_on))
    images, rows, _ = parted(images, "data", preset.data, preset.validation, memory)
    return as_taken(preset, images if rows is None else images.take(rows))


def as_taken(preset: Pictures, images: ImageSet) -> ImageSet:
    """The pictures in the colour that the preset's networks take and give: the reports' repeat grey three times."""
    return replace(images, images=to_colour(images.images, "rgb" if channels(preset) == 3 else None))


def stage_pictures(held_out: ImageSet) -> ImageSet:
    """The pictures whose latent vectors a VAE keeps at each check: the same ones in every run."""
    return held_out.take(torch.from_numpy(fixed_sample(len(held_out), STAGE_IMAGES, 0)))


# --- an evaluation, step by step ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownPictures:
    """The first pictures of series 0, uint8 `[N, C, H, W]`, as they are shown where they are drawn otherwise than those
    that are measured; and how, in words."""

    pictures: Tensor
    words: str


@dataclass(frozen=True)
class EvaluationContext(Generic[M]):
    """A trained generator, the real pictures it is held against, what it drew, and what is found of it.

    seconds: of each picture of the series. normal_prior: the same networks drawing from N(0, I), where `method` draws
    from another prior. shown: what is shown of each class, where it is drawn otherwise.
    """

    run: RunFolder
    preset: Generator
    method: M
    train: ImageSet
    held_out: ImageSet | None
    console: Console
    sides: RealAndGenerated
    found: Findings
    classes: tuple[str, ...] = ()
    seconds: float = 0.0
    normal_prior: M | None = None
    shown: ShownPictures | None = None

    @property
    def n(self) -> int:
        """Samples in each series."""
        return len(self.sides.reference)


class GeneratorEvaluation(FamilyEvaluation[G, M]):
    """Samples of every generator are measured alike. A family that has more to prepare, to measure or to show overrides
    what stands below `measure`."""

    most = MOST  # pictures of a series
    of_judge: tuple[str, ...] = ()  # what a classifier tells of this family alone

    def observers(self, run: RunFolder, preset: G, settings: Settings) -> list[Observer]:
        """One writes a grid of pictures from the same noise each time into samples/."""

        def write_grid(images: int, method: M) -> None:
            pictures = self.plain(method).sample(GRID, seed=0)
            write_png(run.path / "samples" / f"images-{images:012d}.png", grid(pictures, COLUMNS))

        return [write_grid]

    def check_options(self, run: RunFolder, preset: G, options: EvaluationOptions) -> None:
        """Refuses a sampling, and weights of Inception's that cannot be read; a download may fail, with a line."""
        no_sampling(run, preset, options.drawing)
        feature_distance.check_weights(options.weights)

    def is_current(self, run: RunFolder, preset: G, record: Evaluation, options: EvaluationOptions) -> bool:
        """Whether the samples were compared in the features that are asked for."""
        judged = options.features is None or record.get("features") == feature_distance.judge_name(options.features)
        return judged and ("fid" in run.read(RESULTS) or (options.weights is None and not options.download))

    def reference(self, run: RunFolder, preset: G, options: EvaluationOptions) -> tuple[ImageSet, str]:
        train = training_pictures(run, preset, options.data_root)
        return train, f"{train.name}'s training pictures"

    def not_asked(self, options: EvaluationOptions) -> frozenset[str]:
        in_classifier = (*feature_distance.IN_CLASSIFIER, *feature_distance.OF_EQUAL, *OF_JUDGE, *self.of_judge)
        judged = () if options.features else in_classifier
        by_inception = () if options.weights or options.download else feature_distance.IN_INCEPTION
        return frozenset((*judged, *by_inception))

    def measure(
        self, run: RunFolder, preset: G, method: M, classes: tuple[str, ...], options: EvaluationOptions
    ) -> Findings:
        """What the generator draws, beside real pictures; and what its family has of its own.

        Writes pictures into samples/. Raises Refusal where the data, or the run of `options.features`, cannot be read.
        """
        # What is measured, and by whom: a judge that is none is refused before anything is drawn.
        judge = None if options.features is None else feature_distance.classifier_space(options.features)
        found, writer = Findings(classes), ImageWriter(run)
        train, held_out = self.real_pictures(run, preset, method, found, options)
        found.images += [images for images in (train, held_out) if images is not None]
        record = found.record
        record |= {"pictures": [], "snapshots": panels.snapshots(run), "drawn": options.draw}
        # What it draws: measures that every generator has, pictures, and what is the family's own.
        with found.measuring("samples"):
            context = self.context(run, preset, method, train, held_out, found, options)
            compare(context, judge, options)
            measure_pictures(context)
            self.pictures(writer, context)
            self.own_measures(writer, context)
        # What needs no samples.
        self.measure_networks(writer, method, held_out, judge, found)
        if options.draw and held_out is not None:
            with found.measuring("latent space over training"):
                record |= panels.stages(run, stage_pictures(held_out))
        if judge is not None:
            record["features"] = judge.name
        record["warnings"][:0] = [*warnings_of(run, found.results), *self.own_warnings(preset, found.results, options)]
        return found

    def real_pictures(
        self, run: RunFolder, preset: G, method: M, found: Findings, options: EvaluationOptions
    ) -> tuple[ImageSet, ImageSet | None]:
        """The pictures that were trained on, and those that were not; None without any, of other classes, or where they
        cannot be read, which takes no other measure with it."""
        skip_broken, classes = bool(run.config.get("skip_broken")), tuple(found.record["classes"])
        train, held_out = training_pictures(run, preset, options.data_root), None
        with found.measuring("held-out pictures"):
            held_out = held_out_pictures(run, preset, options.data_root, skip_broken)
        if method.classes:  # labels count in the run's classes; held-out pictures of other classes say nothing of it
            train = in_classes(train, classes)
            labelled = None if held_out is None else in_classes(held_out, classes)
            held_out = None if labelled is None or labelled.labels is None else labelled
        return train, held_out

    def context(
        self,
        run: RunFolder,
        preset: G,
        method: M,
        train: ImageSet,
        held_out: ImageSet | None,
        found: Findings,
        options: EvaluationOptions,
    ) -> EvaluationContext[M]:
        """Prepares the method and draws the series."""
        console, classes = Console(), tuple(found.record["classes"])
        method = self.prepared(run, method, train, options, console)
        # The time that a picture takes is a diffusion model's cost.
        begun = time.perf_counter()
        sides = draw_series(train, method, min(self.most, options.most or self.most), console)
        seconds = (time.perf_counter() - begun) / (SERIES * len(sides.reference))
        prior = self.normal_prior(method)
        return EvaluationContext(run, preset, method, train, held_out, console, sides, found, classes, seconds, prior)

    # --- what a family may have of its own --------------------------------------------------------------------------

    def plain(self, method: M) -> M:
        """The method as it can draw while it trains: quickly, and without what is fitted to trained networks."""
        return method

    def prepared(self, run: RunFolder, method: M, train: ImageSet, options: EvaluationOptions, console: Console) -> M:
        """The trained method, as the samples to measure are drawn."""
        return method

    def normal_prior(self, method: M) -> M | None:
        """The method with latent vectors from N(0, I), where its own come from elsewhere."""
        return None

    def pictures(self, writer: ImageWriter, context: EvaluationContext[M]) -> None:
        """The pictures of the report, each written and shown, where the data allow it."""
        method, found = context.method, context.found
        with found.measuring("grid.png"):
            found.show(panels.samples(writer, method, "grid", "Samples"))
        if 1 < len(context.classes) <= panels.MOST_CLASSES and method.classes:
            with found.measuring("classes.png"):
                found.show(panels.by_class(writer, *_of_each_class(context), context.classes))
        if context.normal_prior is not None:
            with found.measuring("prior-normal.png"):
                found.show(panels.samples(writer, context.normal_prior, "prior-normal", "Samples from N(0, I)"))
        self.latent_pictures(writer, context)
        with found.measuring("neighbours.png"):
            found.show(panels.neighbours(writer, context.sides.series[0], context.train.images))

    def latent_pictures(self, writer: ImageWriter, context: EvaluationContext[M]) -> None:
        """Pictures of a latent space, where the family has one."""

    def own_measures(self, writer: ImageWriter, context: EvaluationContext[M]) -> None:
        """Measures of what is drawn that no other family has, what the report shows beside them, and pictures."""

    def measure_networks(
        self, writer: ImageWriter, method: M, held_out: ImageSet | None, judge: FeatureSpace | None, found: Findings
    ) -> None:
        """Measures and pictures, the family's own, for which nothing is drawn."""

    def own_warnings(self, preset: G, results: Results, options: EvaluationOptions) -> list[str]:
        """What speaks against this family's results."""
        return []


def _of_each_class(context: EvaluationContext[M]) -> tuple[Tensor, str]:
    """The first pictures of each class of series 0, in turn, and how they were drawn where it is otherwise than those
    that are measured."""
    count = panels.EACH * len(context.classes)
    if context.shown is not None:
        return context.shown.pictures[:count], context.shown.words
    return context.method.sample(count, seed=0), ""


L = TypeVar("L", bound=LatentGenerator)
D = TypeVar("D", bound=LatentGeneratorMethod)


class LatentGeneratorEvaluation(GeneratorEvaluation[L, D]):
    """Of a model that decodes latent vectors also walks between them."""

    def latent_pictures(self, writer: ImageWriter, context: EvaluationContext[D]) -> None:
        with context.found.measuring("interpolation.png"):
            context.found.show(panels.interpolation(writer, context.method, panels.drawn_ends(context.method)))


def draw_series(train: ImageSet, method: GeneratorMethod, most: int, console: Console) -> RealAndGenerated:
    """Two real halves and as many samples in each series: half the training pictures, and no more than `most`."""
    n = len(_real_halves(train, method, most)[0])
    console.say(f"Drawing {SERIES} × {n:,} pictures …")
    return beside_real(train, method, [method.sample(n, seed) for seed in range(SERIES)])


def _real_halves(train: ImageSet, method: GeneratorMethod, most: int) -> tuple[Tensor, Tensor]:
    """Rows of two halves, with as many of each class in both as the data allow, where the samples have classes."""
    labels = train.labels if method.classes else None
    even_labels = labels if labels is not None and int(labels.bincount().max()) > 1 else None
    return per_class.even_halves(per_class.kinds(even_labels, len(train)), most)


def beside_real(train: ImageSet, method: GeneratorMethod, series: Sequence[Tensor]) -> RealAndGenerated:
    """The series, uint8 `[n, C, H, W]` each, beside two real halves of as many."""
    n = len(series[0])
    one, other = _real_halves(train, method, n)
    labels = train.labels if method.classes else None
    # How the protocols of the measures say it.
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


# --- in features ----------------------------------------------------------------------------------------------------


def compare(context: EvaluationContext[M], judge: FeatureSpace | None, options: EvaluationOptions) -> None:
    """Distances in every feature space that is at hand, and what a classifier says class by class."""
    console, sides, found = context.console, context.sides, context.found
    if judge is None:
        command = f"genshift evaluate {context.run.path} --features RUN"
        console.say(f"note: `{command}` adds the Fréchet distance in a classifier's features.")
    else:
        # In the features of the classifier that is named.
        console.say(f"Comparing in the features of {judge.name} …")
        real = embed_real(judge, sides)
        series = embed_series(judge, sides)
        feature_distance.compare(judge, sides, real, series, found)
        feature_distance.count_repeats(judge, real, series, found)
        if context.n > EQUAL:  # of as many as a slower family draws
            fewer = beside_real(context.train, context.method, [pictures[:EQUAL] for pictures in sides.series])
            equal = replace(judge, measures=feature_distance.OF_EQUAL)
            first = [features[:EQUAL] for features in series]
            feature_distance.compare(equal, fewer, embed_real(equal, fewer), first, found)
        if context.normal_prior is not None:
            # Of other samples, whose latent vectors come from N(0, I), from the same real half.
            plain = [context.normal_prior.sample(len(sides.reference), seed) for seed in range(SERIES)]
            others = replace(sides, series=plain, words=f"latent vectors from N(0, I); {sides.words}")
            distance_alone = replace(judge, measures={"frechet_normal_prior": "frechet"})
            plain = embed_series(judge, others)
            feature_distance.compare(distance_alone, others, real, plain, found)
        if sides.labels is not None:
            with found.measuring("class_accuracy"):
                compare_by_class(context, judge, real)
    # In Inception's, where its weights may be had: a published FID is measured in no others.
    if options.weights is not None or options.download:
        with found.measuring(*feature_distance.IN_INCEPTION):
            inception = feature_distance.inception_space(options.weights, options.download, console.say)
            console.say("Comparing in Inception's features, which takes minutes on a CPU …")
            real, series = embed_real(inception, sides), embed_series(inception, sides)
            feature_distance.compare(inception, sides, real, series, found)


def compare_by_class(context: EvaluationContext[M], judge: FeatureSpace, real: tuple[Tensor, Tensor]) -> None:
    """The accuracy under a classifier of the same classes, and a row of evaluation.json for each of them; Refusal
    for a classifier of others."""
    if not per_class.knows(judge, context.classes):
        raise Refusal(f"{judge.name} does not tell these classes apart: name a classifier's run of the same classes.")
    outputs = per_class.classify(judge, context.sides, context.classes, real, context.held_out)
    context.found.results["class_accuracy"] = per_class.accuracy(judge, context.sides, outputs)
    context.found.record["by_class"] = per_class.rows(context.sides, outputs, context.classes)
    if context.shown is not None and judge.classify is not None:
        n = len(context.shown.pictures)
        # The judge's number of each class, as the run counts them.
        labels = torch.tensor([judge.classes.index(name) for name in context.classes])
        right, error = accuracy(judge.classify(context.shown.pictures), labels[per_class.turns(n, len(labels))])
        words = f"{n} samples (seed 0), {context.shown.words}, taken by {judge.name} for their class; binomial error"
        context.found.results["shown_class_accuracy"] = Measure(right, n, words, error)


# --- as they are ----------------------------------------------------------------------------------------------------


def measure_pictures(context: EvaluationContext[M]) -> None:
    """Measures that need no network: what drawing costs, sharpness, nearest training pictures, and of faces the
    detector's rate."""
    words = f"wall clock, {CHUNK} pictures at a time; {conditions(context.method.arithmetic)}"
    context.found.results["seconds_per_image"] = Measure(context.seconds, SERIES * context.n, words)
    context.console.say("Looking at sharpness and nearest training pictures …")
    sides, found = context.sides, context.found
    with found.measuring("sharpness"):
        words = "variance of the Laplacian of luma, pixels in [0, 1]"
        found.results["sharpness"] = of_each(sharpness, sides, words)
    if context.held_out is not None:
        with found.measuring("nearest_train", "copies"):
            found.results |= _nearest(sides, context.train, context.held_out)
    if context.preset.task == "celeba":  # of other sets, nobody knows that their pictures are faces
        context.console.say("Looking for faces …")
        with found.measuring("face_rate"):
            found.results["face_rate"] = _face_rate(sides, context.train)


def of_each(measure: Callable[[Tensor], Tensor], sides: RealAndGenerated, words: str) -> Measure:
    """What a measure `[N]` of single pictures, which `words` name, has as its mean over each series of samples; its
    floor is that of real pictures."""
    drawn, _, _ = sides.words.partition("; ")
    means = [measure(pictures).mean().item() for pictures in sides.series]
    floor = measure(sides.reference).mean().item()
    return over_series(means, len(sides.reference), f"{words}, a mean over pictures; {drawn}", floor)


def _nearest(sides: RealAndGenerated, train: ImageSet, held_out: ImageSet) -> Results:
    """How near samples lie to the training pictures, beside held-out real pictures: have they been memorised?"""
    unseen = held_out.take(torch.from_numpy(fixed_sample(len(held_out), LOOKED_AT, 0)))
    real = nearest_images(unseen.images, train.images)  # how near pictures lie that nobody can have copied
    by_series = [memorisation(nearest_images(pictures[:LOOKED_AT], train.images), real) for pictures in sides.series]
    n = min(LOOKED_AT, len(sides.series[0]))
    words = (
        f"pixels, mirror images included; {SERIES} series of {n:,} samples beside {len(train):,} training "
        f"pictures, std over them; floor: the same of {len(real.rows):,} held-out real pictures"
    )
    ratio = f"median distance to the nearest training picture, over that of held-out real pictures; {words}"
    copies = f"share whose nearest training picture is under a third as far as the second nearest; {words}"
    floor = by_series[0].copies_held_out  # of the real pictures alone, the same for each series
    return {
        "nearest_train": over_series([memorised.ratio for memorised in by_series], n, ratio, 1.0),
        "copies": over_series([memorised.copies for memorised in by_series], n, copies, floor),
    }


def _face_rate(sides: RealAndGenerated, train: ImageSet) -> Measure:
    samples = sides.series[0][:LOOKED_AT]
    real = train.images[torch.from_numpy(fixed_sample(len(train), LOOKED_AT, 0))]
    rate, floor = (has_face(pictures).double().mean().item() for pictures in (samples, real))
    protocol = (
        f"share of {len(samples):,} samples (seed 0) in which dlib's HOG detector finds a face, enlarged to 160 px; "
        f"std is the binomial error; floor: the same of {len(real):,} training pictures"
    )
    return Measure(rate, len(samples), protocol, standard_error(rate, len(samples)), floor)


# --- warnings -------------------------------------------------------------------------------------------------------


def warnings_of(run: RunFolder, results: Mapping[str, Measure]) -> list[str]:
    """What went wrong in training and stayed, and what the measures say against the samples."""
    # Alarms of training: the images at which each stood.
    readings: dict[str, list[int]] = {}
    for row in run.rows():
        for name in row.get("alarms", []):
            readings.setdefault(name, []).append(row["images"])
    warnings = [
        f"{name[0].upper()}{name[1:]}: so it stood in {len(images)} readings between {images[0]:,} and {images[-1]:,} "
        "images of training."
        for name, images in readings.items()
    ]
    # Samples beside real pictures.
    copies, faces, covered = (results.get(name) for name in ("copies", "face_rate", "recall"))
    if copies is not None and copies.floor is not None and copies.value > copies.floor + COPIED:
        warnings.append(f"Memorised: {copies.value:.1%} of the samples are copies of training pictures.")
    if faces is not None and faces.floor is not None and faces.value < FAR_BELOW * faces.floor:
        warnings.append(
            f"Few faces: the detector finds one in {faces.value:.1%} of samples, in {faces.floor:.1%} of real pictures."
        )
    right = results.get("class_accuracy")
    if right is not None and right.floor is not None and right.value < FAR_BELOW * right.floor:
        warnings.append(
            f"Few of the class that was asked for: the classifier finds it in {right.value:.1%} of samples, in "
            f"{right.floor:.1%} of real pictures; the samples may be noise."
        )
    if covered and covered.floor and covered.n >= FEWEST and covered.value < FEW_COVERED * covered.floor:
        warnings.append(
            f"Little variety: {covered.value:.1%} of the real pictures lie among the samples (recall), and "
            f"{covered.floor:.1%} among as many other real pictures."
        )
    return warnings
