"""How guidance, steps, sampler and clipping change what a diffusion run draws: measured, and the best kept.

`sampling.sampler_settings` reads the setting that is kept; an evaluation then draws with it. What it costs to leave
guidance out at random (hw2's way to save time) is a table of its own, by the run's own sampler, and chooses nothing.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift import device
from genshift.errors import Refusal
from genshift.evaluation.feature_distance import FeatureSpace, classifier_space
from genshift.evaluation.generation import training_pictures
from genshift.evaluation.per_class import even_parts, evenness, kinds, turns
from genshift.methods import DiffusionMethod
from genshift.methods.base import CHUNK
from genshift.metrics.binomial import standard_error
from genshift.metrics.classification import accuracy
from genshift.metrics.frechet import Gaussian, frechet, statistics
from genshift.presets import Diffusion, Preset, Sampling
from genshift.presets.diffusion import PASSES
from genshift.runs.folder import RunFolder
from genshift.runs.forms import Best, SkipRow, SkipTable, Sweep, SweepMeasures, SweepRow
from genshift.runs.manifest import placed
from genshift.runs.trained_run import preset_of
from genshift.sampling.sampler_settings import SAMPLING, in_few_steps, sampling_of, unguided
from genshift.sampling.trained_generator import TrainedGenerator, open_generator
from genshift.training.console import Console
from genshift.training.domains import in_classes

FILE = "sweep.json"
SEED = 1000  # of the pictures that settings are chosen by; an evaluation's series are others, 0 to 2
COUNT = 500  # pictures of a setting, where a user gives no number
SKIPPED = 100  # pictures by the run's own sampler, of a share of steps without guidance, where a user gives none
DISTANCE_COUNT, DISTANCE_STEPS = 1_000, 100  # for their distance, which takes more pictures: in ancestral steps
REFERENCE = 5_000  # training pictures, at most
BY_DISTANCE = "the lowest Fréchet distance"
BY_BOTH = (
    f"{BY_DISTANCE} among the settings whose accuracy is within two standard errors of the highest (two right and two "
    "wrong pictures added, or a perfect score would have no error)"
)


@dataclass(frozen=True)
class Axes:
    """The values to try; None for those of DEFAULTS, of which a run that learnt no labels takes no guidance; a student
    has its own numbers of steps alone.

    Every strength is tried away from each of `guides`; without any, from the preset's own.
    """

    guides: Sequence[str] | None = None
    guidance: Sequence[float] | None = None
    intervals: Sequence[tuple[float, float]] | None = None
    steps: Sequence[int] | None = None
    samplers: Sequence[str] | None = None
    clips: Sequence[str] | None = None


DEFAULTS = Axes(
    guides=(),
    guidance=(1.0, 1.5, 2.0, 3.0),
    intervals=((0.0, 1.0), (0.1, 0.8), (0.0, 0.6)),
    steps=(5, 8, 12, 20),
    samplers=("dpm++2m", "dpm++3m", "unipc", "ddim"),
    clips=(),
)


@dataclass(frozen=True)
class SweepSetting:
    """A value of an axis, in words, and what it changes in a sampling."""

    axis: str
    value: str
    changes: Mapping[str, Any]


def sweep(
    run: RunFolder,
    features: Path,
    axes: Axes,
    count: int | None,
    data_root: Path | None,
    accuracy: float | None = None,
    places: Mapping[str, str] | None = None,
) -> Sweep:
    """Measures one axis after the other, each from the best setting so far, and keeps the best of all in the run.

    It starts from the preset's sampling, in few steps. Each row is in sweep.json as soon as it is measured, and is not
    measured again while checkpoint, judge, count and machine are the same. `accuracy`, from 0 to 1, is what the best
    must reach where any setting does. Returns what sweep.json holds; the best stands in sampling.json too. Raises
    Refusal for a run that is no diffusion model's, a judge that is no classifier's, and settings or a count that the
    run cannot take.
    """
    # What is asked for is refused before a network is read.
    preset = _diffusion_of(run)
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise Refusal(f"--accuracy is a share, from 0 to 1, not {accuracy:g}.")
    start, settings = _planned(run, preset, axes)
    # What every setting is measured with.
    device.prepare_process(None, device.choose_device())
    console = Console()
    # Opened with a sampling that needs the run's early state, where any does, so that it is there for all.
    samplings = [replace(start, **setting.changes) for setting in settings]
    opened_with = next((sampling for sampling in samplings if sampling.by_weak), start)
    benchmark = _open_benchmark(run, features, opened_with, count, data_root, console, places)
    results = SweepResults(run, benchmark.conditions(run, features))
    rule = benchmark.rule(accuracy)
    console.say(f"{benchmark.n:,} pictures a setting, one axis after the other, each from the best so far: {rule}.")
    console.say(f"The floor, as many training pictures, is at a distance of {benchmark.floor:.4g}.")
    # The start, then one axis after the other.
    rows = [_measure(results, benchmark, SweepSetting("start", "", {}), start, console)]
    for axis in dict.fromkeys(setting.axis for setting in settings):
        base = Sampling(**best_of(rows, accuracy)["sampling"])
        for setting in settings:
            if setting.axis == axis:
                rows.append(_measure(results, benchmark, setting, base, console))
    # An earlier sweep of the same conditions may have measured a better one.
    return results.finish(best_of(results.rows, accuracy), rule)


def _diffusion_of(run: RunFolder) -> Diffusion:
    """The preset of a diffusion model's run; Refusal for any other's."""
    preset = preset_of(run.config)
    if not isinstance(preset, Diffusion):
        raise Refusal(f"{run.path} is {preset.summary}: there is nothing to sweep; name a diffusion model's run.")
    return preset


def best_of(rows: Sequence[SweepRow], accuracy: float | None = None) -> SweepRow:
    """The row of the lowest distance; where accuracies were measured, among those that reach `accuracy`, or else are
    within two standard errors of the highest."""
    measured = [share for row in rows if (share := row["accuracy"]) is not None]
    if measured:
        # Accuracy alone would choose guidance too strong: of those that are as right, the nearest.
        top, n = max(measured), rows[0]["n"]
        least = accuracy
        if least is None or top < least:
            # The error is that with two right and two wrong pictures added (Agresti and Coull 1998): a perfect score
            # would have none.
            least = float(top - 2 * standard_error((top * n + 2) / (n + 4), n))
        rows = [row for row in rows if row["accuracy"] is not None and row["accuracy"] >= least]
    return min(rows, key=lambda row: row["frechet"])


def skip_table(
    run: RunFolder,
    features: Path,
    skips: Sequence[float],
    count: int | None,
    data_root: Path | None,
    places: Mapping[str, str] | None = None,
) -> SkipTable:
    """What leaving guidance out in a share of the steps, each of `skips`, makes of a run's own sampler: a table in
    sweep.json that chooses nothing.

    `count` pictures of each share by the preset's own sampler give right class, passes and seconds; the distance, of
    more pictures, is by fewer ancestral steps, as its protocol says. A row that was measured is not measured again
    while checkpoint, judge, counts and machine are the same. Raises Refusal for a run that has no guidance to leave
    out, a judge that is no classifier's, and shares or a count that cannot be.
    """
    preset = _diffusion_of(run)
    own = preset.sampling()
    if own.guidance == 1 or (own.by_label and preset.condition == "none"):
        raise Refusal(f"{run.path} draws without guidance, which no step can leave out: leave --skips out.")
    samplings = [replace(own, skip=float(skip)).checked_sampling() for skip in skips]
    device.prepare_process(None, device.choose_device())
    console = Console()
    benchmark = _open_benchmark(run, features, own, DISTANCE_COUNT, data_root, console, places, at_most=True)
    count = SKIPPED if count is None else count
    conditions = benchmark.conditions(run, features)
    written: Sweep = run.read_if_there(FILE) or conditions
    before = written.get("skips", {})
    alike = before.get("count") == count and all(before.get(key) == value for key, value in conditions.items())
    table: SkipTable = {
        "images": conditions["images"],
        "features": conditions["features"],
        "features_images": conditions["features_images"],
        "reference": conditions["reference"],
        "n": conditions["n"],
        "seed": SEED,
        "machine": conditions["machine"],
        "count": count,
        "protocol": (
            f"right class, passes and seconds: {count:,} pictures (seed {SEED}) of each share by the preset's own "
            f"sampler, {own.sampler} in {own.steps:,} steps; distance: {benchmark.n:,} pictures by ddpm in "
            f"{min(own.steps, DISTANCE_STEPS):,} steps beside {benchmark.words}"
        ),
        "rows": before["rows"] if alike else [],
    }
    console.say(f"{table['protocol']}.")
    for sampling in samplings:
        if not any(row["sampling"] == asdict(sampling) for row in table["rows"]):
            table["rows"].append(_skip_row(benchmark, sampling, count))
            run.write(FILE, {**written, "skips": table})
        row = next(row for row in table["rows"] if row["sampling"] == asdict(sampling))
        console.say(f"skip {sampling.skip:g}: {_in_words(row)}; {row['seconds_per_image']:.3g} s a picture")
    return table


def _skip_row(benchmark: SweepBenchmark, sampling: Sampling, count: int) -> SkipRow:
    """Right class and cost by the run's own sampler, the distance by fewer ancestral steps."""
    own = replace(benchmark, n=count).draw(sampling)
    few = replace(sampling, sampler="ddpm", steps=min(sampling.steps, DISTANCE_STEPS))
    distance = benchmark.measure(few)
    right, error = benchmark.right_class(own.pictures)
    return {
        "skip": sampling.skip,
        "sampling": asdict(sampling),
        "accuracy": right,
        "accuracy_error": error,
        "n": count,
        "evaluations": own.evaluations,
        "seconds_per_image": own.seconds,
        "frechet": distance["frechet"],
        "floor": distance["floor"],
        "frechet_accuracy": distance["accuracy"],
        "frechet_n": distance["n"],
        "frechet_steps": few.steps,
    }


# --- what is tried --------------------------------------------------------------------------------------------------


def _planned(run: RunFolder, preset: Diffusion, axes: Axes) -> tuple[Sampling, list[SweepSetting]]:
    """Where to start, and every setting to try; Refusal for one that the run cannot take."""
    start = in_few_steps(preset.sampling())
    if preset.folded:
        axes = replace(axes, steps=axes.steps or PASSES)
    guided = not preset.folded and (preset.condition != "none" or not start.by_label)
    start = start if guided else unguided(start)
    # A run that cannot be guided tries guidance only where a user asks for it, and is then refused.
    takes = {
        "guidance": guided or axes.guidance is not None or axes.guides is not None,
        "interval": guided or axes.intervals is not None,
        "sampler": not preset.folded or axes.samplers is not None,
    }
    settings = [setting for setting in _settings(axes) if takes.get(setting.axis, True)]
    for setting in settings:
        sampling_of(run, preset, {**_asked(preset, start), **setting.changes})
    return start, settings


def _asked(preset: Preset, sampling: Sampling) -> dict[str, Any]:
    """A sampling as changes to how a run draws: of a student its steps alone."""
    return {name: value for name, value in asdict(sampling).items() if name in preset.drawing}


def _settings(axes: Axes) -> Iterator[SweepSetting]:
    """Every value of every axis, one axis after the other: first whether to clip, on which all else depends."""

    def values(name: str) -> Sequence[Any]:
        """What a user gave, else the default."""
        given = getattr(axes, name)
        return getattr(DEFAULTS, name) if given is None else given

    for clip in values("clips"):
        yield SweepSetting("clip", clip, {"clip": clip})
    for away in [{"guide": guide} for guide in values("guides")] or [{}]:
        for strength in values("guidance"):
            value = " ".join([f"{strength:g}", *away.values()])
            yield SweepSetting("guidance", value, {**away, "guidance": float(strength)})
    for low, high in values("intervals"):
        yield SweepSetting("interval", f"{low:g}-{high:g}", {"guidance_from": float(low), "guidance_to": float(high)})
    for steps in values("steps"):
        yield SweepSetting("steps", f"{steps}", {"steps": steps})
    for sampler in values("samplers"):
        yield SweepSetting("sampler", sampler, {"sampler": sampler})


# --- how a setting is measured --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """Pictures that a setting drew, uint8 `[n, C, H, W]`; passes through the network and seconds for each."""

    pictures: Tensor
    evaluations: float
    seconds: float


@dataclass(frozen=True)
class SweepBenchmark:
    """What every setting is measured with: the model, the judge, and the training pictures it is held against.

    classify: tells the classes that the model draws; None where the judge does not know them.
    """

    method: DiffusionMethod
    space: FeatureSpace
    classify: Callable[[Tensor], Tensor] | None
    reference: Gaussian
    floor: float
    n: int
    words: str

    def rule(self, accuracy: float | None) -> str:
        """How the best setting is chosen; Refusal for an `accuracy` to reach that this judge cannot tell."""
        if accuracy is None:
            return BY_DISTANCE if self.classify is None else BY_BOTH
        if self.classify is None:
            raise Refusal(f"{self.space.name} does not tell what the run draws apart: leave --accuracy out.")
        return f"{BY_DISTANCE} among the settings whose accuracy is at least {accuracy:.4g}, if any is, else {BY_BOTH}"

    def conditions(self, run: RunFolder, features: Path) -> Sweep:
        """What rows must share to stand beside each other."""
        return {
            "images": run.seen,
            "features": self.space.name,
            "features_images": RunFolder(features).seen,
            "reference": self.words,
            "n": self.n,
            "seed": SEED,
            "machine": f"{device.machine(self.method.arithmetic.device)}, {torch.get_num_threads()} threads",
        }

    def draw(self, sampling: Sampling) -> Drawing:
        """Draws `n` pictures with a setting."""
        method = copy.copy(self.method)
        method.sampling = sampling
        begun = time.monotonic()
        pictures = method.sample(self.n, SEED)
        seconds = (time.monotonic() - begun) / (-(-self.n // CHUNK) * CHUNK)  # whole chunks are drawn
        return Drawing(pictures, method.evaluations, seconds)

    def right_class(self, pictures: Tensor) -> tuple[float | None, float | None]:
        """The share of a series that the judge takes for its class, and its error; None where it does not know them."""
        if self.classify is None:
            return None, None
        return accuracy(self.classify(pictures), turns(len(pictures), self.method.classes))

    def measure(self, sampling: Sampling) -> SweepMeasures:
        """Draws with a setting; the measures of a row."""
        drawn = self.draw(sampling)
        right, error = self.right_class(drawn.pictures)
        return {
            "accuracy": right,
            "accuracy_error": error,
            "frechet": frechet(self.reference, statistics(self.space.embed(drawn.pictures))),
            "floor": self.floor,
            "evaluations": drawn.evaluations,
            "seconds_per_image": drawn.seconds,
            "n": self.n,
        }


def _open_benchmark(
    run: RunFolder,
    features: Path,
    start: Sampling,
    count: int | None,
    data_root: Path | None,
    console: Console,
    places: Mapping[str, str] | None,
    at_most: bool = False,
) -> SweepBenchmark:
    """at_most: fewer than `count` are drawn where the training pictures are few, which otherwise is refused."""
    space = classifier_space(features)
    generator: TrainedGenerator[DiffusionMethod] = open_generator(run, _asked(preset_of(run.config), start))
    classes = generator.classes
    train = training_pictures(run, placed(run, generator.preset, places), data_root)
    train = in_classes(train, classes)
    labels = train.labels if classes else None
    # As many training pictures as samples give the floor; the others are what both are held against.
    most = len(train) // 2
    if most < 2:
        raise Refusal(f"The run has {len(train)} training pictures: at least 4 are needed to compare with.")
    count = min(count, most) if at_most and count is not None else count
    if count is not None and not 2 <= count <= most:
        raise Refusal(f"--count must be from 2 to {most:,}, half the {len(train):,} training pictures, not {count:,}.")
    n = min(COUNT, most) if count is None else count
    rows, others = even_parts(kinds(labels, len(train)), REFERENCE, n)
    real, other = (statistics(space.embed(train.images[part])) for part in (rows, others))
    words = f"{len(rows):,} training pictures of {train.name} at {train.images.shape[-1]} px"
    words += "" if labels is None else f", {evenness(labels[rows], len(classes))}"
    classify = space.classify if classes and space.classes == classes else None
    if classify is None:
        console.say(f"note: {space.name} does not tell what the run draws apart: settings are compared by distance.")
    return SweepBenchmark(generator.method, space, classify, real, frechet(real, other), n, words)


def _measure(
    results: SweepResults, benchmark: SweepBenchmark, setting: SweepSetting, base: Sampling, console: Console
) -> SweepRow:
    """A setting's row, measured or known."""
    sampling = replace(base, **setting.changes)
    measures = results.known(asdict(sampling)) or benchmark.measure(sampling)
    row: SweepRow = {"axis": setting.axis, "setting": setting.value, "sampling": asdict(sampling), **measures}
    results.add(row)
    console.say(f"{setting.axis:>9} {setting.value:<8} {_in_words(row)}; {row['seconds_per_image']:.3g} s a picture")
    return row


# --- what is written ------------------------------------------------------------------------------------------------


class SweepResults:
    """sweep.json, with the rows that an earlier sweep under the same conditions measured."""

    def __init__(self, run: RunFolder, conditions: Sweep) -> None:
        self.run, self.conditions = run, conditions
        before: Sweep = run.read_if_there(FILE)
        self.kept: Sweep = {"skips": before["skips"]} if "skips" in before else {}  # the table of its own
        same = all(before.get(key) == value for key, value in conditions.items())
        self.rows: list[SweepRow] = before.get("rows", []) if same else []

    def known(self, sampling: dict[str, Any]) -> SweepMeasures | None:
        """The measures of a setting that was measured before."""
        row = next((row for row in self.rows if row["sampling"] == sampling), None)
        if row is None:
            return None
        return {
            "accuracy": row["accuracy"],
            "accuracy_error": row["accuracy_error"],
            "frechet": row["frechet"],
            "floor": row["floor"],
            "evaluations": row["evaluations"],
            "seconds_per_image": row["seconds_per_image"],
            "n": row["n"],
        }

    def add(self, row: SweepRow) -> None:
        """Keeps a row, once."""
        if row not in self.rows:
            self.rows.append(row)
            self.run.write(FILE, {**self.conditions, **self.kept, "rows": self.rows})

    def finish(self, best: SweepRow, rule: str) -> Sweep:
        """Writes the best setting too; returns all."""
        chosen: Best = {
            "sampling": best["sampling"],
            "images": self.conditions["images"],
            "why": f"{_in_words(best)}: {rule}.",
        }
        written: Sweep = {**self.conditions, **self.kept, "rule": rule, "rows": self.rows, "best": chosen}
        self.run.write(FILE, written)
        self.run.write(SAMPLING, chosen)
        return written


def _in_words(row: SweepRow | SkipRow) -> str:
    sampling = Sampling(**row["sampling"])
    guidance = ""
    if sampling.guidance != 1:
        away = "" if sampling.guide == "unconditional" else f" ({sampling.guide})"
        where = f"in t {sampling.guidance_from:g}-{sampling.guidance_to:g}"
        skip = f", left out in {sampling.skip:.0%} of the steps" if sampling.skip else ""
        guidance = f", guidance {sampling.guidance:g}{away} {where}{skip}"
    right = "" if row["accuracy"] is None else f"accuracy {row['accuracy']:.1%} ± {row['accuracy_error']:.1%}, "
    how = f"{sampling.sampler} in {sampling.steps} steps{guidance}{', clipped' if sampling.clip == 'on' else ''}"
    return f"{how}: {right}Fréchet distance {row['frechet']:.4g}, {row['evaluations']:g} evaluations"
