"""Fresh processes, one a measurement, in rounds that interleave the arms; what was measured is kept and not repeated.

Imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beside.environment import HARNESS, ROOT, last_line

LIMIT_SECONDS = 1800  # of one measurement
BUSY = 0.3  # others' share of a core above which a machine is not quiet


@dataclass(frozen=True)
class Bench:
    """Where measurements run and what they leave: `out` keeps one file for each."""

    python: Path
    out: Path
    threads: int
    say: Callable[[str], None]
    module: str = "beside.worker"

    def measure(self, words: dict[str, Any], round_: int | str) -> dict[str, Any]:
        """What a fresh process found, or what one found before. A failure is kept as `error`, and is tried again by the
        next command."""
        place = self.out / f"round-{round_}" / f"{words['task']}-{words['arm']}-{words['measurement']}.json"
        if place.exists():
            found: dict[str, Any] = json.loads(place.read_text())
            if "error" not in found:
                return found
        self.say(f"round {round_}: {words['task']}, {words['arm']}, {words['measurement']} …")
        asked = {**words, "threads": self.threads}
        found = {**asked, "round": round_, "busy": others_at_work(), **self._run(asked)}
        write_whole(place, json.dumps(found, indent=1))
        return found

    def _run(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return child(self.python, self.module, {**asked, "started": time.time()}, self.threads, LIMIT_SECONDS)
        except Failed as failed:
            return {"error": str(failed)}


class Failed(Exception):
    """A measuring process ended without an answer; the text says why."""


def child(python: Path, module: str, words: dict[str, Any], threads: int, limit: float | None = None) -> dict[str, Any]:
    """What `python -m module JSON` told as JSON in its last line. Raises Failed where it told nothing."""
    argv = [str(python), "-m", module, json.dumps(words)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=environment(threads), cwd=HARNESS, timeout=limit,
            preexec_fn=lambda: pin(threads),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"took over {limit} s") from None
    if done.returncode:
        raise Failed(last_line(done.stderr))
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def say(text: str) -> None:
    """A line at once, beside what a command prints."""
    print(text, file=sys.stderr, flush=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def environment(threads: int) -> dict[str, str]:
    """The variables of a measuring process: threads, and nobody calls a host."""
    own = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    own |= {"PYTHONPATH": f"{HARNESS}{os.pathsep}{ROOT / 'src'}", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    return {**os.environ, **own}


def pin(threads: int) -> None:
    """Keeps this process and its children (loaders' workers) on as many cores as there are threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]))


def others_at_work(seconds: float = 0.5) -> float | None:
    """How many cores others keep busy now; None where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def now() -> tuple[int, int]:
        numbers = [int(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    total, idle = now()
    time.sleep(seconds)
    later, still = now()
    share = 1 - (still - idle) / max(1, later - total)
    return round(share * (os.cpu_count() or 1), 2)


def rounds(count: int, jobs: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """All jobs of the first round, then of the second: neighbours are slowed alike by whatever slows a machine. Every
    other round goes backwards, so that none always comes first."""
    for number in range(1, count + 1):
        for job in jobs if number % 2 else reversed(jobs):
            yield number, job
