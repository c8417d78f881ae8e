"""What the runs of a study take on this machine, told before the first of them: small steps of each kind of run, on
pictures of noise, tell how long it takes and how much memory it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from genshift import device, nets
from genshift.data.catalog import lookup
from genshift.data.feed import TrainingSet
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.evaluation.feature_distance import check_weights
from genshift.paths import given_path, output_folder
from genshift.presets import Preset
from genshift.report.model.formatting import counted
from genshift.runs.folder import RunFolder
from genshift.studies import MOST_MINUTES, BudgetName, Study
from genshift.studies.jobs import Job, jobs_of, selected
from genshift.studies.needs import missing_sets, sets_of, unmeasured
from genshift.training.console import Console
from genshift.training.distributed import World
from genshift.training.loop import Trainer
from genshift.training.plan import kept_bytes
from genshift.training.probe import duration, one_step, stand_at, wait_for
from genshift.training.train import Settings, assemble
from genshift.training.training_data import TrainingData

ATTRIBUTES = 40  # CelebA's
PICTURES = 64  # of noise, in a set; as many as a batch has, where that is more
FIRST = 4  # images of the smaller step
SECONDS = 0.25  # about, of the larger step
OF_A_PROCESS = 0.6  # GiB that Python and PyTorch take before any work
GIB = 2**30


@dataclass(frozen=True)
class Cost:
    """What a kind of run takes: seconds of one core for an image (of a GPU, by the clock), GiB of memory and, at its
    end, of disk."""

    seconds: float
    memory_gib: float
    disk_gib: float


@dataclass(frozen=True)
class PlannedRun:
    """A run, the images that it still has to learn from, and what one of its kind takes."""

    job: Job
    left: int
    cost: Cost
    note: str

    @property
    def disk_gib(self) -> float:
        return self.cost.disk_gib

    @property
    def minutes(self) -> float:
        """Of one core, without what is measured at checks and at the end."""
        return self.left * self.cost.seconds / 60


@dataclass(frozen=True)
class StudyPlan:
    """The runs to train, the names of those that are left out, by the reason, and `every` run of the study; `notes` say
    what else its page will lack, and `jobs` how many run at a time."""

    runs: list[PlannedRun]
    left_out: dict[str, list[str]]
    every: list[Job]
    notes: list[str]
    jobs: int = 1

    @property
    def lines(self) -> list[str]:
        """A row a run, the sum, and what there will not be."""
        width = max((len(run.job.out.name) for run in self.runs), default=0)
        rows = [f"{'run':<{width}}  {'images':>10}  {'minutes':>7}  {'memory':>6}  {'disk':>5}"] if self.runs else []
        rows += [
            f"{run.job.out.name:<{width}}  {run.job.preset.images:>10,}  {run.minutes:>7.1f}  "
            f"{run.cost.memory_gib:>6.1f}  {run.disk_gib:>5.2f}  {run.note}".rstrip()
            for run in self.runs
        ]
        return [*rows, *self._sums(), *left_out_lines(self.left_out), *self.notes]

    def _sums(self) -> Iterator[str]:
        minutes, disk = (sum(getattr(run, name) for run in self.runs) for name in ("minutes", "disk_gib"))
        beside = f" ({duration(60 * minutes / self.jobs)} where {self.jobs} run at a time)" if self.jobs > 1 else ""
        yield (
            f"{counted(len(self.runs), 'run')}: {duration(60 * minutes)} of training on one core{beside}, and an "
            f"evaluation of each; {disk:.1f} GiB of disk. Memory and disk are in GiB."
        )
        long = {run.job.preset.name: run.minutes for run in self.runs if run.minutes > MOST_MINUTES}
        for name, least in long.items():
            yield f"{name} alone takes {duration(60 * least)} of that: --without {name} leaves it out."


def left_out_lines(left_out: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each reason, with the names of the runs that it leaves out."""
    return [f"Left out: {', '.join(names)}. {reason}" for reason, names in left_out.items()]


def plan_study(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int | None = None,
    data_root: Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    weights: Path | None = None,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    photos: Path | None = None,
    build: bool = False,
    processes: int | None = None,
) -> StudyPlan:
    """Looks for what the runs need, and tells what they take; nothing is trained.

    weights: Inception's, for FID and its kin. only, without: as `jobs.selected` takes them. photos: to build MNIST-M
    from, which is done where `build`. processes: that share each run's batch. Raises Refusal for wrong input.
    """
    for name, number in {"jobs": jobs, "seeds": seeds, "threads": threads, "processes": processes}.items():
        if number is not None and number < 1:
            raise Refusal(f"--{name} must be 1 or more, not {number}.")
    if weights is not None and not any(preset.draws for preset in study.presets()):
        raise Refusal(f"--weights measures generated pictures, and the study {study.name} draws none: leave it out.")
    weights, photos = (None if path is None else given_path(path) for path in (weights, photos))
    check_weights(weights)
    # Which runs, and which of them cannot be.
    number = seeds_of(study, budget, seeds)
    of_budget = jobs_of(study, budget, output_folder(out), number, data_root, threads, weights, processes, photos)
    every = [as_begun(job) for job in of_budget]
    wanted = selected(every, only, without)
    missing = missing_sets(wanted, data_root, photos, Console().say, build)
    left_out: dict[str, list[str]] = {}
    for job in wanted:
        if reason := next((missing[name] for name in sets_of(job.preset) if name in missing), ""):
            left_out.setdefault(reason, []).append(job.out.name)
    gone = {name for names in left_out.values() for name in names}
    there = [job for job in wanted if job.out.name not in gone]
    runs, notes = _planned(there), unmeasured(there)
    if others := len(every) - len(wanted):
        notes.append(f"Not asked for: {counted(others, 'other run')} of the study {study.name}.")
    return StudyPlan(runs, left_out, every, notes, jobs)


def seeds_of(study: Study, budget: BudgetName, seeds: int | None) -> int:
    """How many seeds: as given, else one of a quick budget and the study's own otherwise."""
    return seeds or (1 if budget == "quick" else study.seeds)


def as_begun(job: Job) -> Job:
    """The job; with the larger budget that its run was begun with before, where it was."""
    try:
        images, _ = job.begun
    except Refusal:  # the run itself will say what is wrong with its folder
        return job
    return replace(job, preset=replace(job.preset, images=max(images, job.preset.images)))


def _planned(jobs: Sequence[Job]) -> list[PlannedRun]:
    """What each of these runs takes."""
    lefts = [_left(job) for job in jobs]
    kinds = {_kind(job.preset): job for job, (left, _) in zip(jobs, lefts, strict=True) if left}
    costs: dict[Any, Cost] = {}
    if kinds:
        with Console().phase("Taking steps of each kind of run to see how fast it goes"):
            costs = {kind: _measure(job) for kind, job in kinds.items()}
    # What is trained takes nothing more, and is not tried.
    return [
        PlannedRun(job, left, costs[_kind(job.preset)] if left else Cost(0.0, 0.0, 0.0), note)
        for job, (left, note) in zip(jobs, lefts, strict=True)
    ]


def _left(job: Job) -> tuple[int, str]:
    """Images still to train on, and why they are fewer than all."""
    wanted = job.preset.images
    try:
        planned, seen = job.begun
    except Refusal:  # the run itself will say what is wrong with its folder
        return wanted, ""
    if seen >= wanted:
        return 0, "trained"
    if planned and planned < wanted and job.preset.bound_to_budget:
        return wanted, f"anew, for {job.preset.bound_to_budget}"
    return wanted - seen, f"from {seen:,}" if planned else ""


def _kind(preset: Preset) -> Any:
    """What runs have in common whose steps cost the same."""
    varied = ("images", "lr", "source", "target", "lam", "mean", "std")
    options = {name: value for name, value in preset.options().items() if name not in varied}
    return preset.networks, preset.method, tuple(options.items())


# --- a few steps ----------------------------------------------------------------------------------------------------


def _measure(job: Job) -> Cost:
    """By steps of two sizes in each phase, on one thread of a CPU."""
    preset, chosen, threads = job.preset, device.choose_device(), torch.get_num_threads()
    arithmetic = device.choose_arithmetic(preset.precision, chosen)
    device.prepare_process(1, chosen)
    try:
        made_up = _made_up(preset)
        trainer = assemble(preset, RunFolder(job.out), made_up, Settings(), arithmetic, World(), Console(False))
        kept = _Kept()
        with saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            _, images = _step(trainer, FIRST)
        starts = trainer.method.phases
        seconds = [(end - start) * _seconds_from(trainer, start) for start, end in pairwise((*starts, 1.0))]
    finally:
        torch.set_num_threads(threads)
    state = sum(tensor.nbytes for tensor in trainer.state().tensors.values())
    needed = kept.bytes / images * trainer.feed.batch + state + _bytes_of_data(preset)
    return Cost(sum(seconds), OF_A_PROCESS + needed / GIB, kept_bytes(trainer, Settings().keep) / GIB)


def _seconds_from(trainer: Trainer, start: float) -> float:
    """Seconds for an image, in the phase that begins at this share of the budget: what a step takes whatever its size,
    and what each image adds."""
    stand_at(trainer, start)
    few, n = _warm_step(trainer, FIRST)
    many, m = _warm_step(trainer, max(2 * FIRST, int(FIRST * SECONDS / few)))
    each = max(0.0, (many - few) / (m - n)) if m > n else 0.0
    return each + max(0.0, many - each * m) / trainer.feed.batch


def _warm_step(trainer: Trainer, images: int) -> tuple[float, int]:
    """As `_step`, the second of two: the first of a size also prepares kernels."""
    _step(trainer, images)
    return _step(trainer, images)


def _step(trainer: Trainer, images: int) -> tuple[float, int]:
    """Seconds of a step of about so many images, no more than a whole one, and how many they were."""
    whole = trainer.feed
    trainer.feed = whole.smaller(max(1, whole.batch // images))
    cpu = trainer.method.arithmetic.device.type == "cpu"
    clock = time.process_time if cpu else time.perf_counter  # of a busy machine, this process's own
    begun = clock()
    one_step(trainer)
    wait_for(trainer.method.arithmetic.device)
    seconds, taken = clock() - begun, trainer.feed.batch
    trainer.feed = whole
    return max(seconds, 1e-6), taken


class _Kept:
    """How much of a step is kept for its backward pass."""

    def __init__(self) -> None:
        self.bytes, self.seen = 0, set[int]()

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:  # views share one
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _made_up(preset: Preset) -> TrainingData:
    """Pictures such as the preset learns from, of noise."""
    batches = {"data": preset.step_images, "source": preset.step_images, "target": getattr(preset, "batch_target", 0)}
    pictures = max(PICTURES, *batches.values())
    generator = torch.Generator().manual_seed(0)
    shape = (pictures, nets.channels(preset), preset.size, preset.size)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    classes, names = tuple(map(str, range(10))), tuple(map(str, range(ATTRIBUTES)))
    attributes = torch.randint(0, 2, (pictures, ATTRIBUTES), generator=generator, dtype=torch.uint8)
    images = ImageSet("made up", pixels, torch.arange(pictures) % 10, classes, attributes, names)
    parts = {
        name: TrainingSet(images.sealed() if name == "target" else images, batch) for name, batch in batches.items()
    }
    learnt = {"classes": classes, "attributes": names, "nothing": ()}[preset.learns]
    return TrainingData(parts, None, learnt, (), {})


def _bytes_of_data(preset: Preset) -> int:
    """Of the sets that it reads, as whole as they were published."""
    sets = [data for name in sets_of(preset) if (data := lookup(name)) is not None]
    return sum(data.published_counts["train"] for data in sets) * nets.channels(preset) * preset.size**2
