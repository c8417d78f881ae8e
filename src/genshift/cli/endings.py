"""How a command ends: with its result, with what to know of it, and with the next command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from genshift.errors import plain
from genshift.plugins import loaded_files
from genshift.presets import Preset
from genshift.presets.adaptation import same_set
from genshift.presets.benchmark import OWN
from genshift.runs.folder import RunFolder
from genshift.runs.forms import CHOICE, EVALUATION

if TYPE_CHECKING:  # it can show pictures, which help and refusals need not
    from genshift.run import Run


def leads() -> bool:
    """Whether this process speaks: the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str, file: TextIO | None = None) -> None:
    """One line on standard output, or in `file`; control characters of names in it are escaped."""
    print(plain(line), file=file)


def print_json(value: Any) -> None:
    """What --json prints."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def print_results(run: RunFolder) -> None:
    """A table of what was measured of a run, and what its evaluation warns of."""
    from genshift.runs.results import read_results, results_as_json

    print_measures(results_as_json(read_results(run)))
    for warning in run.read(EVALUATION).get("warnings", []):
        say(f"warning: {warning}")


def print_measures(results: Mapping[str, Any]) -> None:
    """A table of what results.json holds."""
    from genshift.runs.results import as_text, spanned

    for name, entry in results.items():
        spread = "" if entry["std"] is None else f" ± {as_text(entry['std'])}"
        spread += spanned(entry.get("interval"))
        floor = f", floor {as_text(entry['floor'])}" if "floor" in entry else ""
        say(f"{name:<30} {as_text(entry['value'])}{spread}{floor}  (n = {entry['n']:,}; {entry['protocol']})")


def print_unfinished(run: RunFolder) -> None:
    """Where a run has more to train and nobody trains it now, that its newest checkpoint answered."""
    from genshift.runs.owner import trained_by

    seen, planned = run.seen, run.config["images"]
    if leads() and seen < planned and trained_by(run) is None:
        say(f"{run.path} is not trained to its end ({seen:,} of {planned:,} images): its own command continues it.")


def say_trained(runs: Iterable[Path]) -> None:
    """Which of the runs that are shown are being trained just now."""
    from genshift.runs.owner import trained_by

    for run in map(RunFolder, runs):
        if (owner := trained_by(run)) is not None:
            shown = f"what it wrote up to {run.seen:,} images is shown"
            say(f"note: {run.path} is being trained by {owner}; {shown}.", file=sys.stderr)


def print_choice(run: RunFolder, images: str | None = None, warned: bool = False) -> None:
    """What the choice of a checkpoint, where one was made, says of the run; no verdict where `images` are others than
    the run's target, and no warnings where the user was `warned`."""
    from genshift.selection.rules import choice_lines

    if leads() and (run.path / CHOICE).exists():
        target = run.whole_config["preset"]["fields"].get("target", "")
        choice = run.read(CHOICE) | ({"warnings": []} if warned else {})
        for line in choice_lines(choice, verdict=images is None or same_set(images, target)):
            say(line)


def print_next(*words: object, file: TextIO | None = None) -> None:
    """The command that usually follows, on standard output, or in `file`."""
    if leads():
        say(f"next: {command_line(*words)}", file=file)


def print_next_evaluation(run: RunFolder) -> None:
    """After a question to a run: how good it is. A bundle does not know on what to measure that."""
    print_next("export" if run.is_bundle else "evaluate", run.path)


def command_line(*words: object) -> str:
    """A command of genshift as it is typed, with the plugins that are loaded."""
    files = [word for file in loaded_files() for word in ("--plugin", file)]
    return shlex.join(["genshift", *map(str, words), *files])


def end_training(run: Run, as_json: bool, data_root: Path | None) -> None:
    """What a run came to: its results, where it was evaluated, the choice of a checkpoint, and what next."""
    if as_json:
        print_json({"run": str(run.path), "finished": run.finished, "results": run.results, "warnings": run.warnings})
    elif run.finished:
        if run.results:
            print_results(run.folder)
        print_choice(run.folder, warned=bool(run.results))
        after_training(run.folder, data_root)


def after_training(run: RunFolder, data_root: Path | None = None) -> None:
    """The command that a run is trained for."""
    preset = run.whole_config["preset"]
    if "latent" in preset["fields"] or "sampler" in preset["fields"]:
        print_next("sample", run.path, "--count", 100, "--out", "samples")
    else:
        pictures = preset["fields"].get("target") or preset["fields"].get("data")
        print_next("predict", run.path, pictures, "--out", "labels.csv", *where_data_lies(data_root))


def where_data_lies(data_root: Path | None) -> tuple[object, ...]:
    """The flag that a command needs which follows one that was given it."""
    return () if data_root is None else ("--data-root", data_root)


def print_next_training(preset: Preset) -> None:
    """The command that trains what was shown."""
    own = ("--source", "LABELLED", "--target", "UNLABELLED") if getattr(preset, "source", "") == OWN["source"] else ()
    print_next("train", preset.name, *own, "--out", f"runs/{preset.name}")
