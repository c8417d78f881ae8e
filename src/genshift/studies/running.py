"""Runs a study: trains what is missing, evaluates, reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from genshift.engine.evaluator import train_and_evaluate
from genshift.engine.experiment import Settings
from genshift.engine.files import write_json
from genshift.engine.findings import Asked
from genshift.errors import Refusal
from genshift.presets import Preset
from genshift.report.page import write_page
from genshift.studies import BudgetName, Study
from genshift.studies.workers import side_by_side


@dataclass(frozen=True)
class Job:
    """One run of a study. Only the first seed's latent space is drawn."""

    preset: Preset
    out: Path
    seed: int
    draw: bool
    data_root: Path | None
    threads: int | None
    command: str


def jobs_of(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int,
    data_root: Path | None,
    threads: int | None = None,
) -> list[Job]:
    """The study's runs, source-only first, so that the evaluator finds each adapted run's baseline."""
    presets = sorted(study.presets(), key=lambda preset: preset.role != "source")
    return [
        _job(_within(study, preset, budget), out, seed, data_root, threads)
        for seed in range(seeds)
        for preset in presets
    ]


def _within(study: Study, preset: Preset, budget: BudgetName) -> Preset:
    """The preset with the budget's images, marked as such."""
    images = study.images(preset, budget)
    if images == preset.images:
        return preset
    return replace(preset, images=images, origins={**preset.origins, "images": f"ours (the study's {budget} budget)"})


def _job(preset: Preset, out: Path, seed: int, data_root: Path | None, threads: int | None) -> Job:
    folder = f"{preset.name}-seed{seed}"
    words = f"train {preset.name} --images {preset.images} --seed {seed} --out {folder}"
    command = f"genshift {words}{f' --threads {threads}' if threads else ''}"
    return Job(preset, out / folder, seed, seed == 0, data_root, threads, command)


def run_study(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int | None = None,
    data_root: Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    record: Path | None = None,
) -> Path | None:
    """Trains what is missing, evaluates what is not yet, and writes OUT/page.html.

    jobs: runs at a time; where more than one, each in a process of its own. record: a folder that gets each run's
    config.json and results.json. Returns the page, or None where a signal stopped a run (all is saved; the same call
    continues). Raises Refusal where a run is refused or its process dies.
    """
    for name, number in {"jobs": jobs, "seeds": seeds, "threads": threads}.items():
        if number is not None and number < 1:
            raise Refusal(f"--{name} must be 1 or more, not {number}.")
    todo = jobs_of(study, budget, out, seeds or study.seeds, data_root, threads)
    if not _run_all(todo, jobs):
        return None
    page = write_page([job.out for job in todo], out / "page.html")
    if record is not None:
        _record(todo, record)
    return page


def _run_all(todo: list[Job], jobs: int) -> bool:
    if jobs == 1:
        return all(run_job(job) for job in todo)
    # Baselines first: an adapted run's evaluation looks for its source-only run.
    groups = [[job for job in todo if (job.preset.role == "source") is first] for first in (True, False)]
    return all(side_by_side(group, run_job, jobs, lambda job: str(job.out)) for group in groups)


def run_job(job: Job) -> bool:
    """Trains (or continues) and evaluates one run; False where a signal stopped it."""
    settings = Settings(seed=job.seed, threads=job.threads, data_root=job.data_root, command=job.command)
    return train_and_evaluate(job.preset, job.out, settings, Asked(job.data_root, job.draw))


def _record(todo: list[Job], record: Path) -> None:
    """Keeps what docs/results.md is written from."""
    for job in todo:
        for name in ("config.json", "results.json"):
            write_json(record / job.out.name / name, json.loads((job.out / name).read_text(encoding="utf-8")))
