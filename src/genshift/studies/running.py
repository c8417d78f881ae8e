"""Runs a study: says its plan, trains what is missing, evaluates, and writes the page after every run."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from genshift.device import leads_processes
from genshift.errors import Refusal, of_exhaustion, of_os_error, unknown
from genshift.evaluation.evaluate import after_training, with_observers
from genshift.evaluation.options import EvaluationOptions
from genshift.paths import output_folder
from genshift.presets import Preset
from genshift.report.page import write_page
from genshift.report.record import check_places
from genshift.report.record import record as write_record
from genshift.runs import checkpoint
from genshift.runs.checkpoint import CLEANED
from genshift.runs.find import SET_ASIDE
from genshift.runs.folder import RunFolder
from genshift.runs.forms import CONFIG, EVALUATION, RESULTS
from genshift.runs.owner import trained_by
from genshift.selection.information_trial import decided, tidied
from genshift.studies import BudgetName, Study
from genshift.studies.cluster import Nodes, connected
from genshift.studies.commands import end_with_parent, run_as_command
from genshift.studies.jobs import Job, in_turns, jobs_of
from genshift.studies.needs import missing_sets
from genshift.studies.plan import StudyPlan, as_begun, left_out_lines, plan_study, seeds_of
from genshift.studies.workers import side_by_side
from genshift.training.console import Console
from genshift.training.train import Settings, check_same, owning, train

__all__ = ["Job", "jobs_of", "run_study"]


@dataclass(frozen=True)
class Outcome:
    """What came of a study: its page (None before any run is finished), whether no signal stopped it, and the names of
    the runs that were left out, by the reason."""

    page: Path | None
    finished: bool
    left_out: Mapping[str, Sequence[str]]


def run_study(
    study: Study,
    budget: BudgetName,
    out: Path,
    seeds: int | None = None,
    data_root: Path | None = None,
    jobs: int = 1,
    record: Path | None = None,
    cluster: str | None = None,
    gpus: float | None = None,
    **options: Any,
) -> Outcome:
    """Says the plan, trains what is missing, evaluates what is not yet, and writes OUT/page.html after every run.

    What cannot be trained is left out, and the page says why; the same call tries it again, and continues what a signal
    stopped (all is saved). jobs: runs at a time; where more than one, each in a process of its own. cluster,
    gpus: a Ray cluster whose nodes run them instead, as `cluster.connected` takes both. record: a folder that gets what
    the page shows of each run. options: as `plan.plan_study` takes them. Raises Refusal for wrong input, before any
    run.
    """
    out = output_folder(out)
    with _nodes(cluster, gpus, jobs) as nodes:
        if nodes is not None:  # the same on all of them, whatever cores they have
            options["threads"] = options.get("threads") or 1
        plan = plan_study(study, budget, out, seeds, data_root, jobs, build=True, **options)
        if record is not None:
            record = output_folder(record)
            check_places(record, [job.out.name for job in plan.every])
        for line in plan.lines:
            Console().say(line)
        progress = _Progress(plan, out)
        finished = _run_all(plan, nodes, progress)
    page = progress.write_page()
    if finished and record is not None:
        write_record([job.out for job in plan.every if is_done(job)], record)
    return Outcome(page, finished, progress.left_out)


def _nodes(cluster: str | None, gpus: float | None, jobs: int) -> AbstractContextManager[Nodes | None]:
    """The nodes of a cluster, where one is named."""
    if gpus is not None and (cluster is None or not 0 <= gpus < math.inf):
        raise Refusal(f"--gpus {gpus:g}: expected 0 or more, for a process on a cluster, with --cluster ADDRESS.")
    if cluster is None:
        return nullcontext()
    if jobs != 1:
        raise Refusal("--jobs is of this machine, and a cluster runs what its nodes hold: give one of both.")
    return connected(cluster, gpus)


def _run_all(plan: StudyPlan, nodes: Nodes | None, progress: _Progress) -> bool:
    """Makes the runs: one after the other here, or several at a time, within each turn; False where it was stopped."""
    todo = [run.job for run in plan.runs]
    alone = all(job.processes == 1 for job in todo)
    if nodes is None and plan.jobs == 1 and alone:
        return all(_attempt(job, progress) for job in todo)
    if nodes is None:
        work = run_job if alone else run_as_command
        run: Callable[[Sequence[Job]], bool] = partial(
            side_by_side, work=work, most=plan.jobs, name=lambda job: str(job.out), ended=progress.ended
        )
    else:
        gib = {run.job.out: run.cost.memory_gib for run in plan.runs}
        run = partial(nodes.run, memory_gib=lambda job: gib[job.out], ended=progress.ended)
    return all(run(turn) for turn in in_turns(todo))


class _Progress:
    """What of the plan is done, and the page that shows it."""

    def __init__(self, plan: StudyPlan, out: Path) -> None:
        self.plan, self.page = plan, out / "page.html"
        self.left_out = {reason: list(names) for reason, names in plan.left_out.items()}

    def ended(self, job: Job, refusal: Refusal | None) -> None:
        """Notes the end of a run, and shows it."""
        if refusal is not None:
            Console().say(f"warning: {job.out.name} is left out: {refusal}")
            self.left_out.setdefault(str(refusal), []).append(job.out.name)
        try:
            self.write_page()
        except Refusal as unwritten:  # the disk is full, say: the next end tries again, and the last one refuses
            Console().say(f"warning: {unwritten}")

    def write_page(self) -> Path | None:
        """The page of all runs that are done; None where none is."""
        done = [job.out for job in self.plan.every if is_done(job)]
        return write_page(done, self.page, missing=self._missing(done)) if done else None

    def _missing(self, done: Sequence[Path]) -> list[str]:
        """What the page does not show, and why."""
        left_out = [name for names in self.left_out.values() for name in names]
        to_come = [run.job.out.name for run in self.plan.runs if run.job.out not in done]
        to_come = [name for name in to_come if name not in left_out]
        coming = [f"Still to come: {', '.join(to_come)}."] if to_come else []
        return [*left_out_lines(self.left_out), *coming, *self.plan.notes]


def is_done(job: Job) -> bool:
    """Whether a run is trained to its budget and evaluated."""
    run = RunFolder(job.out)
    try:
        if not all((job.out / name).exists() for name in (CONFIG, RESULTS, EVALUATION)):
            return False
        return job.begun[0] >= job.preset.images and run.seen >= run.config["images"]
    except Refusal:  # of a folder that cannot be read, which the run itself was told
        return False


# --- one run --------------------------------------------------------------------------------------------------------


def _attempt(job: Job, progress: _Progress) -> bool:
    """Runs a job in this process; False where a signal stopped it. One that is refused is left out."""
    try:
        finished = run_job(job)
    except Refusal as refusal:
        progress.ended(job, refusal)
        return True
    if finished:
        progress.ended(job, None)
    return finished


def run_one(
    study: Study,
    budget: BudgetName,
    out: Path,
    name: str,
    seeds: int | None = None,
    data_root: Path | None = None,
    photos: Path | None = None,
    **options: Any,
) -> bool:
    """Makes the run of a study whose folder has that name, without plan and page; False where a signal stopped it.

    Waits for the end of another that trains it: a node that died is believed to live for `runs.owner.SILENT` seconds.
    options: `threads`, `weights` and `processes` as `plan.plan_study` takes them. Raises Refusal.
    """
    end_with_parent()
    jobs = jobs_of(study, budget, out, seeds_of(study, budget, seeds), data_root, photos=photos, **options)
    named = {job.out.name: job for job in jobs}
    if name not in named:
        raise unknown("run of this study", name, named)
    missing = missing_sets([named[name]], data_root, photos, Console().say, build=True) if leads_processes() else {}
    for reason in missing.values():
        raise Refusal(reason)
    return run_job(as_begun(named[name]), wait=True)


def run_job(job: Job, wait: bool = False) -> bool:
    """Trains (or continues) and evaluates one run; False where a signal stopped it. wait: for the end of another that
    trains it. Refusal also where disk or memory run out."""
    try:
        return _train_and_evaluate(job, wait)
    except OSError as error:
        raise of_os_error(error, f"using {error.filename or job.out}") from error
    except (MemoryError, RuntimeError, ImportError) as error:
        ended = of_exhaustion(error, f"working in {job.out}")
        if isinstance(ended, Refusal):
            raise ended from error
        raise


def _train_and_evaluate(job: Job, wait: bool) -> bool:
    settings = Settings(job.seed, None, "auto", job.threads, job.evaluation.data_root)
    settings = replace(settings, command=job.command, checks=job.checks)
    run = RunFolder(job.out)
    if leads_processes():
        _set_aside(run, job.preset, settings)
    with owning(run, wait):
        if (settled := decided(job.preset, run, settings)) is None:
            return False
        preset, settings = settled
        finished = train(preset, job.out, with_observers(run, preset, settings))
        tidied(run)
        if finished and leads_processes():
            after_training(run, preset, settings, _with_judge(job.evaluation))
    return finished


def _set_aside(run: RunFolder, preset: Preset, settings: Settings) -> None:
    """Moves a run of a smaller budget that cannot go on to this one below `SET_ASIDE`, beside it; nothing is lost."""
    if not run.exists():
        return
    images = run.whole_config["preset"]["fields"]["images"]
    if images >= preset.images:
        return
    check_same(run, replace(preset, images=images), settings)
    cleaned = any(checkpoint.about(path).get(CLEANED) for path in run.saved()[-1:])
    why = preset.bound_to_budget or ("it was cleaned" if cleaned else "")
    if not why or trained_by(run) is not None:  # the latter is refused as any second training is
        return
    folder = run.path.parent / SET_ASIDE
    names = (run.path.name + (f"-{number}" if number else "") for number in itertools.count())
    place = next(folder / name for name in names if not (folder / name).exists())
    folder.mkdir(exist_ok=True)
    os.rename(run.path, place)
    Console().say(f"{run.path} had {images:,} images, and {why}: it lies in {place} now, and is trained anew.")


def _with_judge(evaluation: EvaluationOptions) -> EvaluationOptions:
    """The same without the judge's features, where that run was left out."""
    if evaluation.features is None:
        return evaluation
    judge = RunFolder(evaluation.features)
    try:
        if judge.exists() and judge.saved() and judge.seen >= judge.config["images"]:
            return evaluation
    except Refusal:  # broken: it was left out, with the reason
        pass
    Console().say(f"note: {judge.path} is not trained: measured without the distances in its features.")
    return replace(evaluation, features=None)
