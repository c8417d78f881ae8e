"""Trains presets in the processes that torchrun started: one start of PyTorch serves many runs.

argv: a JSON file of [[run folder, preset name, changes], …].
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import tiny

from genshift import presets
from genshift.runs import files
from genshift.training import train as training
from genshift.training.distributed import world_of
from genshift.training.train import Settings


def main(jobs):
    """Every job in turn by `training.train`, in processes that meet once."""
    training.CHECKS, files._sync = 1, lambda path: None
    tiny.shorten_the_probe(setattr)
    with world_of("cpu") as world:
        training.world_of = lambda device_type: nullcontext(world)
        for out, name, changes in jobs:
            preset = presets.get(name).replaced(**changes)
            training.train(preset, Path(out), Settings(device="cpu", threads=1))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
