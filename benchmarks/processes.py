"""What sharing a batch among processes costs: measured here for one and two, calculated for 8 and 64 GPUs.

    python benchmarks/processes.py --preset faces-vae --data FACES --out /tmp/processes

Measured: seconds of a step with the whole batch in one process, and with half of it in each of two (gloo, one thread a
process, on the cores of this machine), in alternating rounds, medians. Calculated, and marked so: a step of P
processes takes s(B / P) + 2 (P − 1) / P · g / b, the share of the batch and a ring all-reduce (Patarasuk and Yuan 2009)
of g bytes of gradients over links of b bytes a second, none of it hidden behind the backward pass. s(B / P) is the step
measured in one process, fixed part and part by image told apart by two batches; b is what `--link` says, in GB/s. It
knows nothing of a GPU's own speed: `--gpu-speedup` divides the step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUNDS = 3
CALCULATED = (8, 64)


def seconds_a_step(options: argparse.Namespace, processes: int, batch: int, name: str) -> float:
    """Of the later three quarters of a training, by its metrics."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    out = options.out / f"{name}-{os.getpid()}"
    words = ["--images", str(options.steps * batch), "--batch", str(batch), "--threads", "1", "--no-evaluate"]
    argv = [sys.executable, *launch, "-m", "genshift", "train", options.preset, *options.train, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*argv, "--data", str(options.data), "--out", str(out)], env=environment, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timed = [row for row in rows if "seconds" in row]
    first, last = timed[len(timed) // 4], timed[-1]
    return (last["seconds"] - first["seconds"]) * batch / (last["images"] - first["images"])


def gradient_bytes(options: argparse.Namespace) -> int:
    """Four bytes of each trained parameter, by config.json of a run that was just measured."""
    config = json.loads(next(options.out.glob(f"*-{os.getpid()}/config.json")).read_text())
    return 4 * sum(config["parameters"].values())


def calculated(
    step: dict[int, float], batch: int, gradients: int, processes: int, options: argparse.Namespace
) -> float:
    """Seconds of a step of so many GPUs."""
    small, large = sorted(step)
    by_image = (step[large] - step[small]) / (large - small)
    fixed = max(0.0, step[large] - by_image * large)
    reduced = 2 * (processes - 1) / processes * gradients / (options.link * 1e9)
    return (fixed + by_image * batch / processes) / options.gpu_speedup + reduced


def main() -> int:
    """A line for each number of processes, and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="faces-vae")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="pictures that it learns from")
    parser.add_argument("--batch", type=int, default=64, help="of all processes together (64)")
    parser.add_argument("--steps", type=int, default=60, help="of each training (60)")
    parser.add_argument("--link", type=float, default=50.0, help="GB/s between two GPUs, for the calculation (50)")
    parser.add_argument("--gpu-speedup", type=float, default=1.0, help="of a GPU over this core (1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("train", nargs="*", help="after --: more words for `genshift train`")
    options = parser.parse_args()
    whole, half = options.batch, options.batch // 2
    rounds: list[dict[str, float]] = []
    for number in range(ROUNDS):
        cases = {"one": (1, whole), "two": (2, whole), "half": (1, half)}
        rounds.append({name: seconds_a_step(options, *case, f"{name}{number}") for name, case in cases.items()})
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    gradients = gradient_bytes(options)
    found: dict[str, Any] = {
        "measured": {"1": median["one"], "2": median["two"], "speedup of 2": median["one"] / median["two"]},
        "gradient_bytes": gradients,
    }
    print(f"measured    1 process: {median['one']:.4f} s a step of {whole}; 2: {median['two']:.4f} s")
    step = {half: median["half"], whole: median["one"]}
    for many in CALCULATED:
        batch = options.batch * many  # a batch for each GPU, as it is used
        seconds = calculated(step, batch, gradients, many, options)
        found[f"calculated, {many} GPUs"] = {"seconds": seconds, "images_per_second": batch / seconds}
        print(
            f"calculated {many:>2} GPUs: {seconds:.4f} s a step of {batch:,}, {batch / seconds:,.0f} images/s "
            "(no measurement)"
        )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
