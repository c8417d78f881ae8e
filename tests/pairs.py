"""Trains presets in the processes that torchrun started: one start of PyTorch serves many runs.

argv: a JSON file of [[run folder, preset name, changes], …].
"""

import json
import sys
from pathlib import Path

import torch

from genshift import device, presets
from genshift.engine import experiment, files
from genshift.engine.console import Console
from genshift.engine.distributed import world_of
from genshift.engine.experiment import Settings
from genshift.engine.run import RunFolder


def main(jobs):
    """Every job in turn, as `experiment.train` does one."""
    experiment.CHECKS, files._sync = 1, lambda path: None
    chosen = torch.device("cpu")
    device.prepare_process(1, chosen)
    with world_of("cpu") as world:
        for out, name, changes in jobs:
            preset = presets.get(name).replaced(**changes)
            experiment._train(preset, RunFolder(Path(out)), Settings(), chosen, world, Console(world.leads))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
