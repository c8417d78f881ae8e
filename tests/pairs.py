"""Trains presets in the processes that torchrun started: one start of PyTorch serves many runs.

argv: a JSON file of [[run folder, preset name, changes], …].
"""

import json
import sys
from pathlib import Path

import torch

from genshift import device, presets
from genshift.runs import files
from genshift.runs.folder import RunFolder
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.distributed import world_of
from genshift.training.train import Settings


def main(jobs):
    """Every job in turn, as `training.train` does one."""
    training.CHECKS, files._sync = 1, lambda path: None
    chosen = torch.device("cpu")
    device.prepare_process(1, chosen)
    with world_of("cpu") as world:
        for out, name, changes in jobs:
            preset = presets.get(name).replaced(**changes)
            training._train(preset, RunFolder(Path(out)), Settings(), chosen, world, Console(world.leads))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
