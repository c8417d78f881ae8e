"""A process that owns parts of run folders for the tests of `genshift.runs.owner`, as it is told on standard input.

A line FOLDER PART COMMAND: it takes the part, says "taken" or why not, and lets go at the next line.
"""

import os
import subprocess
import sys
from pathlib import Path

from genshift.errors import Refusal
from genshift.runs.folder import RunFolder
from genshift.runs.owner import TRAINING, owned


class Holder:
    """Such a process, as the tests hold it."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, __file__], text=True, bufsize=1, **pipes)

    def tell(self, line=""):
        self.process.stdin.write(f"{line}\n")

    def hear(self):
        return self.process.stdout.readline().strip()

    def take(self, folder, part=TRAINING, command="genshift train"):
        self.tell(f"{folder}\t{part}\t{command}")
        assert self.hear() == "taken"

    def let_go(self):
        self.tell()
        assert self.hear() == "let go"

    def end(self):
        self.process.kill()
        self.process.communicate()


def main():
    for line in sys.stdin:
        folder, part, command = line.strip().split("\t")
        run = RunFolder(Path(folder))
        try:
            with owned(run, part, command=command, say=print, new=part == TRAINING):
                print("taken", flush=True)
                sys.stdin.readline()
            print("let go", flush=True)
        except Refusal as refusal:
            print(refusal, flush=True)


if __name__ == "__main__":
    os.environ.pop("RANK", None)
    main()
