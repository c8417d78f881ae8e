"""Runs a study: trains what is missing, evaluates, reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from genshift.errors import Refusal
from genshift.evaluation.evaluate import after_training, with_observers
from genshift.evaluation.feature_distance import check_weights
from genshift.evaluation.options import EvaluationOptions
from genshift.paths import output_folder
from genshift.presets import Preset
from genshift.presets.base import flag
from genshift.report.page import write_page
from genshift.report.record import check_places
from genshift.report.record import record as write_record
from genshift.runs.folder import RunFolder
from genshift.studies import JUDGES, BudgetName, Study, judge_of, varied_options
from genshift.studies.workers import side_by_side
from genshift.training.train import Settings, owning, train


@dataclass(frozen=True)
class Job:
    """One run of a study, and what its evaluation is asked for."""

    preset: Preset
    out: Path
    seed: int
    evaluation: EvaluationOptions
    threads: int | None
    command: str


def jobs_of(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int,
    data_root: Path | None,
    threads: int | None = None,
    weights: Path | None = None,
) -> list[Job]:
    """The study's runs in the order of `_turn`: a run's evaluation may look at those of earlier turns."""
    own_seeds = {judge.name: judge.seed for judge in JUDGES.values()}  # a judge has one, whatever the study's
    jobs = []
    for seed in range(seeds):
        for preset in sorted(study.presets(), key=_turn):
            if seed and preset.name in own_seeds:  # one measures them all
                continue
            images = study.images(preset, budget)
            if images != preset.images:
                origins = {**preset.origins, "images": f"ours (the study's {budget} budget)"}
                preset = replace(preset, images=images, origins=origins)
            jobs.append(_job(preset, out, own_seeds.get(preset.name, seed), data_root, threads, weights))
    return jobs


def _turn(preset: Preset) -> int:
    """Classifiers before the generators that are measured in their features, baselines before what adapts."""
    return 0 if preset.measures_others else 1 if preset.method == "source" else 2


def _job(
    preset: Preset, out: Path, seed: int, data_root: Path | None, threads: int | None, weights: Path | None
) -> Job:
    """A run of the study, with the command that makes the same run again."""
    varied = varied_options(preset)
    folder = "-".join([preset.name, *(f"{name}-{value}" for name, value in varied.items()), f"seed{seed}"])
    given = {**{flag(name): value for name, value in varied.items()}, "--images": preset.images, "--seed": seed}
    words = " ".join(f"{name} {value}" for name, value in given.items())
    command = f"genshift train {preset.name} {words} --out {folder}{f' --threads {threads}' if threads else ''}"
    judge = judge_of(preset)
    features = out / f"{judge.name}-seed{judge.seed}" if judge else None
    # A latent space of two domains is drawn for the first seed alone; a generator's pictures are its result.
    draw = seed == 0 or preset.draws
    evaluation = EvaluationOptions(data_root, draw, features, weights if preset.draws else None)
    return Job(preset, out / folder, seed, evaluation, threads, command)


def run_study(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int | None = None,
    data_root: Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    record: Path | None = None,
    weights: Path | None = None,
) -> Path | None:
    """Trains what is missing, evaluates what is not yet, and writes OUT/page.html.

    jobs: runs at a time; where more than one, each in a process of its own. record: a folder that gets what
    the page shows of each run. weights: Inception's, for FID and its kin. Returns the page, or None where a signal
    stopped a run (all is saved; the same call continues). Raises Refusal where a run is refused or its process dies.
    """
    for name, number in {"jobs": jobs, "seeds": seeds, "threads": threads}.items():
        if number is not None and number < 1:
            raise Refusal(f"--{name} must be 1 or more, not {number}.")
    if weights is not None and not any(preset.draws for preset in study.presets()):
        raise Refusal(f"--weights measures generated pictures, and the study {study.name} draws none: leave it out.")
    check_weights(weights)
    out = output_folder(out)
    if record is not None:
        record = output_folder(record)
    todo = jobs_of(study, budget, out, seeds or study.seeds, data_root, threads, weights)
    if record is not None:
        check_places(record, [job.out.name for job in todo])
    # One run after the other; or several at a time, within each turn.
    if jobs == 1:
        finished = all(run_job(job) for job in todo)
    else:
        turns = [[job for job in todo if _turn(job.preset) == turn] for turn in range(3)]
        finished = all(side_by_side(group, run_job, jobs, lambda job: str(job.out)) for group in turns)
    if not finished:
        return None
    page = write_page([job.out for job in todo], out / "page.html")
    if record is not None:
        write_record([job.out for job in todo], record)
    return page


def run_job(job: Job) -> bool:
    """Trains (or continues) and evaluates one run; False where a signal stopped it."""
    settings = Settings(seed=job.seed, threads=job.threads, data_root=job.evaluation.data_root, command=job.command)
    run = RunFolder(job.out)
    with owning(run):
        finished = train(job.preset, job.out, with_observers(run, job.preset, settings))
        if finished:
            after_training(run, job.preset, settings, job.evaluation)
    return finished
