"""`genshift ARGV` in a child that is forked from a process which has imported everything and computed nothing.

So a start costs tens of milliseconds instead of seconds, and whatever the child does ends with it. POSIX only.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOM = 12 * 2**30  # bytes of address space of a child: what asks for more ends by itself, not by the machine's end
LONGEST = 1_500  # characters of a sentence


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, or minus the signal that ended it; None where it took too long."""

    argv: tuple[str, ...]
    status: int | None
    out: str
    err: str
    seconds: float

    def wrong(self, statuses: Sequence[int] = (0, 2)) -> str:
        """What is against the rule, '' if nothing: one of `statuses`, and of status 2 one sentence, the last line."""
        said = [line for line in self.err.split("\n") if line.strip()]
        sentences = [line for line in said if line.startswith("genshift: ")]
        if self.status is None:
            return f"no end after {self.seconds:.0f} s"
        if "Traceback (most recent call last)" in self.err:
            return f"traceback: {said[-1][:300]}"
        if self.status not in statuses:
            return f"status {self.status}: {(said or [''])[-1][:300]}"
        if self.status == 2 and (len(sentences) != 1 or said[-1] != sentences[0]):
            return f"status 2 with {len(sentences)} sentences: {' / '.join(said[-3:])[:300]}"
        if self.status == 2 and len(sentences[0]) > LONGEST:
            return f"a sentence of {len(sentences[0]):,} characters: {sentences[0][:200]}"
        return ""

    @property
    def sentence(self) -> str:
        """The last line of its standard error."""
        return (self.err.strip().splitlines() or [""])[-1]


class Child:
    """One such process. `before` is called in it first; `variables` change its environment;
    what it says goes into files of the folder `said`, or of its own."""

    def __init__(
        self,
        argv: Sequence[object],
        folder: Path,
        before: Callable[[], None] | None = None,
        variables: dict[str, str] | None = None,
        said: Path | None = None,
    ) -> None:
        self.argv = tuple(map(str, argv))
        self.begun = time.monotonic()
        self.said = [(said or folder) / f"child-{name}-{(variables or {}).get('RANK', 0)}" for name in ("out", "err")]
        self.status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            self._be(folder, before, variables or {})

    def _be(self, folder: Path, before: Callable[[], None] | None, variables: dict[str, str]) -> None:
        status = 1
        try:
            for number, path in enumerate(self.said, start=1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
            os.environ.update(variables)
            os.chdir(folder)
            from genshift.cli import main

            if before is not None:
                before()
            status = main.main(self.argv)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001  # it is what is looked for
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def ended(self) -> bool:
        """Whether it has ended; its status is known then."""
        if self.status is None:
            pid, how = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(how)
        return self.status is not None

    def wait(self, limit: float) -> Ended:
        """Its end; it is killed after `limit` seconds."""
        while not self.ended() and time.monotonic() - self.begun < limit:
            time.sleep(0.002)
        status = self.status
        self.kill()
        out, err = (path.read_text("utf-8", "backslashreplace") for path in self.said)
        return Ended(self.argv, status, out, err, time.monotonic() - self.begun)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = -signal.SIGKILL


def run(argv: Sequence[object], folder: Path, limit: float = 120.0) -> Ended:
    """The end of `genshift ARGV`, called in `folder`."""
    return Child(argv, folder).wait(limit)


def warm() -> None:
    """Imports all that commands import, so that children need not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    import genshift

    for module in pkgutil.walk_packages(genshift.__path__, "genshift."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("torch.distributed", "torch.utils.flop_counter", "torch._dynamo", "plotly.graph_objects", "openTSNE"):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
