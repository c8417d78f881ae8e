"""Who is at work in a run folder: of each of its two parts one process at a time.

TRAINING is all that a training writes, MEASURING what is measured of a run and chosen in it; a part has two hidden
files. `.PART.lock` is locked by the system for as long as its owner lives, running or stopped, and no longer: on one
machine it alone decides. `.PART.json` names the owner, and its time of change is the owner's last sign of life: locks
need not reach another machine that shares the folder, and one that died there may leave its own behind.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from genshift.errors import Refusal, of_os_error
from genshift.runs.files import write_json

if TYPE_CHECKING:
    from genshift.runs.folder import RunFolder

TRAINING, MEASURING = "training", "measuring"
TRAIN = "genshift train"  # the command of an owner that trains
BEAT = 30.0  # seconds between two signs of life
SILENT = 600.0  # seconds without one after which an owner on another machine is taken for dead
PATIENCE = 0.5  # seconds to try for: who merely asks whether a part has an owner holds its lock for an instant
BOOT = Path("/proc/sys/kernel/random/boot_id")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Owner:
    """A process at work. since: UTC; boot: what the system calls this start of the machine, where it does."""

    command: str
    pid: int
    host: str
    boot: str
    since: str
    token: str

    @classmethod
    def this_process(cls, command: str) -> Owner:
        since = datetime.now(UTC).isoformat(" ", "seconds")
        return cls(command, os.getpid(), socket.gethostname(), _boot(), since, secrets.token_hex(8))

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, of this machine. Containers have names of their own and share its locks."""
        return self.host == socket.gethostname() or (self.boot != "" and self.boot == _boot())

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since})"


def _boot() -> str:
    return BOOT.read_text(encoding="ascii").strip() if BOOT.exists() else ""


def _read(note: Path) -> Owner | None:
    """Whom a note names; None where there is none, or one that genshift did not write: then the lock alone tells."""
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
        owner = Owner(**{field.name: said[field.name] for field in fields(Owner)})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    right = isinstance(owner.pid, int) and all(isinstance(v, str | int) and str(v).isprintable() for v in said.values())
    return owner if right else None


def _silence(note: Path) -> float:
    """Seconds since the last sign of life, by the clock of the disk that the folder is on: machines' own may differ."""
    clock = note.with_suffix(".lock")
    try:
        clock.touch()
        now = clock.stat().st_mtime
    except OSError:  # a folder that this user may only read
        now = time.time()
    try:
        return now - note.stat().st_mtime
    except FileNotFoundError:  # the owner ended just now
        return 0.0


class Ownership:
    """One part of a run folder, as this process holds it."""

    def __init__(self, folder: Path, part: str, command: str) -> None:
        self.folder = folder
        self.note = folder / f".{part}.json"
        self.lock = FileLock(folder / f".{part}.lock")
        self.owner = Owner.this_process(command)
        self.thread = threading.get_ident()
        self.made: list[Path] = []  # folders that were absent before, the run's first
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name=f"owner of {self.note}")

    def take(self, wait: bool, say: Say) -> None:
        """Becomes the owner; where another lives, waits for its end, or is refused."""
        waits = False
        while (reason := self._attempt(say)) is not None:
            if not wait:
                raise Refusal(f"{reason}: let it end, stop it, or name another folder.")
            if not waits:
                say(f"{reason}: waiting for its end …")
            waits = True
            time.sleep(PATIENCE)
        self._heart.start()

    def _attempt(self, say: Say) -> str | None:
        """Takes the part; says why not where it cannot."""
        said = ""
        locked = self._try_lock()
        before = _read(self.note)
        if before is None and not locked:
            return f"{self.folder} is in use by a process that has not given its name"
        # The lock decides on one machine; of another one's owner the silence does.
        if before is not None and not (locked and before.is_here):
            silent = _silence(self.note)
            if before.is_here or silent < SILENT:
                if locked:
                    self.lock.release()
                rule = f"; it is taken over after {SILENT:.0f} silent seconds, and the last sign was {silent:.0f} s ago"
                return f"{self.folder} is in use by {before}{'' if before.is_here else rule}"
            if not locked:  # what a dead machine left; a process that holds it still will find the note changed
                Path(self.lock.lock_file).unlink(missing_ok=True)
                if not self._try_lock():
                    return f"{self.folder} is being taken over by another process"
            said = f"note: {self.folder} is taken over from {before}, silent for {silent / 60:.0f} minutes."
        write_json(self.note, asdict(self.owner))
        if said:
            say(said)
        return None

    def _try_lock(self) -> bool:
        try:
            self.lock.acquire(timeout=PATIENCE)
        except Timeout:
            return False
        except OSError as error:
            raise of_os_error(error, f"taking {self.folder}") from error
        return True

    def check(self) -> None:
        """Refuses to go on where another took over."""
        now = _read(self.note)
        if now is not None and now != self.owner:
            raise Refusal(
                f"{self.folder} was taken over by {now}, after this process was stopped or cut off for over "
                f"{SILENT / 60:.0f} minutes: it writes no more there."
            )

    def release(self) -> None:
        """Lets go of it, also where it was taken in part alone."""
        self._ended.set()
        if self._heart.is_alive():
            self._heart.join()
        if _read(self.note) == self.owner:
            with suppress(PermissionError):  # Windows, where somebody reads it just now; unlocked, it binds nobody here
                self.note.unlink()
            if sys.platform != "win32":  # there, letting go removes it; here, whoever waits for it makes a new one
                Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()
        with suppress(OSError):  # the first that is not empty ends it
            for folder in self.made:
                folder.rmdir()

    def _beat(self) -> None:
        """A sign of life every BEAT seconds, whatever else the process does."""
        while not self._ended.wait(BEAT):
            try:
                now = _read(self.note)
                if now is None:
                    write_json(self.note, asdict(self.owner))
                elif now == self.owner:
                    os.utime(self.note)
            except (OSError, Refusal):  # a disk that is full or away for a while: the next one tries again
                continue


# --- what other rooms call --------------------------------------------------------------------------------------------

_held: dict[tuple[Path, str], Ownership] = {}  # by this process


@contextmanager
def owned(run: RunFolder, *parts: str, command: str, say: Say, new: bool = False, wait: bool = False) -> Iterator[None]:
    """While open, this process owns `parts` of the run folder (or goes on owning those that its thread owns already).

    new: the folder is made where it is absent, and removed again where nothing comes of it. wait: for the end of
    another owner, instead of the refusal. Of the processes that torchrun started the leading one owns for all. Raises
    Refusal where another owner lives, and for a folder that is no run, is a bundle or cannot be written to.
    """
    run.check_no_bundle()
    if os.environ.get("RANK", "0") != "0":  # as `device.leads_processes` says, without torch
        yield
        return
    made = _make(run) if new else []
    if not new:
        _ = run.config  # its refusal
    with ExitStack() as stack:
        for part in parts:
            if not _is_ours(run, part):
                ownership = Ownership(run.path, part, command)
                stack.callback(ownership.release)
                ownership.take(wait, say)
                ownership.made = made
                _held[run.path.resolve(), part] = ownership
                stack.callback(_held.pop, (run.path.resolve(), part))
        yield


def check_owned(run: RunFolder) -> None:
    """Refuses to go on writing into a run folder that was ours and that another process took over meanwhile."""
    for part in (TRAINING, MEASURING):
        if _is_ours(run, part):
            _held[run.path.resolve(), part].check()


def trained_by(run: RunFolder) -> Owner | None:
    """The process that trains the run now, other than this one's own thread."""
    note = run.path / f".{TRAINING}.json"
    owner = _read(note)
    if owner is None or owner.command != TRAIN or _is_ours(run, TRAINING):
        return None
    try:
        if owner.is_here:
            with FileLock(note.with_suffix(".lock"), timeout=0):
                return None
    except Timeout:
        return owner
    except OSError:  # a folder that this user may only read: its signs of life are all there is
        pass
    return owner if _silence(note) < SILENT else None


def _is_ours(run: RunFolder, part: str) -> bool:
    held = _held.get((run.path.resolve(), part))
    return held is not None and held.thread == threading.get_ident() and held.owner.pid == os.getpid()


def _make(run: RunFolder) -> list[Path]:
    """Makes the folder; returns those that were absent, the run's first."""
    run.check_place()
    made = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise of_os_error(error, f"making the run folder {run.path}") from error
    return made
