"""SIGKILL in every phase of every verb, then the same command again: the end must be an undisturbed one's, bit for bit.

A kill falls at a random moment, or at the n-th time that the command opens a file to write, renames, makes or removes
one (from an audit hook; where it renames a file, half the time after cutting that one short, as a kill in its writing
would). Of two processes, started as torchrun starts them, both are killed.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import material
from children import Child, Ended
from material import EVALUATE, PACK, RECONSTRUCT, SAMPLE, SELECT, SWEEP, TRAIN
from safetensors import safe_open

CLOCK = ("seconds", "minutes", "images_per_second")  # parts of the names of what the clock says
WRITES = os.O_WRONLY | os.O_RDWR
LIMIT = 120.0
# What a verb writes into a run folder that was there before; other verbs make a folder of their own.
MADE = {
    "select": ("scores.json", "scores.safetensors", "selection.json"),
    "sweep": ("sweep.json", "sampling.json"),
    "evaluate": ("results.json", "evaluation.json", "card.md", "prior.safetensors"),
}


@dataclass(frozen=True)
class Case:
    """A command, what it writes, what is finished before, and by how many processes it runs."""

    name: str
    argv: tuple[str, ...]
    writes: tuple[str, ...]
    processes: int = 1


def cases() -> list[Case]:
    """Every verb that writes, of every family that has it; trainings stand twice, for they have the most phases."""
    trainings = [Case(f"train {name}", material.train(name), (name,)) for name in TRAIN]
    shared = [Case(f"{case.name}, two processes", case.argv, case.writes, 2) for case in trainings]
    others = [Case("select", SELECT, ("adapt",)), Case("sweep", SWEEP, ("diffusion",))]
    others += [Case(f"evaluate {name}", argv, (name,)) for name, argv in EVALUATE.items()]
    others += [Case(f"sample {name}", argv, (argv[-1],)) for name, argv in SAMPLE.items()]
    others += [Case("reconstruct", RECONSTRUCT, (RECONSTRUCT[-1],)), Case("data pack", PACK, (PACK[-1],))]
    others += [Case("study demo", ("study", "demo", "--budget", "quick", "--seeds", "1", "--out", "demo"), ("demo",))]
    return [*trainings, *trainings, *shared, *others]


# --- one command, killed or not ---------------------------------------------------------------------------------------


class Events:
    """Writes down what a child does to files below a folder, and kills it at the event of a given number."""

    def __init__(self, folder: Path, log: Path, at: int = 0, torn: float = 0.0) -> None:
        self.folder, self.path, self.at, self.torn, self.seen = str(folder), log, at, torn, 0
        self.log: int | None = None

    def __call__(self) -> None:
        """In the child."""
        self.log = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.fsync = lambda descriptor: None  # a killed process loses nothing that it handed to the system
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if not (isinstance(args[2], int) and args[2] & WRITES):
                return
        elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        path = os.path.abspath(os.fsdecode(args[0])) if isinstance(args[0], str | bytes | os.PathLike) else ""
        if self.log is None or not path.startswith(self.folder):
            return
        self.seen += 1
        os.write(self.log, f"{event} {path.removeprefix(self.folder)}\n".encode(errors="replace"))
        if self.seen == self.at:
            if event == "os.rename" and self.torn and os.path.isfile(path):
                os.truncate(path, int(os.path.getsize(path) * self.torn))
            os.kill(os.getpid(), signal.SIGKILL)


def events_of(log: Path) -> list[str]:
    """The events that were written down, numbers in names left out: events of one kind are alike."""
    return [re.sub(r"[0-9a-f]{8}-[0-9]+|[0-9]+", "#", line) for line in log.read_text("utf-8", "replace").splitlines()]


def small_study() -> None:
    """In a child: the demo's study in seconds: its adapted run and one baseline, narrow, of a few steps."""
    from genshift.studies import Study

    Study.images = lambda self, preset, budget: 2 * preset.step_images


def start(case: Case, work: Path, before: Callable[[], None] | None = None) -> list[Child]:
    """The processes of a command; `before` is called in the first."""
    folder, variables = work / "here", {}

    def first() -> None:
        if case.argv[0] == "study":
            small_study()
        if before is not None:
            before()

    if case.processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(case.processes)}
    return [
        Child(case.argv, folder, first if not rank else None,
              {**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)} if variables else None)
        for rank in range(case.processes)
    ]  # fmt: skip


def end(children: Sequence[Child]) -> Ended:
    """The end of all: the first one's, or that of the one that failed."""
    ends = [child.wait(LIMIT) for child in children]
    return next((e for e in ends if e.status != 0), ends[0])


def kill(case: Case, work: Path, alone: Alone, chance: random.Random) -> str:
    """Starts the command and kills it; returns where, or '' where it had ended before."""
    log = work / "events"
    log.unlink(missing_ok=True)
    # At a random moment, or at an event: of a kind that is drawn first, for most events are of few kinds.
    timed, kind = chance.random() < 0.4, chance.choice(sorted(set(alone.events)))
    at = chance.choice([n for n, event in enumerate(alone.events, start=1) if event == kind])
    torn = chance.choice((0.0, chance.random()))
    children = start(case, work, Events(work / "here", log, 0 if timed else at, torn))
    until = time.monotonic() + (chance.uniform(0.05, alone.seconds) if timed else LIMIT)
    while not any(child.ended() for child in children) and time.monotonic() < until:
        time.sleep(0.001)
    killed = all(not child.ended() or child.status == -signal.SIGKILL for child in children)
    for child in children:
        child.kill()
    if not killed:
        return ""
    events = events_of(log) if log.exists() else []
    how = "at a random moment, after" if timed else f"{'torn ' if torn else ''}at event {at}:"
    return f"{phase(case, work / 'here')}; {how} {events[-1] if events else 'none'}"


def phase(case: Case, here: Path) -> str:
    """What the killed command was at."""
    place = here / case.writes[0]
    parts = sorted(path.name for path in place.rglob(".*.part")) if place.is_dir() else []
    if parts:
        return f"writing {'a checkpoint' if any('safetensors' in part for part in parts) else 'a file'}"
    if case.argv[0] != "train":
        return "between writing"
    if not (place / "config.json").exists():
        return "before config.json"
    seen = [int(path.stem[-12:]) for path in place.glob("checkpoints/images-*.safetensors")]
    return "between checkpoints" if max(seen, default=0) < 24 else "evaluating at the end"


# --- what is compared -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alone:
    """What an undisturbed command left, how long it took, and its events."""

    files: Mapping[str, Any]
    seconds: float
    events: list[str]


def files_of(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Every file below these folders, without what the clock says."""
    found: dict[str, Any] = {}
    for name in names:
        for path in sorted((folder / name).rglob("*")):
            if not path.is_dir():
                found[path.relative_to(folder).as_posix()] = content(path)
    return found


def content(path: Path) -> Any:
    """What a file holds, in a form to compare."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get("genshift", "null"))
        return without_clock(about), {n: (str(t.dtype), t.shape, t.tobytes()) for n, t in tensors.items()}
    if path.suffix == ".json":
        said = without_clock(json.loads(path.read_text("utf-8")))
        if path.name == "config.json":
            del said["environment"]["source"]  # a digest of the code, which somebody may be working on
        return said
    if path.suffix == ".jsonl":
        return [without_clock(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if path.suffix in (".md", ".html"):  # they tell what the others hold, with the times
        return "there"
    return path.read_bytes()


def without_clock(value: Any) -> Any:
    """JSON without what the clock says."""
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if not any(word in k for word in CLOCK)}
    return [without_clock(entry) for entry in value] if isinstance(value, list) else value


def differences(alone: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The files that are not alike, or stand on one side only.

    One numbered checkpoint more is right: a kill between writing the last one and removing the oldest leaves it, and a
    finished run is left as it is.
    """
    told = [f"{name} is missing" for name in alone if name not in now]
    more = [name for name in now if name not in alone]
    older = [name for name in more if re.search(r"checkpoints/images-[0-9]+\.safetensors$", name)]
    told += [f"{name} is too many" for name in more if name not in older[:1]]
    return told + [f"{name} differs" for name in alone if name in now and alone[name] != now[name]]


def undisturbed(case: Case, work: Path) -> Alone:
    """Runs the command alone."""
    prepare(case, work)
    begun = time.monotonic()
    ended = end(start(case, work, Events(work / "here", work / "events")))
    seconds = time.monotonic() - begun
    if ended.status != 0:
        raise SystemExit(f"{case.name}, undisturbed, ended with status {ended.status}:\n{ended.err}")
    return Alone(files_of(work / "here", case.writes), seconds, events_of(work / "events"))


def prepare(case: Case, work: Path) -> None:
    """Puts the folder back as it was before the command."""
    material.restored(work / "origin", work / "here", case.writes)
    folder = work / "here" / case.writes[0]
    for name in MADE.get(case.argv[0], ()):
        (folder / name).unlink(missing_ok=True)
    if case.argv[0] not in MADE:
        shutil.rmtree(folder, ignore_errors=True)


# --- the campaign -----------------------------------------------------------------------------------------------------


def campaign(work: Path, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Kills and continues until `count` kills fell; yields each one's place, and what is wrong then ('': nothing).

    Every third command is killed twice, every ninth three times, before it may end.
    """
    material.pictures(work / "origin")
    material.finished(work / "origin")
    shutil.rmtree(work / "here", ignore_errors=True)
    shutil.copytree(work / "origin", work / "here")
    chance, every, alone = random.Random(seed), cases(), {}
    killed, turn = 0, 0
    while killed < count:
        case = every[turn % len(every)]
        turn += 1
        if case not in alone:
            alone[case] = undisturbed(case, work)
        prepare(case, work)
        places = []
        for _ in range(1 + (turn % 3 == 0) + (turn % 9 == 0)):
            if place := kill(case, work, alone[case], chance):
                places.append(place)
        if not places:
            continue
        killed += len(places)
        wrong = continued(case, work, alone[case])
        for place in places:
            yield f"{case.name}: {place}", wrong
            wrong = ""  # told once


def continued(case: Case, work: Path, alone: Alone) -> str:
    """Runs the command again to its end; what is wrong then."""
    ended = end(start(case, work))
    if ended.status != 0:
        return f"continued, it ended with status {ended.status}: {ended.sentence[:400]}"
    return "; ".join(differences(alone.files, files_of(work / "here", case.writes)))
