"""Run folders as the report reads them. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genshift.errors import Refusal, of_os_error
from genshift.presets.methods import METHODS
from genshift.runs import files
from genshift.runs.folder import CHOICE, SCORES
from genshift.selection.rules import ScoreRow

RESOLVED = ("seed", "images", "epochs", "precision")  # fields that config.json states apart, as they were used
PARTS = {"source": "source data", "target": "target data", "held_out": "held-out data", "data": "data"}
ADAPTATION = "adaptation"
DIFFUSION = "diffusion"
GENERATORS = ("gan", "vae", DIFFUSION)


@dataclass(frozen=True)
class Run:
    """What one run folder holds. `evaluation` is None where the run was not evaluated, `sweep` where none was made;
    `scores` are those of its checkpoints and `choice` what a rule took of them, without target labels."""

    folder: Path
    config: dict[str, Any]
    results: dict[str, dict[str, Any]]
    evaluation: dict[str, Any] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    oracle: list[dict[str, Any]] = field(default_factory=list)
    sweep: dict[str, Any] | None = None
    scores: list[ScoreRow] = field(default_factory=list)
    choice: dict[str, Any] | None = None

    @property
    def preset(self) -> dict[str, Any]:
        return self.config["preset"]

    @property
    def name(self) -> str:
        return self.preset["name"]

    @property
    def study(self) -> str:
        return self.preset.get("study") or "own"

    @property
    def method(self) -> str:
        return self.preset.get("role") or ""

    @property
    def task(self) -> str:
        return self.preset.get("task") or self.name

    @property
    def family(self) -> str:
        """adaptation, gan, vae, diffusion or classifier; '' for a run that names none.

        Runs before there were others adapt.
        """
        older = ADAPTATION if self.preset.get("task") and self.method else ""
        return self.preset.get("family") or older

    @property
    def adapts(self) -> bool:
        """Whether the run stands in a table of source-only, adapted and trained-on-target."""
        return self.family == ADAPTATION

    @property
    def draws(self) -> bool:
        """Whether the run is a generator of pictures."""
        return self.family in GENERATORS

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is reported with: generators of one kind by their data, whatever study they are of."""
        return ("", self.task, self.family) if self.draws else (self.study, self.task, "" if self.adapts else self.name)

    @property
    def seed(self) -> int:
        return int(self.config.get("seed", 0))

    @property
    def published(self) -> dict[str, float]:
        return self.preset.get("published") or {}

    @property
    def fields(self) -> dict[str, Any]:
        """The preset's settings as they were asked for."""
        return self.preset.get("fields") or {}

    @property
    def evaluated(self) -> bool:
        return bool(self.results)

    @property
    def budget(self) -> int | None:
        """Images that the run was given, in whole batches; None where it was given minutes."""
        found = None if self.config.get("minutes") else self.config.get("images", self.fields.get("images"))
        return None if found is None else int(found)

    @property
    def conditions(self) -> dict[str, str]:
        """Everything but the seed that sets a run apart from another, each as a few words for a label.

        An option without a value is none: earlier versions may not have had it.
        """
        settings = {k: _setting(k, v) for k, v in self.fields.items() if k not in RESOLVED and v != ""}
        budget = f"{self.config.get('minutes')} minutes" if self.budget is None else f"{self.budget:,} images"
        used = {"budget": budget, "precision": str(self.config.get("precision") or self.fields.get("precision"))}
        data = self.config.get("data") or {}
        prints = {
            f"{part} data": f"{PARTS[part]} {_brief(entry.get('fingerprint'))}"
            for part, entry in data.items()
            if part in PARTS
        }
        return {**settings, **used, **prints}

    @property
    def images(self) -> int | None:
        """Images seen in training: as evaluated, or else as logged last; None for a run that logged nothing yet."""
        logged = [row["images"] for row in self.metrics if "images" in row]
        found = self.count("cpu_minutes") or max(logged, default=None)
        return None if found is None else int(found)

    @property
    def cpu_minutes(self) -> float | None:
        seconds = [row["cpu_seconds"] for row in self.metrics if "cpu_seconds" in row]
        logged = max(seconds) / 60 * self.config.get("world", 1) if seconds else None
        return self.value("cpu_minutes") or logged

    @property
    def changed(self) -> list[str]:
        """The options that were given on the command line, but for those that config.json states as they were used."""
        origins = self.preset.get("origins") or {}
        return [key for key in self.fields if str(origins.get(key, "")).startswith("yours") and key not in RESOLVED]

    def value(self, metric: str) -> float | None:
        """A value of results.json, or None where it was not measured."""
        found = self.results.get(metric, {}).get("value")
        return None if found is None else float(found)

    def floor(self, metric: str) -> float | None:
        """The same measure of real pictures, where it was taken."""
        found = self.results.get(metric, {}).get("floor")
        return None if found is None else float(found)

    def protocol(self, metric: str) -> str:
        """How a value was measured, as results.json says it."""
        return str(self.results.get(metric, {}).get("protocol") or "")

    @property
    def drawn(self) -> str:
        """How a diffusion run's pictures were drawn, as results.json says it of the network's evaluations; else ''."""
        return self.protocol("evaluations_per_image").partition("; ")[2]

    def count(self, metric: str) -> int | None:
        found = self.results.get(metric, {}).get("n")
        return None if found is None else int(found)


def read_runs(folders: Iterable[Path], curves: bool = True) -> list[Run]:
    """Every run of `folders`, sorted by study, task, role, preset and seed; Refusal where there is none.

    `curves` reads metrics.jsonl, oracle.jsonl, sweep.json and scores.json too, where the run has come so far as to
    write them.
    """
    runs = [read_run(Path(folder), curves) for folder in folders]
    if not runs:
        raise Refusal("There is no run to report on: expected at least one run folder; `genshift ls` lists them.")
    return sorted(runs, key=_order)


def read_run(folder: Path, curves: bool = True) -> Run:
    """One run folder. Refusal names the file that is missing or broken."""
    if not folder.is_dir():
        raise Refusal(f"There is no run folder at '{folder}': expected a folder that `genshift train` wrote.")
    config = read_json(folder / "config.json")
    if not isinstance(config.get("preset"), dict) or not isinstance(config["preset"].get("name"), str):
        raise Refusal(f"'{folder / 'config.json'}' names no preset: expected a file that `genshift train` wrote.")
    return Run(
        folder=folder,
        config=config,
        results=_read_results(folder / "results.json"),
        evaluation=_read_if_there(folder / "evaluation.json"),
        metrics=read_jsonl(folder / "metrics.jsonl") if curves else [],
        oracle=read_jsonl(folder / "oracle.jsonl") if curves else [],
        sweep=_read_if_there(folder / "sweep.json") if curves else None,
        scores=(_read_if_there(folder / SCORES) or {}).get("checkpoints", []) if curves else [],
        choice=_read_if_there(folder / CHOICE),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; Refusal where it is missing, not JSON, or not an object."""
    content = files.read_json(path, "name a folder that `genshift train` wrote")
    if not isinstance(content, dict):
        raise Refusal(f"'{path}' holds a {type(content).__name__}: expected a JSON object.")
    return content


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of `path`, one a line, none without a file.

    One torn last line is left out; any other broken line is refused.
    """
    lines = _read_text(path).splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_object(line))
        except ValueError as error:
            if number == len(lines):  # a run that was killed, or that is writing just now
                break
            raise Refusal(f"Line {number} of '{path}' is not a JSON object: the file was damaged.") from error
    return rows


def _object(line: str) -> dict[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"'{path}' is not text: expected JSON that genshift wrote.") from error


def _read_if_there(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None


def _read_results(path: Path) -> dict[str, dict[str, Any]]:
    results = _read_if_there(path) or {}
    for metric, entry in results.items():
        value = entry.get("value") if isinstance(entry, dict) else entry
        if not isinstance(entry, dict) or not isinstance(value, int | float | None):
            raise Refusal(f"'{path}' gives no number for '{metric}': expected {{\"value\": number, …}}.")
    return results


def _setting(key: str, value: Any) -> str:
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def _brief(fingerprint: Any) -> str:
    """Enough of a fingerprint to tell two sets apart."""
    return str(fingerprint).removeprefix("sha256:")[:8]


def _order(run: Run) -> tuple[str, str, int, str, str, int, str, int]:
    """Source only first and trained on target last, methods between as their table has them; a preset as it is before
    its variants."""
    places = {name: place for place, name in enumerate(METHODS)}
    changed = run.changed if run.draws else []
    return (
        *(run.study, run.task, places.get(run.method, 1), run.method, run.name),
        *(len(changed), ", ".join(changed), run.seed),
    )
