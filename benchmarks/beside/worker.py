"""One measurement in a process of its own: `python -m beside.worker JSON` prints what it found as its last line.

The JSON names task, arm and measurement, `count` and `steps`, threads, and when the process was started.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_LOADED = time.time()
WARM_UP = 2  # steps that are not timed: allocators, caches, the first choice of kernels


def main() -> None:
    """Measures, prints one line of JSON."""
    asked = json.loads(sys.argv[1])
    began = time.perf_counter()
    shared = _import_shared(asked["arm"])
    # Threads first: whatever an arm does at its start is then bound to them. Only genshift's own processes keep freed
    # memory, since that is what its commands do.
    import torch

    from beside.tasks import TASKS
    from genshift import device

    torch.set_num_threads(asked["threads"])
    if asked["arm"] == "genshift":
        device.prepare_process(asked["threads"], torch.device("cpu"))
    torch.manual_seed(0)
    found = MEASUREMENTS[asked["measurement"]](TASKS[asked["task"]], asked)
    if "first_step_at" in found:
        found["start_seconds"] = found.pop("first_step_at") - asked["started"] - shared
    found |= {"peak_mib": peak_mib(), "wall_seconds": time.perf_counter() - began, "torch": torch.__version__}
    print(json.dumps(found))


def _import_shared(arm: str) -> float:
    """Seconds that a peer's process spends on importing genshift, whose networks it is given; 0 of genshift's own."""
    import torch  # noqa: F401

    began = time.perf_counter()
    import genshift.runs.trained_run  # noqa: F401

    return 0.0 if arm == "genshift" else time.perf_counter() - began


def peak_mib() -> float:
    """The most memory that this process held, and any one of its children (loaders' workers), in MiB."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB on Linux


# --- what can be measured ---------------------------------------------------------------------------------------------


def _arm(task: Any, asked: Mapping[str, Any], folder: Path | None = None) -> Any:
    from beside.families import arms_of

    return arms_of(task.family)[asked["arm"]](task, folder, asked["count"])


def train(task: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Images a second with ready batches, the start until the first step is done, and parameters."""
    arm = _arm(task, asked)
    arm.run(1)
    first = time.time()
    arm.run(WARM_UP)
    seconds = _seconds(lambda: arm.run(asked["steps"]))
    speed = asked["steps"] * arm.batch / seconds
    return {"images_per_second": speed, "first_step_at": first, "parameters": arm.parameters()}


def epoch(task: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of a first epoch from picture files, what reads them once included, and of a second one."""
    from beside.tasks import batch_of, write_pictures

    folder = Path(asked["pictures"])
    for name in batch_of(task):
        write_pictures(task, name, asked["count"], folder)
    began = time.perf_counter()
    arm = _arm(task, asked, folder)
    arm.run(arm.steps_an_epoch)
    first = time.perf_counter() - began
    return {
        "first_epoch_seconds": first,
        "epoch_seconds": _seconds(lambda: arm.run(arm.steps_an_epoch)),
        "images": arm.steps_an_epoch * arm.batch,
    }


def draw(task: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds a picture at `passes` network passes each, after one drawing that warms up."""
    arm = _arm(task, asked)
    count, passes = asked["drawn"], asked["passes"]
    arm.draw(count, min(2, passes) if task.family == "diffusion" else passes)
    return {"seconds_a_picture": _seconds(lambda: arm.draw(count, passes)) / count, "pictures": count}


def evaluate(task: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of a measure of given features, and its value."""
    from beside.measures import MEASURES, kept, sides

    measure = MEASURES[task.name][asked["arm"]]
    real, fake = sides(task.name, asked["count"])
    small = sides(task.name, 100)
    measure(*small)  # imports
    began = time.perf_counter()
    values = measure(real, fake)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "values": kept(values, real), "n": len(real)}


def check(task: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, and the loss of the first batch in float32, as the arm's own code computes it and as PyTorch does."""
    from beside.arms import Genshift, of_float32
    from beside.families import arms_of

    kind = arms_of(task.family)[asked["arm"]]
    if issubclass(kind, Genshift):
        kind = of_float32(kind)
    arm = kind(task, None, asked["count"])
    parameters, loss = arm.parameters(), arm.first_loss()
    told = {} if loss is None else {"own_loss": loss.own, "expected_loss": loss.expected}
    return {"parameters": parameters, **told}


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


MEASUREMENTS: dict[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]] = {
    "train": train,
    "epoch": epoch,
    "draw": draw,
    "evaluate": evaluate,
    "check": check,
}

if __name__ == "__main__":
    main()
