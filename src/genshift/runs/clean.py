"""Dropping from a finished run what only continuing needs."""

from __future__ import annotations

from genshift.errors import Refusal
from genshift.runs import checkpoint
from genshift.runs.checkpoint import CLEANED, Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run
from genshift.temporary import remove_litter


def clean(run: RunFolder) -> int:
    """Removes all numbered checkpoints but the newest, and of that the optimizers' state and the networks beside their
    moving average. The best checkpoint and those that `genshift select` chooses among stay.

    Returns how many bytes were freed. Raises Refusal where the run is not trained to its end, for it could not
    continue, or its last checkpoint is not what it would have written.
    """
    if run.seen < run.config["images"]:
        raise Refusal(
            f"{run.path} is not trained to its end ({run.seen:,} of {run.config['images']:,} images), and what would "
            "be dropped is what it continues from: train it to its end first."
        )
    before = size_of(run)
    last = open_run(run, "last").checkpoint  # which checks what is about to be written again
    state = checkpoint.load(last)
    networks = checkpoint.answering_networks(state.tensors)
    checkpoint.save(last, Checkpoint(networks, {**state.about, CLEANED: True}))
    for path in run.saved()[:-1]:
        path.unlink()
    remove_litter(run.path)
    return before - size_of(run)


def size_of(run: RunFolder) -> int:
    """Bytes of all files of a run folder."""
    return sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
