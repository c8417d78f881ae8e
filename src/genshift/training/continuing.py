"""What a run continues from, checked whole before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from genshift.errors import Refusal
from genshift.runs import checkpoint
from genshift.runs.checkpoint import ASIDE, CLEANED, Checkpoint
from genshift.training.loop import Trainer


def check(trainer: Trainer, state: Checkpoint, path: Path) -> None:
    """Raises Refusal that names the first thing in `state` which this trainer, at its start, would not have written
    to `path`: a field's type or range, a tensor's name, dtype or shape, a number that is none."""
    total, batch = trainer.schedule.total, trainer.feed.batch
    images = checkpoint.images_seen(state.about, path, total)
    if images % batch:
        raise checkpoint.lie(path, "images", images, f"a multiple of the {batch} of a step")
    _check_about(state.about, path)
    expected = checkpoint.pack_networks(trainer.method.networks)
    if state.about.get(CLEANED):
        if images < total:
            raise checkpoint.lie(path, CLEANED, True, "that of finished runs alone")
    else:
        if trainer.average:
            expected |= {f"average/{name}": tensor for name, tensor in trainer.average.state.items()}
        expected |= _moments(trainer, state, path)
    checkpoint.check_tensors(state.tensors, expected, path)


def _check_about(about: Mapping[str, Any], path: Path) -> None:
    """The fields beside the images; the last three are optional, for not every version wrote them."""
    best, alarms, stepped = about.get("best", ""), about.get("alarms", {}), about.get("stepped", {})
    if best is not None and not _is_number(best):
        raise checkpoint.lie(path, "best score", best, "a finite number, or null")
    for name in ("seconds", "cpu_seconds"):
        if not _is_number(about.get(name)) or about[name] < 0:
            raise checkpoint.lie(path, name, about.get(name), "0 or more")
    for name, counts in (("alarms", alarms), ("stepped", stepped)):
        if not isinstance(counts, dict) or not all(type(n) is int and 0 <= n < 2**63 for n in counts.values()):
            raise checkpoint.lie(path, name, counts, "whole numbers by name")
    if type(about.get(CLEANED, False)) is not bool:
        raise checkpoint.lie(path, CLEANED, about[CLEANED], "true or false")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63  # of NaN this is false


def _moments(trainer: Trainer, state: Checkpoint, path: Path) -> dict[str, Tensor]:
    """The optimizers' state that `state` should hold: whole for each parameter, and for as many as were stepped."""
    expected: dict[str, Tensor] = {}
    could = False
    for name, optimizer in trainer.method.optimizers.items():
        whole = checkpoint.after_a_step(name, optimizer)
        every, held = checkpoint.stepped(name, whole), checkpoint.stepped(name, state.tensors)
        # Before 0.3 the count was not written: then it is all parameters, or none before the optimizer's phase.
        right = state.about.get("stepped", {}).get(name, len(every) if held else 0)
        if len(held) != right:
            raise Refusal(
                f"{path} holds the optimizer '{name}' for {len(held)} of {len(every)} parameters, and should for "
                f"{right}: {ASIDE}."
            )
        expected |= {key: tensor for key, tensor in whole.items() if key.rpartition("/")[0] in held}
        could |= bool(every)
    if could and not expected and state.about["images"]:
        raise Refusal(f"{path} holds no optimizer's state, which a run continues from: {ASIDE}.")
    return expected
