"""What a run folder says of its run, read once: results, curves, evaluation, scores and choice, whatever of them there
is. Everything that reports on runs reads them here. The folder itself, with its checkpoints, is `runs/folder.py`.
Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genshift.errors import Refusal
from genshift.runs.folder import RunFolder
from genshift.runs.forms import (
    CHOICE,
    CONFIG,
    EVALUATION,
    RESULTS,
    SCORES,
    SWEEP,
    Choice,
    Evaluation,
    LogRow,
    Sweep,
)
from genshift.runs.results import Results, read_results

ADAPTATION = "adaptation"
DIFFUSION = "diffusion"
GENERATORS = ("gan", "vae", DIFFUSION)
REPORTS = ("hw2", "hw3")  # whose presets bear their names
RESOLVED = ("seed", "images", "epochs", "precision")  # fields that config.json states apart, as they were used
SOURCE_ONLY = "source_only_accuracy"  # of evaluation.json, selection.json and scores.json
Score = Any  # a checkpoint's row of scores.json: `selection.rules.ScoreRow`


@dataclass(frozen=True)
class DataRecord:
    """A set that a run learned from, by config.json, and what was noted when it was read; '' or None: it says not."""

    name: str
    n: int | None
    fingerprint: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)  # two records are one only where they are the same object, and can be keys
class RunRecord:
    """One run as its folder tells it. What was not measured, chosen or swept is empty.

    `scores` are those of its checkpoints, and `choice` what a rule took of them, without target labels.
    `source_only_accuracy` is that of the run that was not adapted, on held-out source images; None where no file says.
    `given` are contents that a page takes in the place of files.
    """

    folder: Path
    config: dict[str, Any]
    results: Results
    evaluation: Evaluation = field(default_factory=lambda: Evaluation())
    metrics: list[LogRow] = field(default_factory=list)
    oracle: list[LogRow] = field(default_factory=list)
    sweep: Sweep = field(default_factory=lambda: Sweep())
    scores: list[Score] = field(default_factory=list)
    choice: Choice = field(default_factory=lambda: Choice())
    source_only_accuracy: float | None = None
    given: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def preset(self) -> dict[str, Any]:
        return self.config["preset"]

    @property
    def name(self) -> str:
        return self.preset["name"]

    @property
    def report(self) -> str:
        """The report whose preset this is; '' for one of another."""
        first = self.name.partition("-")[0]
        return first if first in REPORTS else ""

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
    def of_adaptation(self) -> bool:
        """Whether the run stands in a table of source-only, adapted and trained-on-target."""
        return self.family == ADAPTATION

    @property
    def draws(self) -> bool:
        """Whether the run is a generator of pictures."""
        return self.family in GENERATORS

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
    def origins(self) -> dict[str, str]:
        """Where each setting comes from: published, a cited source, ours, or yours."""
        return self.preset.get("origins") or {}

    @property
    def changed(self) -> list[str]:
        """The options that were given on the command line, but for those that config.json states as they were used."""
        return [key for key in self.fields if self.origins.get(key, "").startswith("yours") and key not in RESOLVED]

    @property
    def data(self) -> dict[str, DataRecord]:
        """The sets that the run learned from, by the part they had."""
        return {part: _data_record(entry) for part, entry in (self.config.get("data") or {}).items()}

    @property
    def evaluated(self) -> bool:
        return bool(self.results)

    @property
    def measures_alone(self) -> bool:
        """Whether only measures were kept of it, as records were before 0.3: what it drew is not known."""
        return self.evaluated and not self.evaluation

    @property
    def budget(self) -> int | None:
        """Images that the run was given, in whole batches; None where it was given minutes."""
        given = None if self.config.get("minutes") else self.config.get("images", self.fields.get("images"))
        return None if given is None else int(given)

    @property
    def images(self) -> int | None:
        """Images seen in training: as evaluated, or else as logged last; None for a run that logged nothing yet."""
        logged = [row["images"] for row in self.metrics if "images" in row]
        seen = self.count("cpu_minutes") or max(logged, default=None)
        return None if seen is None else int(seen)

    @property
    def cpu_minutes(self) -> float | None:
        seconds = [row["cpu_seconds"] for row in self.metrics if "cpu_seconds" in row]
        logged = max(seconds) / 60 * self.config.get("world", 1) if seconds else None
        return self.value("cpu_minutes") or logged

    @property
    def oracle_curve(self) -> dict[int, float]:
        """Target accuracy by images seen, where the oracle measured it."""
        return {int(row["images"]): float(row["target_accuracy"]) for row in self.oracle if "target_accuracy" in row}

    def value(self, metric: str) -> float | None:
        """A value of results.json, or None where it was not measured."""
        return float(self.results[metric].value) if metric in self.results else None

    def floor(self, metric: str) -> float | None:
        """The same measure of real pictures, where it was taken."""
        return self.results[metric].floor if metric in self.results else None

    def protocol(self, metric: str) -> str:
        """How a value was measured; '' where nothing says."""
        return self.results[metric].protocol if metric in self.results else ""

    def count(self, metric: str) -> int | None:
        """Of how many images, pictures or samples a value is."""
        return self.results[metric].n if metric in self.results else None

    def file(self, name: str) -> bytes | None:
        """What a file of the folder holds; None where it is missing, or lies outside."""
        if name in self.given:
            return self.given[name]
        path = (self.folder / name).resolve()
        inside = path.is_relative_to(self.folder.resolve())  # a name in a JSON file may lead anywhere
        return path.read_bytes() if inside and path.is_file() else None


def read_record(folder: Path, curves: bool = True) -> RunRecord:
    """One run folder. Refusal names the file that is missing or broken.

    `curves` reads metrics.jsonl, oracle.jsonl, sweep.json and scores.json too, where the run has come so far as to
    write them.
    """
    if not folder.is_dir():
        raise Refusal(f"There is no run folder at '{folder}': expected a folder that `genshift train` wrote.")
    run = RunFolder(folder)
    config = run.config
    if "name" not in config["preset"]:
        raise Refusal(f"'{folder / CONFIG}' names no preset: expected a file that `genshift train` wrote.")
    evaluation, choice = run.read_if_there(EVALUATION), run.read_if_there(CHOICE)
    _check_drawings(evaluation, folder / EVALUATION)
    scores = run.read_if_there(SCORES) if curves else {}
    # The newest says it: an evaluation comes after the choice, and that after the scores.
    source_only = (content.get(SOURCE_ONLY) for content in (evaluation, choice, scores))
    return RunRecord(
        folder=folder,
        config=config,
        results=read_results(run) if (folder / RESULTS).exists() else {},
        evaluation=evaluation,
        metrics=run.rows() if curves else [],
        oracle=run.rows("oracle.jsonl") if curves else [],
        sweep=run.read_if_there(SWEEP) if curves else Sweep(),
        scores=scores.get("checkpoints", []),
        choice=choice,
        source_only_accuracy=next((float(value) for value in source_only if value is not None), None),
    )


def _check_drawings(evaluation: Evaluation, path: Path) -> None:
    """Refuses what cannot be drawn: columns of unlike lengths, a confusion matrix that is not one row a class."""
    tsne = evaluation.get("tsne")
    lengths = [("t-SNE", {len(tsne["x"]), len(tsne["y"]), len(tsne["label"]), len(tsne["domain"])})] if tsne else []
    lengths += [("stage", {len(s["x"]), len(s["y"]), len(s["label"])}) for s in evaluation.get("stages", [])]
    for what, counts in lengths:
        if len(counts) > 1:
            raise Refusal(f"'{path}' gives {what} columns of unlike lengths: evaluate the run again.")
    confusion, classes = evaluation.get("confusion", []), evaluation.get("classes", [])
    if confusion and {len(confusion), *map(len, confusion)} != {len(classes)}:
        raise Refusal(f"'{path}' gives a confusion matrix that is not one row a class: evaluate the run again.")


def _data_record(entry: Mapping[str, Any]) -> DataRecord:
    notes = entry.get("notes") or entry.get("note") or []
    listed = notes if isinstance(notes, list) else [notes]  # older runs wrote one note
    name, fingerprint = (str(entry.get(key) or "") for key in ("name", "fingerprint"))
    return DataRecord(name, entry.get("n"), fingerprint, tuple(map(str, listed)))
