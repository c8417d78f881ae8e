"""A run in the form that a model hub expects: a folder that holds what it answers with, and nothing of its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import torch

from genshift.data.files import is_archive
from genshift.data.packed import replacing
from genshift.errors import Refusal
from genshift.exporting.about import data_of, measures_of
from genshift.exporting.model_card import model_card
from genshift.presets import Generator, Preset
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint, pack_networks
from genshift.runs.files import write_json, write_text
from genshift.runs.folder import WEIGHTS, RunFolder
from genshift.runs.forms import CHOICE, CONFIG, EVALUATION, RESULTS, SAMPLING
from genshift.runs.results import Measure
from genshift.runs.trained_run import WEAK, TrainedRun, open_run
from genshift.sampling.sampler_settings import swept
from genshift.sampling.trained_generator import MIXTURE, open_generator
from genshift.selection.checkpoint_selection import verdict_of_run
from genshift.training.console import say_training

README = "README.md"
HELD = (README, CONFIG, RESULTS, CHOICE, SAMPLING, WEIGHTS, MIXTURE, f"checkpoints/{WEAK}")
# Of config.json what opens a model again and says how it was made; the rest says where on whose machine.
KEPT = (
    *("genshift", "preset", "seed", "images", "minutes", "classes", "precision", "precision_reason", "device"),
    *("machine", "threads", "world", "gflop_per_image", "networks", "parameters"),
)
SETS = ("source", "target", "data", "extra", "held_out")  # options that name pictures
PLACE = re.compile(r"(?<![\w.])(?:[A-Za-z]:|~|\.\.?)?[/\\](?:[^/\\\s]+[/\\])*(?=[\w.-])")  # of a path all but its end


def bundle(run: RunFolder, out: Path, licence: str | None = None, repo: str | None = None) -> Path:
    """Writes what a run answers with into the folder `out`, whole or not at all, and returns it.

    licence: of the weights, by the hub's name of it. repo: where it will lie on a hub, for the loading line. An earlier
    bundle at `out` is replaced. Raises Refusal for a run without a checkpoint or a prior that fits it, for a bundle,
    and where anything else stands at `out`.
    """
    run.check_no_bundle()
    _check_place(out)
    opened = open_run(run, on="cpu")
    say_training(opened)
    others = open_generator(run).weights[1:] if isinstance(opened.preset, Generator) else ()
    with replacing(out, WEIGHTS, "bundle") as fresh:
        _write(opened, others, fresh, licence, repo)
        again = open_run(RunFolder(fresh), on="cpu").method
        ours, theirs = pack_networks(opened.method.networks), pack_networks(again.networks)
        if not all(torch.equal(theirs[name], tensor) for name, tensor in ours.items()):
            raise Refusal(f"{out} does not hold what was written: the disk may be damaged; write elsewhere.")
    return out


def check_bundle(folder: Path) -> None:
    """Refuses a bundle in which anything lies that `bundle` does not write."""
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    if strangers := [name for name in there if name not in HELD]:
        raise Refusal(f"{folder} holds {strangers[0]}, which is no bundle's: move it out, or name another folder.")


def _check_place(out: Path) -> None:
    """Refuses a place where anything but a bundle stands: it would be replaced."""
    if RunFolder(out).is_bundle:
        check_bundle(out)
        if "bundle" not in RunFolder(out).config:
            raise Refusal(f"{out} holds a model that genshift did not write: name another folder.")


def _write(run: TrainedRun, others: tuple[Path, ...], out: Path, licence: str | None, repo: str | None) -> None:
    """The files of a bundle."""
    config = published_config(run)
    for path in others:  # what pictures depend on beside the networks
        stored = checkpoint.load(path)
        checkpoint.save(out / path.relative_to(run.folder.path), stored)
    about = {"images": checkpoint.about(run.checkpoint)["images"]}
    checkpoint.save(out / WEIGHTS, Checkpoint(pack_networks(run.method.networks), about))
    chosen = swept(run.folder)
    if chosen is not None and chosen["images"] == run.folder.seen:
        write_json(out / SAMPLING, {"sampling": chosen["sampling"], "images": chosen["images"]})
    verdict = verdict_of_run(run.folder)
    if verdict is not None:  # which says, too, how sure the model is of its answers
        write_json(out / CHOICE, {"rule": "bundle", "checkpoint": WEIGHTS, **about, "verdict": verdict})
    told = without_places(run.preset)
    entries = {name: entry for name, entry in measures_of(run).items() if entry["value"] is not None}
    results = {name: _measure(entry, run.preset) for name, entry in entries.items()}
    if results:
        write_json(out / RESULTS, results)
    warnings = [_plain(text, run.preset) for text in run.folder.read_if_there(EVALUATION).get("warnings", [])]
    measures = {name: Measure.from_json(entry) for name, entry in results.items()}
    write_text(out / README, model_card(told, config, measures, warnings, verdict, licence, repo))
    write_json(out / CONFIG, config)


def published_config(run: TrainedRun) -> dict[str, Any]:
    """config.json without paths, names of files, notes on them, and the manifest's digests."""
    preset, stored = without_places(run.preset), run.config["preset"]
    told = {name: run.config[name] for name in KEPT if name in run.config}
    told["preset"] = {**stored, "task": preset.task, "summary": preset.summary, "fields": preset.options()}
    data = {part: data_of(run, part, entry) for part, entry in run.config["data"].items()}
    for entry in (*data.values(), *(entry["extra"] for entry in data.values() if "extra" in entry)):
        entry["name"] = _ended(entry["name"])
    told["data"] = data
    bundled = {"checkpoint": run.checkpoint.name, "seen": run.folder.seen}
    return {**told, "command": "", "bundle": bundled}


def without_places(preset: Preset) -> Preset:
    """The preset with the last names alone of what it was given as paths."""
    values = {name: value for name, value in preset.options().items() if isinstance(value, str) and value}
    paths = {name: value for name, value in values.items() if name in SETS or "/" in value or "\\" in value}
    changed: dict[str, Any] = {name: _ended(value) for name, value in paths.items()}
    return replace(preset, **changed)


def _ended(place: str) -> str:
    """The last name of a place; of a list or an archive without its ending, for its name is a file's."""
    name = PurePath(place.replace("\\", "/")).name or place
    return name.partition(".")[0] if name.lower().endswith(".csv") or is_archive(Path(name)) else name


def _plain(text: str, preset: Preset) -> str:
    """A sentence on the run without the places of anything in it."""
    for name in SETS:
        place = getattr(preset, name, "")
        if place and place != _ended(place):
            text = text.replace(place, _ended(place)).replace(PurePath(place).name, _ended(place))
    return PLACE.sub("", text)


def _measure(entry: Mapping[str, Any], preset: Preset) -> dict[str, Any]:
    """An entry of results.json, of the bundle's own checkpoint."""
    told = {**entry, "protocol": _plain(str(entry.get("protocol") or ""), preset)}
    return told | {"checkpoint": WEIGHTS} if entry.get("checkpoint") else told
