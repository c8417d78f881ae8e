"""From a study to its runs, in their order, and which of them are wanted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from genshift.errors import unknown
from genshift.evaluation.options import EvaluationOptions
from genshift.paths import given_path
from genshift.plugins import loaded_files
from genshift.presets import METHODS, Preset
from genshift.presets.base import YOURS, flag
from genshift.runs.folder import RunFolder
from genshift.studies import JUDGES, BudgetName, Study, judge_of, varied_options

QUICK_CHECKS, QUICK_PICTURES = 4, 100  # of a run; of a series that is measured, and of a domain's t-SNE


@dataclass(frozen=True)
class Job:
    """One run of a study, and what its evaluation is asked for. `checks` as in `training.train.Settings`.

    command: `genshift train` that makes the same run; study_words: what follows `genshift` to train and evaluate it as
    the study does, from any folder; processes: that share its batch.
    """

    preset: Preset
    out: Path
    seed: int
    evaluation: EvaluationOptions
    threads: int | None
    command: str
    checks: int | None = None
    processes: int = 1
    study_words: tuple[str, ...] = ()

    @property
    def words(self) -> set[str]:
        """What a user may call it by: its preset, method, family or task, or its own folder."""
        task = self.preset.task
        own = {self.preset.name, self.out.name}
        return {*own, self.preset.method, self.preset.family, task, task.replace("→", "-")}

    @property
    def begun(self) -> tuple[int, int]:
        """The images that its folder holds the training of, and how many of them are seen; (0, 0) for an empty one."""
        run = RunFolder(self.out)
        if not run.exists():
            return 0, 0
        return int(run.whole_config["preset"]["fields"]["images"]), run.seen


def jobs_of(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int,
    data_root: Path | None,
    threads: int | None = None,
    weights: Path | None = None,
    processes: int | None = None,
    photos: Path | None = None,
) -> list[Job]:
    """The study's runs in the order of `turn`: a run's evaluation may look at those of earlier turns.

    processes: those of each run, where not the study's own number.
    """
    many = {"--threads": threads, "--processes": processes, "--weights": weights, "--photos": photos}
    words = _study_words(study, budget, out, {"--seeds": seeds, **many, "--data-root": data_root})
    own_seeds = {judge.name: judge.seed for judge in JUDGES.values()}  # a judge has one, whatever the study's
    jobs = []
    for seed in range(seeds):
        for preset in sorted(study.presets(), key=turn):
            if seed and (preset.name in own_seeds or preset.name in study.once):  # one judge measures them all
                continue
            images = study.images(preset, budget)
            if images != preset.images:
                origins = {**preset.origins, "images": f"ours (the study's {budget} budget)"}
                preset = replace(preset, images=images, origins=origins)
            job = _job(preset, out, own_seeds.get(preset.name, seed), data_root, threads, weights)
            if budget == "quick":
                evaluation = replace(job.evaluation, most=QUICK_PICTURES)
                job = replace(job, evaluation=evaluation, checks=QUICK_CHECKS)
            own_words = (*words, "--one", job.out.name)
            jobs.append(replace(job, processes=processes or study.processes, study_words=own_words))
    return jobs


def _study_words(study: Study, budget: BudgetName, out: Path, given: Mapping[str, Path | int | None]) -> list[str]:
    """The command of the study, as it can be given in any folder, but for the run. Where its data are looked for stands
    in it: on another machine the environment may be another."""
    data = os.environ.get("GENSHIFT_DATA")
    if data and given["--data-root"] is None:
        given = {**given, "--data-root": given_path(data)}
    words = ["study", study.argument, "--budget", budget, "--out", str(out.absolute())]
    for name, value in given.items():
        if value is not None:
            words += [name, str(value.absolute() if isinstance(value, Path) else value)]
    return words + [word for file in loaded_files() for word in ("--plugin", str(given_path(file).absolute()))]


def selected(jobs: Sequence[Job], only: Sequence[str], without: Sequence[str]) -> list[Job]:
    """Those that `only` names (all where it is empty), with the judges of those that draw; none that `without` names.

    A word is what `Job.words` are, or a pattern such as hw2-gan-*. Refusal with the nearest for one that names none.
    """
    for word in (*only, *without):
        if not any(_named(job, word) for job in jobs):
            valid = sorted(set().union(*(job.words for job in jobs)))
            raise unknown("run or section of this study", word, valid)
    left = [job for job in jobs if not any(_named(job, word) for word in without)]
    wanted = [job for job in left if not only or any(_named(job, word) for word in only)]
    judges = {job.evaluation.features for job in wanted}
    return [job for job in left if job in wanted or job.out in judges]


def in_turns(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs of each turn: those of one may run side by side, and look at those of the turns before."""
    turns = [[job for job in jobs if turn(job.preset) == number] for number in range(3)]
    return [jobs for jobs in turns if jobs]


def _named(job: Job, word: str) -> bool:
    return any(fnmatchcase(name, word) for name in job.words)


def turn(preset: Preset) -> int:
    """Classifiers before the generators that are measured in their features, baselines before what adapts."""
    return 0 if preset.measures_others else 1 if preset.method == "source" else 2


def _job(
    preset: Preset, out: Path, seed: int, data_root: Path | None, threads: int | None, weights: Path | None
) -> Job:
    """A run of the study, with the command that makes the same run again."""
    varied = varied_options(preset)
    # A method's preset of folders bears the method's name: of which folders, its run's has to say.
    task = [preset.task.replace("→", "-")] if preset.name in METHODS else []
    folder = "-".join([preset.name, *task, *(f"{name}-{value}" for name, value in varied.items()), f"seed{seed}"])
    own = {name: value for name, value in preset.options().items() if preset.origins.get(name) == YOURS}
    own |= {name: getattr(preset, name) for name in ("source", "target") if task} | varied
    given = {**{flag(name): value for name, value in own.items()}, "--images": preset.images, "--seed": seed}
    words = " ".join(f"{name} {shlex.quote(str(value))}" for name, value in given.items())
    command = f"genshift train {preset.name} {words} --out {folder}{f' --threads {threads}' if threads else ''}"
    judge = judge_of(preset)
    features = out / f"{judge.name}-seed{judge.seed}" if judge else None
    # A latent space of two domains is drawn for the first seed alone; a generator's pictures are its result.
    draw = seed == 0 or preset.draws
    evaluation = EvaluationOptions(data_root, draw, features, weights if preset.draws else None)
    return Job(preset, out / folder, seed, evaluation, threads, command)
