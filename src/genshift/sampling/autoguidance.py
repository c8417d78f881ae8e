"""A diffusion run's early state: the worse model of the same kind that autoguidance guides away from."""

from __future__ import annotations

from genshift.methods import Method
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import WEAK
from genshift.training.loop import Observer

PART = 8  # 1/8 of the budget: ours; the paper of autoguidance (arXiv 2406.02507) guides by still less training


def keeper(run: RunFolder) -> Observer:
    """Who keeps the averaged networks of the first check at or after 1/PART of the budget, beside the checkpoints.

    A check that is done again, because the process was killed in it, writes the same file again.
    """

    def observe(images: int, method: Method) -> None:
        path = run.checkpoints / WEAK
        if images * PART < run.config["images"]:
            return
        # The first such check alone; again where it is the one that is done again.
        if not path.is_file() or images <= checkpoint.images_seen(checkpoint.about(path), path):
            checkpoint.save(path, Checkpoint(checkpoint.pack_networks(method.networks), {"images": images}))

    return observe
