"""The runs of a study as tasks of a Ray cluster, on whatever nodes there are; they share the file system of its folder.

A task is a command line of plain strings (`commands.call`): nothing of a run is pickled or unpickled. One whose node
dies is started again on another, where the command continues the run from its last checkpoint. Ray's usage statistics
and dashboard belong to the cluster: `ray start --disable-usage-stats --include-dashboard=false` has neither.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from genshift.errors import Refusal
from genshift.studies.commands import call, is_done_after, python_words
from genshift.studies.jobs import Job
from genshift.studies.workers import Ended, calling_on_stop
from genshift.training.console import Console

ATTEMPTS = 100  # of a run, each after the death of a node; each goes on where the one before it saved
LOOK = 1.0  # seconds between two looks at what ended, and at signals
HELD_UP = 60  # looks after which a run that no living node can hold is a line
GIB = 2**30


@dataclass(frozen=True)
class Needs:
    """What a run takes of a node. memory_gib: as its plan says."""

    cores: int
    gpus: float
    memory_gib: float

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.cores} cores{gpus} and {self.memory_gib:.1f} GiB of memory"

    def fit(self, resources: dict[str, float]) -> bool:
        """Whether a node with these resources, as Ray counts them, holds it while it holds nothing else."""
        asked = {"CPU": self.cores, "GPU": self.gpus, "memory": self.memory_gib * GIB}
        return all(resources.get(name, 0) >= number for name, number in asked.items())


@contextmanager
def connected(address: str, gpus: float | None = None) -> Iterator[Nodes]:
    """The nodes of the cluster at `address` (HOST:PORT of its head, `ray://HOST:PORT` of its client server from outside
    it, or `auto`), for as long as it is open; what still runs there when it closes saves and ends.

    gpus: of each process of a run; None: one where a node has any. Raises Refusal where Ray is absent, or no cluster
    that this Ray and Python can talk to.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
    try:
        import ray
    except ImportError:
        raise Refusal("--cluster needs Ray: `pip install 'genshift[cluster]'` installs it.") from None
    try:
        with Console().phase(f"Connecting to the cluster at {address}"):
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        why = " ".join(str(error).split())[:200].rstrip(".")  # Ray tells of it in paragraphs
        raise Refusal(
            f"No cluster answers at --cluster {address} ({why}): `ray start --head --port PORT` starts one; Ray and "
            "Python must be of the same version there and here."
        ) from error
    try:
        nodes = Nodes(ray, gpus)
        Console().say(f"The cluster at {address}: {nodes}.")
        yield nodes
    finally:
        ray.shutdown()


class Nodes:
    """The nodes of a cluster, to run jobs on."""

    def __init__(self, ray: Any, gpus: float | None) -> None:
        self.ray = ray
        has_any = any(node.get("GPU") for node in self.alive())
        self.gpus = gpus if gpus is not None else float(has_any)

    def alive(self) -> list[dict[str, float]]:
        """The resources of each node that lives."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def __str__(self) -> str:
        nodes = self.alive()
        cores, gpus = (int(sum(node.get(name, 0) for node in nodes)) for name in ("CPU", "GPU"))
        return f"{len(nodes)} nodes with {cores} cores{f' and {gpus} GPUs' if gpus else ''}"

    def run(self, jobs: Sequence[Job], memory_gib: Callable[[Job], float], ended: Ended) -> bool:
        """Makes these runs, as many at a time as the nodes hold; as `workers.side_by_side`, which does so here."""
        tasks: dict[Any, tuple[Job, Needs]] = {}
        nodes = self.alive()
        for job in jobs:
            needs = self._needs(job, memory_gib(job))
            if any(needs.fit(node) for node in nodes):
                tasks[self._begin(job, needs)] = job, needs
            else:
                ended(job, Refusal(f"No node of the cluster has {needs}: start one, or ask for less."))
        with calling_on_stop(lambda: None) as stopped:
            cancelled, looks = False, 0
            while tasks:
                for task in self.ray.wait(list(tasks), timeout=LOOK)[0]:
                    job, needs = tasks.pop(task)
                    if self._is_over(task, job, ended) or stopped:
                        Console().say(f"{job.out.name} has ended; {len(tasks)} more of {len(jobs)} run or wait.")
                    else:  # its node was asked to stop, and not the study
                        tasks[self._begin(job, needs)] = job, needs
                if stopped and not cancelled:
                    cancelled = True
                    for task in tasks:
                        self.ray.cancel(task)
                looks += 1
                if looks % HELD_UP == 0:
                    self._say_what_waits(tasks.values())
        return not stopped

    def _needs(self, job: Job, memory_gib: float) -> Needs:
        many = job.processes
        return Needs(many * (job.threads or 1), many * self.gpus, many * memory_gib)

    def _begin(self, job: Job, needs: Needs) -> Any:
        task = self.ray.remote(call).options(
            name=job.out.name, num_cpus=needs.cores, num_gpus=needs.gpus, memory=int(needs.memory_gib * GIB),
            max_retries=ATTEMPTS, scheduling_strategy="SPREAD",
        )  # fmt: skip
        return task.remote(python_words(job))

    def _is_over(self, task: Any, job: Job, ended: Ended) -> bool:
        """Tells how a run ended; False where it was stopped, and can go on."""
        errors = self.ray.exceptions
        try:
            if not is_done_after(job, self.ray.get(task)):
                return False
        except errors.TaskCancelledError:
            return False
        except Refusal as refusal:
            ended(job, refusal)
        except errors.RayError as error:
            ended(job, Refusal(f"The cluster could not run {job.out}: {_cause(error)}."))
        else:
            ended(job, None)
        return True

    def _say_what_waits(self, tasks: Any) -> None:
        nodes = self.alive()
        for job, needs in tasks:
            if not any(needs.fit(node) for node in nodes):
                Console().say(f"note: {job.out.name} waits for a node with {needs}.")


def _cause(error: Exception) -> str:
    """The last line of what Ray says of a task, which is its cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
