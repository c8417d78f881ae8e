"""Two starts of one training into one folder at one moment: one trains as if alone, the other is refused."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import material
from children import Child, Ended
from kills import differences, files_of
from material import TRAIN

LIMIT = 120.0
HEADSTART = 0.05  # seconds at most from one start to the other; every second pair has none


def campaign(work: Path, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Starts `count` pairs; yields the family and who won, and what was wrong ('': nothing)."""
    here = work / "here"
    material.pictures(here)
    chance, alone = random.Random(seed), {}
    for number in range(count):
        name = list(TRAIN)[number % len(TRAIN)]
        argv = material.train(name)
        if name not in alone:
            material.must(argv, here)
            alone[name] = files_of(here, [name])
        shutil.rmtree(here / name)
        first, second = pair(argv, here, chance.uniform(0.0, HEADSTART) * (number % 2))
        wrong = judged(first, second) or "; ".join(differences(alone[name], files_of(here, [name])))
        yield f"train {name}; the {'first' if first.status == 0 else 'second'} won", wrong


def pair(argv: tuple[str, ...], here: Path, later: float) -> tuple[Ended, Ended]:
    """Both ends of a command that is started twice; each waits for one and the same pipe to be closed."""
    reads, writes = os.pipe()

    def wait() -> None:
        os.close(writes)
        os.read(reads, 1)

    def wait_longer() -> None:
        wait()
        time.sleep(later)

    children = []
    for number, before in enumerate((wait, wait_longer)):
        (here / f"start-{number}").mkdir(exist_ok=True)
        children.append(Child(argv, here, before, said=here / f"start-{number}"))
    os.close(reads)
    os.close(writes)
    first, second = (child.wait(LIMIT) for child in children)
    return first, second


def judged(first: Ended, second: Ended) -> str:
    """What is wrong with two ends ('': nothing)."""
    if {first.status, second.status} != {0, 2}:
        return f"they ended with {first.status} and {second.status}: {first.sentence} / {second.sentence}"
    refused = first if first.status == 2 else second
    if wrong := refused.wrong():
        return wrong
    return "" if " is in use by " in refused.sentence else f"refused for another reason: {refused.sentence}"
