"""How guidance, its interval, steps and sampler change what a diffusion run draws: measured, and the best kept."""

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
from genshift.metrics.classification import accuracy, standard_error
from genshift.metrics.frechet import Gaussian, frechet, statistics
from genshift.presets import Diffusion, Sampling
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import preset_of
from genshift.sampling.sampler_settings import SAMPLING, in_few_steps, sampling_of, unguided
from genshift.sampling.trained_generator import TrainedGenerator, open_generator
from genshift.training.console import Console
from genshift.training.domains import in_classes

FILE = "sweep.json"
SEED = 1000  # of the pictures that settings are chosen by; an evaluation's series are others, 0 to 2
COUNT = 500
REFERENCE = 5_000  # training pictures, at most
BY_DISTANCE = "the lowest Fréchet distance"
BY_BOTH = (
    f"{BY_DISTANCE} among the settings whose accuracy is within two standard errors of the highest (two right and two "
    "wrong pictures added, or a perfect score would have no error)"
)

Found = dict[str, Any]


@dataclass(frozen=True)
class Axes:
    """The values to try; None for those of DEFAULTS, of which a run that learnt no labels takes no guidance.

    Every strength is tried away from each of `guides`; without any, from the preset's own.
    """

    guides: Sequence[str] | None = None
    guidance: Sequence[float] | None = None
    intervals: Sequence[tuple[float, float]] | None = None
    steps: Sequence[int] | None = None
    samplers: Sequence[str] | None = None


DEFAULTS = Axes(
    guides=(),
    guidance=(1.0, 1.5, 2.0, 3.0),
    intervals=((0.0, 1.0), (0.1, 0.8), (0.0, 0.6)),
    steps=(5, 8, 12, 20),
    samplers=("dpm++2m", "dpm++3m", "unipc", "ddim"),
)


@dataclass(frozen=True)
class SweepSetting:
    """A value of an axis: what it is called, and what it changes in a sampling."""

    axis: str
    setting: str
    changes: Mapping[str, Any]


def sweep(
    run: RunFolder,
    features: Path,
    axes: Axes,
    count: int | None,
    data_root: Path | None,
    accuracy: float | None = None,
) -> Found:
    """Measures one axis after the other, each from the best setting so far, and keeps the best of all in the run.

    It starts from the preset's sampling, in few steps. Each row is in sweep.json as soon as it is measured, and is not
    measured again while checkpoint, judge, count and machine are the same. `accuracy`, from 0 to 1, is what the best
    must reach where any setting does. Returns what sweep.json holds; the best stands in sampling.json too. Raises
    Refusal for a run that is no diffusion model's, a judge that is no classifier's, and settings or a count that the
    run cannot take.
    """
    preset = preset_of(run.config)
    if not isinstance(preset, Diffusion):
        raise Refusal(f"{run.path} is {preset.summary}: there is nothing to sweep; name a diffusion model's run.")
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise Refusal(f"--accuracy is a share, from 0 to 1, not {accuracy:g}.")
    start, tries = _planned(run, preset, axes)
    device.prepare_process(None, device.choose_device())
    console = Console()
    bench = _bench(run, features, _needing_most(start, tries), count, data_root, console)
    sheet = SweepResults(run, bench.about(run, features))
    rule = bench.rule(accuracy)
    console.say(f"{bench.n:,} pictures a setting, one axis after the other, each from the best so far: {rule}.")
    console.say(f"The floor, as many training pictures, is at a distance of {bench.floor:.4g}.")
    passed = [_visit(sheet, bench, SweepSetting("start", "", {}), start, console)]
    for axis in dict.fromkeys(each.axis for each in tries):
        base = Sampling(**best_of(passed, accuracy)["sampling"])
        for each in tries:
            if each.axis == axis:
                passed.append(_visit(sheet, bench, each, base, console))
    return sheet.finish(best_of(sheet.rows, accuracy), rule)


def best_of(rows: Sequence[Found], accuracy: float | None = None) -> Found:
    """The row of the lowest distance; where accuracies were measured, among those that reach `accuracy`, or else are
    within two standard errors of the highest: accuracy alone would choose guidance too strong. The error is that with
    two right and two wrong pictures added (Agresti and Coull 1998)."""
    if rows[0]["accuracy"] is not None:
        least = _least(rows, accuracy)
        rows = [row for row in rows if row["accuracy"] >= least]
    return min(rows, key=lambda row: row["frechet"])


def _least(rows: Sequence[Found], accuracy: float | None) -> float:
    """The accuracy that the best must have."""
    top, n = max(row["accuracy"] for row in rows), rows[0]["n"]
    if accuracy is not None and top >= accuracy:
        return accuracy
    return float(top - 2 * standard_error((top * n + 2) / (n + 4), n))


# --- what is tried --------------------------------------------------------------------------------------------------


def _planned(run: RunFolder, preset: Diffusion, axes: Axes) -> tuple[Sampling, list[SweepSetting]]:
    """Where to start, and every value to try; Refusal for one that the run cannot take."""
    start = in_few_steps(preset.sampling())
    guided = preset.condition != "none" or not start.by_label
    start = start if guided else unguided(start)
    tries = [each for each in _tries(axes) if guided or each.axis not in ("guidance", "interval") or _asked(axes, each)]
    for each in tries:
        sampling_of(run, preset, {**asdict(start), **each.changes})
    return start, tries


def _needing_most(start: Sampling, tries: Sequence[SweepSetting]) -> Sampling:
    """What the run is opened with: a sampling that needs its early state, where any does, so that it is there."""
    tried = (replace(start, **each.changes) for each in tries)
    return next((each for each in tried if each.by_weak), start)


def _tries(axes: Axes) -> Iterator[SweepSetting]:
    def values(name: str) -> Sequence[Any]:
        given = getattr(axes, name)
        return getattr(DEFAULTS, name) if given is None else given

    for away in [{"guide": guide} for guide in values("guides")] or [{}]:
        for strength in values("guidance"):
            setting = " ".join([f"{strength:g}", *away.values()])
            yield SweepSetting("guidance", setting, {**away, "guidance": float(strength)})
    for low, high in values("intervals"):
        yield SweepSetting("interval", f"{low:g}-{high:g}", {"guidance_from": float(low), "guidance_to": float(high)})
    for steps in values("steps"):
        yield SweepSetting("steps", f"{steps}", {"steps": steps})
    for sampler in values("samplers"):
        yield SweepSetting("sampler", sampler, {"sampler": sampler})


def _asked(axes: Axes, each: SweepSetting) -> bool:
    return (axes.intervals if each.axis == "interval" else axes.guidance or axes.guides) is not None


# --- how a setting is measured --------------------------------------------------------------------------------------


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

    def about(self, run: RunFolder, features: Path) -> Found:
        """What rows must share to stand beside each other."""
        judge = {"features": self.space.name, "features_images": RunFolder(features).seen}
        machine = f"{device.machine(self.method.arithmetic.device)}, {torch.get_num_threads()} threads"
        return {"images": run.seen, **judge, "reference": self.words, "n": self.n, "seed": SEED, "machine": machine}

    def measure(self, sampling: Sampling) -> Found:
        """Draws with a setting; the measures of a row."""
        method = copy.copy(self.method)
        method.sampling = sampling
        begun = time.monotonic()
        pictures = method.sample(self.n, SEED)
        seconds = time.monotonic() - begun
        right, error = self._accuracy(pictures)
        return {
            "accuracy": right,
            "accuracy_error": error,
            "frechet": frechet(self.reference, statistics(self.space.embed(pictures))),
            "floor": self.floor,
            "evaluations": method.evaluations,
            "seconds_per_image": seconds / (-(-self.n // CHUNK) * CHUNK),
            "n": self.n,
        }

    def _accuracy(self, pictures: Tensor) -> tuple[float | None, float | None]:
        if self.classify is None:
            return None, None
        return accuracy(self.classify(pictures), turns(self.n, self.method.classes))


def _bench(
    run: RunFolder, features: Path, start: Sampling, count: int | None, data_root: Path | None, console: Console
) -> SweepBenchmark:
    space = classifier_space(features)
    generator: TrainedGenerator[DiffusionMethod] = open_generator(run, asdict(start))
    classes = generator.classes
    train = training_pictures(generator.preset, data_root, bool(run.config.get("skip_broken")))
    train = in_classes(train, classes)
    labels = train.labels if classes else None
    n = _count(count, len(train))
    rows, others = even_parts(kinds(labels, len(train)), REFERENCE, n)
    real, other = (statistics(space.embed(train.images[part])) for part in (rows, others))
    words = f"{len(rows):,} training pictures of {train.name} at {train.images.shape[-1]} px"
    words += "" if labels is None else f", {evenness(labels[rows], len(classes))}"
    classify = space.classify if classes and space.classes == classes else None
    if classify is None:
        console.say(f"note: {space.name} does not tell what the run draws apart: settings are compared by distance.")
    return SweepBenchmark(generator.method, space, classify, real, frechet(real, other), n, words)


def _count(asked: int | None, train: int) -> int:
    most = train // 2
    if most < 2:
        raise Refusal(f"The run has {train} training pictures: at least 4 are needed to compare with.")
    if asked is not None and not 2 <= asked <= most:
        raise Refusal(f"--count must be from 2 to {most:,}, half the {train:,} training pictures, not {asked:,}.")
    return min(COUNT, most) if asked is None else asked


# --- what is written ------------------------------------------------------------------------------------------------


class SweepResults:
    """sweep.json, with the rows that an earlier sweep of the same `about` measured."""

    def __init__(self, run: RunFolder, about: Found) -> None:
        self.run, self.about = run, about
        before = run.read(FILE) if (run.path / FILE).exists() else {}
        same = all(before.get(key) == value for key, value in about.items())
        self.rows: list[Found] = before["rows"] if same else []

    def known(self, sampling: Found) -> Found | None:
        """The measures of a setting that was measured before."""
        measures = ("accuracy", "accuracy_error", "frechet", "floor", "evaluations", "seconds_per_image", "n")
        return next(({key: row[key] for key in measures} for row in self.rows if row["sampling"] == sampling), None)

    def add(self, row: Found) -> None:
        """Keeps a row, once."""
        if row not in self.rows:
            self.rows.append(row)
            self.run.write(FILE, {**self.about, "rows": self.rows})

    def finish(self, best: Found, rule: str) -> Found:
        """Writes the best setting too; returns all."""
        chosen = {"sampling": best["sampling"], "images": self.about["images"], "why": f"{_in_words(best)}: {rule}."}
        found = {**self.about, "rule": rule, "rows": self.rows, "best": chosen}
        self.run.write(FILE, found)
        self.run.write(SAMPLING, chosen)
        return found


def _visit(sheet: SweepResults, bench: SweepBenchmark, each: SweepSetting, base: Sampling, console: Console) -> Found:
    """A setting's row, measured or known."""
    sampling = replace(base, **each.changes)
    found = sheet.known(asdict(sampling)) or bench.measure(sampling)
    row = {"axis": each.axis, "setting": each.setting, "sampling": asdict(sampling), **found}
    sheet.add(row)
    console.say(f"{each.axis:>9} {each.setting:<8} {_in_words(row)}; {row['seconds_per_image']:.3g} s a picture")
    return row


def _in_words(row: Found) -> str:
    how, right = row["sampling"], row["accuracy"]
    guided = how["guidance"] != 1
    away = "" if how["guide"] == "unconditional" else f" ({how['guide']})"
    where = f"in t {how['guidance_from']:g}-{how['guidance_to']:g}"
    guidance = f", guidance {how['guidance']:g}{away} {where}" if guided else ""
    told = "" if right is None else f"accuracy {right:.1%} ± {row['accuracy_error']:.1%}, "
    return (
        f"{how['sampler']} in {how['steps']} steps{guidance}: {told}Fréchet distance {row['frechet']:.4g}, "
        f"{row['evaluations']:g} evaluations"
    )
