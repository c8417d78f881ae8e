"""A run of a study as a command line of plain strings: printed for a queue, started here, or a task of a cluster.

What is started ends with whoever started it: its standard input is a pipe that closes then, upon which it gets the
SIGTERM that a batch system would send, saves and ends. To stop it is to close the pipe.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from genshift.errors import Refusal
from genshift.studies.jobs import Job

ENDS_WITH_STDIN = "GENSHIFT_ENDS_WITH_STDIN"  # set for what `call` starts
DONE, REFUSED, STOPPED = 0, 2, 130
SENTENCE = "genshift: "  # begins the line with which a command refuses
SAVED = "Stopped and saved at"  # and that of a training which a signal stopped
POLL = 0.2  # seconds
KEPT = 200  # lines: below the sentence, torchrun prints some of its own


class Ended(NamedTuple):
    """How a command ended: its exit status, and the line that says why, else its last one."""

    status: int
    said: str


def python_words(job: Job) -> list[str]:
    """What follows `python` to make this run; torchrun starts several processes for it where it asks for them."""
    return [*_launcher("-m", "torch.distributed.run", processes=job.processes), "-m", "genshift", *job.study_words]


def shell_line(job: Job) -> str:
    """The same as it is typed."""
    several = [*_launcher("torchrun", processes=job.processes), "-m"] if job.processes > 1 else []
    return shlex.join([*several, "genshift", *job.study_words])


def _launcher(*torchrun: str, processes: int) -> list[str]:
    return [*torchrun, "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []


def run_as_command(job: Job) -> bool:
    """Makes a run in a process of its own, or in several; False where a signal stopped it. Raises Refusal."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return is_done_after(job, call(python_words(job)))


def call(words: Sequence[str]) -> Ended:
    """`python WORDS` to its end, with what it prints on standard error here; KeyboardInterrupt stops it first."""
    environment = {**os.environ, ENDS_WITH_STDIN: "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, text=True, encoding="utf-8", errors="backslashreplace",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    lines: list[str] = []
    reader = threading.Thread(target=_echo, args=(process, lines), daemon=True)
    reader.start()
    try:
        while process.poll() is None:  # short waits: an interrupt of a cluster comes between two of them
            time.sleep(POLL)
    except KeyboardInterrupt:
        process.stdin.close()
        process.wait()
        reader.join()
        return Ended(STOPPED, "")
    reader.join()
    process.stdin.close()
    sentences = [line for line in lines if line.startswith((SENTENCE, SAVED))]
    return Ended(process.returncode, (sentences or lines or [""])[-1])


def _echo(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line.strip())
            del lines[:-KEPT]


def is_done_after(job: Job, ended: Ended) -> bool:
    """Whether a run's command was not stopped. Refusal where it was refused, or its process died."""
    status, said = ended
    if status in (DONE, STOPPED):
        return status == DONE
    if said.startswith(SENTENCE):  # torchrun has a status of its own
        raise Refusal(said.removeprefix(SENTENCE))
    if said.startswith(SAVED):
        return False
    how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
    raise Refusal(f"The process of {job.out} {how}: {said or 'it said nothing'}.")


def end_with_parent() -> None:
    """Where `call` started this process: SIGTERM to it when its standard input closes."""
    if os.environ.pop(ENDS_WITH_STDIN, ""):
        threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
