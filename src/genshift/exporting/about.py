"""What an exported file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import torch

import genshift
from genshift.data.catalog import lookup
from genshift.exporting.parts import Part
from genshift.runs import checkpoint
from genshift.runs.forms import RESULTS
from genshift.runs.trained_run import TrainedRun
from genshift.selection.checkpoint_selection import verdict_of_run

# What is done before the graph, and not in it.
DECODING = (
    "Before the graph, by whoever reads files: decode to 8-bit RGB, upright by EXIF, transparent parts laid over the "
    "background; grey pictures have three channels alike. genshift decodes a JPEG of eight times the size or more at "
    "1/2, 1/4 or 1/8 (Pillow: image.draft(None, (4 * size, 4 * size)) before image.load()); without it, bytes differ a "
    "little."
)


def metadata(run: TrainedRun, part: Part) -> dict[str, str]:
    """Texts by name; what is none is JSON. Of a user's folders the last name alone is told."""
    config, preset = run.config, run.preset
    stored = config["preset"]
    told: dict[str, Any] = {
        "genshift": genshift.__version__,
        "torch": str(torch.__version__),
        "part": part.name,
        "run": run.folder.path.resolve().name,
        "summary": preset.summary,
        "inputs": dict(part.takes),
        "output": {part.output: part.gives},
        "classes": list(run.classes),
        "size": preset.size,
        **part.about,
        "checkpoint": run.checkpoint.name,
        "images": checkpoint.about(run.checkpoint).get("images"),
        "measures": measures_of(run),
        "data": {option: data_of(run, option, entry) for option, entry in config["data"].items()},
        "preset": {**stored, "fields": {name: _named(value) for name, value in stored["fields"].items()}},
    }
    verdict = verdict_of_run(run.folder) if part.name == "classifier" else None
    if verdict is not None:  # confidence, as predict tells it, is that of softmax(log p / temperature)
        told["temperature"] = verdict["temperature"]
    if "pictures" in part.takes:
        told |= {"decoding": DECODING, "background": preset.background}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in told.items()
    }


def measures_of(run: TrainedRun) -> dict[str, Any]:
    """Those of the exported checkpoint."""
    entries = run.folder.read_if_there(RESULTS).items()
    return {name: entry for name, entry in entries if entry.get("checkpoint") in (None, "", run.checkpoint.name)}


def data_of(run: TrainedRun, option: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What one set was, and its licence where the catalog knows it."""
    known = lookup(str(getattr(run.preset, option, "")))
    told = {name: entry[name] for name in ("name", "n", "held_out", "fingerprint") if name in entry}
    told |= {"extra": dict(entry["extra"])} if "extra" in entry else {}
    if known is None:
        return {**told, "licence": "not known to genshift: its owner's"}
    return {**told, "title": known.title, "licence": known.licence, "terms": known.terms}


def _named(value: Any) -> Any:
    """A path's last name: where on whose machine it lay is nobody's business."""
    return PurePath(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
