"""Kills a training with SIGKILL at random moments, continues it each time, and compares its end bit for bit.

    python benchmarks/kill.py --times 20 --processes 2 --preset demo-dann --images 3200 --out /tmp/kill

One run is left alone. The other is killed `--times` times, every process of it at once: four times in five when it has
passed a random count of images (and then a random part of a check's time later, so that kills fall into steps, checks
and writes alike), every fifth time at a random moment of its start. The last line printed is JSON.
Words after `--` go to `genshift train`. Linux only: it finds the processes of torchrun in /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

CHECKS = 20  # of a run, as the engine has them


class Training:
    """One start of `genshift train` into a run folder, with all of its processes."""

    def __init__(self, options: argparse.Namespace, out: Path) -> None:
        self.metrics = out / "metrics.jsonl"
        self.before = self._inode()
        launch = [sys.executable, "-m"]
        if options.processes > 1:
            launch += ["torch.distributed.run", "--standalone", f"--nproc_per_node={options.processes}", "-m"]
        words = ["genshift", "train", options.preset, "--images", str(options.images), "--seed", str(options.seed)]
        log = (out.parent / f"{out.name}.log").open("a")
        self.process = subprocess.Popen(
            [*launch, *words, "--threads", "1", *options.train, "--out", str(out)],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=log, stdout=log,
        )  # fmt: skip
        log.close()
        self.began = time.monotonic()

    def running(self) -> bool:
        return self.process.poll() is None

    def images(self) -> int:
        """Images of the newest row that this start wrote; 0 before its first."""
        # A continued run replaces the file before its first row, so an unchanged inode is the killed run's.
        if self._inode() in (None, self.before):
            return 0
        rows = self.metrics.read_text().rsplit("\n", 2)
        return json.loads(rows[-2])["images"] if len(rows) > 1 else 0

    def wait_for(self, images: int) -> bool:
        """Until a row of at least `images` stands; False where the run ended before."""
        while self.running():
            if self.images() >= images:
                return True
            time.sleep(0.005)
        return False

    def kill(self) -> None:
        """SIGKILL to every process; torchrun gives each worker a session of its own, so a group is not enough."""
        self.process.send_signal(signal.SIGSTOP)
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        """Waits for the end; leaves where it failed."""
        status = self.process.wait()
        if status:
            raise SystemExit(f"training ended with status {status}: see the .log beside the run folder")

    def _inode(self) -> int | None:
        return self.metrics.stat().st_ino if self.metrics.exists() else None


def descendants(pid: int) -> list[int]:
    """The processes below `pid`."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def disturb(options: argparse.Namespace, out: Path, start: float, check: float) -> list[int]:
    """Kills and continues; returns the images at which each kill fell (0: before the first row of that start).

    start, check: seconds from a start to its first row, and from one check to the next.
    """
    chance = random.Random(options.seed)
    marks = sorted(chance.randint(1, int(0.9 * options.images)) for _ in range(options.times))
    landed = []
    for number, mark in enumerate(marks):
        training = Training(options, out)
        if number % 5 == 4:
            time.sleep(chance.uniform(0.0, start))
        elif training.wait_for(mark):
            time.sleep(chance.uniform(0.0, check))
        if not training.running():
            training.finish()
            break
        landed.append(training.images())
        training.kill()
        print(f"kill {number + 1} at {landed[-1]:,} images", file=sys.stderr, flush=True)
    Training(options, out).finish()
    return landed


def different(one: Path, other: Path) -> list[str]:
    """Names of the tensors of the newest and the best checkpoint that are not the same to the bit."""
    wrong = []
    for pattern in ("images-*.safetensors", "best.safetensors"):
        paths = [sorted((run / "checkpoints").glob(pattern))[-1] for run in (one, other)]
        if paths[0].name != paths[1].name:
            wrong.append(f"{paths[0].name} beside {paths[1].name}")
        first, second = map(load_file, paths)
        wrong += [f"{pattern}: {name}" for name in first.keys() | second.keys() if not same(first, second, name)]
    return wrong


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], name: str) -> bool:
    a, b = first.get(name), second.get(name)
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.numpy().tobytes() == b.numpy().tobytes()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, as the printed JSON has it."""
    options.out.mkdir(parents=True, exist_ok=True)
    alone, killed = options.out / "undisturbed", options.out / "killed"
    training = Training(options, alone)
    training.wait_for(1)
    start = time.monotonic() - training.began
    training.wait_for(options.images)
    check = (time.monotonic() - training.began - start) / CHECKS
    training.finish()
    landed = disturb(options, killed, start, check)
    wrong = different(alone, killed)
    return {
        "preset": options.preset,
        "images": options.images,
        "processes": options.processes,
        "kills": len(landed),
        "kills_in_training": sum(images > 0 for images in landed),
        "killed_at_images": landed,
        "tensors": sum(len(load_file(path)) for path in sorted((alone / "checkpoints").glob("*.safetensors"))[-2:]),
        "different": wrong,
        "bit_identical": not wrong,
    }


def main() -> int:
    """Prints one line of JSON; status 1 where a bit differs or too few kills fell into the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="kills (20)")
    parser.add_argument("--processes", type=int, default=1, help="processes that share a batch (1)")
    parser.add_argument("--preset", default="demo-dann")
    parser.add_argument("--images", type=int, default=3_200, help="budget of the run (3200)")
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the moments")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for both runs")
    parser.add_argument("train", nargs="*", help="after --: more words for `genshift train`")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found))
    return 0 if found["bit_identical"] and found["kills"] == options.times else 1


if __name__ == "__main__":
    sys.exit(main())
