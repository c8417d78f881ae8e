"""Work for the processes of `genshift.studies.workers`; imports no torch, so that they start quickly."""

import os
import signal
import sys
import time
from pathlib import Path

from genshift.errors import Refusal
from genshift.studies.workers import side_by_side


def work(item):
    """(folder, what to do): notes its beginning and, like a training, saves upon SIGTERM."""
    folder, kind = item
    stopped = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    mark(folder, "begun", kind)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "refused":
        raise Refusal("The data are not there.")
    if kind == "broken":
        raise RuntimeError("a bug")
    if kind.startswith("long"):
        until(lambda: stopped)
        mark(folder, "saved", kind)
        return False
    mark(folder, "done", kind)
    return True


def mark(folder, what, kind):
    (folder / f"{what}-{kind}").write_text(str(os.getpid()))


def until(happens, seconds=60.0):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    print(side_by_side([(out, kind) for kind in sys.argv[2:]], work, 2, lambda item: item[1], lambda *_: None))
