"""What a run folder says of its run, read once: results, curves, evaluation, scores and choice, whatever of them there
is. Everything that reports on runs reads them here. The folder itself, with its checkpoints, is `runs/folder.py`.
Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from genshift.errors import Refusal
from genshift.runs import files
from genshift.runs.folder import CHOICE, SCORES
from genshift.runs.results import RESULTS, Measure, Results

ADAPTATION = "adaptation"
DIFFUSION = "diffusion"
GENERATORS = ("gan", "vae", DIFFUSION)
RESOLVED = ("seed", "images", "epochs", "precision")  # fields that config.json states apart, as they were used
SOURCE_ONLY = "source_only_accuracy"  # of evaluation.json, selection.json and scores.json
LogRow = dict[str, Any]  # of metrics.jsonl and oracle.jsonl: images seen, and whatever was logged then
Score = Any  # a checkpoint's row of scores.json: `selection.rules.ScoreRow`


@dataclass(frozen=True)
class DataRecord:
    """A set that a run learned from, by config.json, and what was noted when it was read; '' or None: it says not."""

    name: str
    n: int | None
    fingerprint: str
    notes: tuple[str, ...]


class Tsne(TypedDict, total=False):
    """Columns of equal length, one entry a point; `domain` is 0 of the source and 1 of the target."""

    x: list[float]
    y: list[float]
    label: list[int | None]
    domain: list[int]
    n: int
    split: str


class Stage(TypedDict, total=False):
    """A VAE's latent space after so many images, as columns of equal length."""

    images: int
    x: list[float]
    y: list[float]
    label: list[int]


class PictureEntry(TypedDict, total=False):
    """A picture of the run folder, what it shows, and texts below equal parts of its width; of a grid over training
    also the images seen."""

    file: str
    title: str
    caption: str
    under: list[str]
    images: int


# "class" is no name in Python.
ClassRow = TypedDict(
    "ClassRow",
    {
        "class": str,
        "n": int,
        "accuracy": float | None,
        "real_accuracy": float | None,
        "frechet": float | None,
        "floor": float | None,
    },
    total=False,
)
ClassRow.__doc__ = "A conditional generator's pictures of one class, beside real ones."


class Evaluation(TypedDict, total=False):
    """evaluation.json: what reports show of a run beside its measures, and of which checkpoint these are. A family has
    what it writes of it."""

    # Of every family.
    images: int  # that the evaluated checkpoint had seen
    selected: str | None  # the checkpoint that `genshift select` chose
    classes: list[str]
    warnings: list[str]
    drawn: bool  # whether all is there that an evaluation draws when it is asked to
    # Of classifiers and adapted models.
    confusion: list[list[int]]  # true class by predicted class
    attributes: dict[str, float]  # accuracy by attribute
    tsne: Tsne | None  # None where a domain has no images
    source_only_accuracy: float | None  # of the run beside it that was not adapted, on held-out source images
    # Of generators.
    features: str  # the classifier's run in whose features distances were measured
    by_class: list[ClassRow]
    sampling: dict[str, Any]  # how a diffusion model drew
    panel_mse: list[float]  # of the pictures of the panel of reconstructions
    pictures: list[PictureEntry]
    snapshots: list[PictureEntry]  # grids of samples over training
    attribute: str  # what colours `stages`
    stages: list[Stage]  # a VAE's latent space over training


class Choice(TypedDict, total=False):
    """selection.json: which checkpoint a rule took, and after how many images."""

    rule: str
    checkpoint: str
    images: int


class SweepMeasures(TypedDict, total=False):
    """What a sweep measures of a setting, over n pictures; `accuracy` is None without classes."""

    accuracy: float | None
    accuracy_error: float | None
    frechet: float
    frechet_error: float | None
    floor: float
    evaluations: float
    seconds_per_image: float
    n: int


class SweepRow(SweepMeasures, total=False):
    """One setting of a sweep: `sampling` is how pictures were drawn."""

    axis: str
    setting: str
    sampling: dict[str, Any]


class Best(TypedDict, total=False):
    """The setting that a finished sweep chose, of which checkpoint, and why; sampling.json holds it too."""

    sampling: dict[str, Any]
    images: int
    why: str


class Sweep(TypedDict, total=False):
    """sweep.json: the conditions that all rows were measured under, the rows, and the best of them."""

    images: int
    features: str
    features_images: int
    reference: str
    n: int
    seed: int
    machine: str
    rule: str
    rows: list[SweepRow]
    best: Best | None


@dataclass(frozen=True, eq=False)  # two records are one only where they are the same object, and can be keys
class RunRecord:
    """One run as its folder tells it. What was not measured, chosen or swept is empty.

    `scores` are those of its checkpoints, and `choice` what a rule took of them, without target labels.
    `source_only_accuracy` is that of the run that was not adapted, on held-out source images; None where no file says.
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
    config = _read_object(folder / "config.json")
    if not isinstance(config.get("preset"), dict) or not isinstance(config["preset"].get("name"), str):
        raise Refusal(f"'{folder / 'config.json'}' names no preset: expected a file that `genshift train` wrote.")
    evaluation, choice = (_read_if_there(folder / name) for name in ("evaluation.json", CHOICE))
    scores = _read_if_there(folder / SCORES) if curves else {}
    # The newest says it: an evaluation comes after the choice, and that after the scores.
    source_only = (content.get(SOURCE_ONLY) for content in (evaluation, choice, scores))
    return RunRecord(
        folder=folder,
        config=config,
        results=_read_results(folder / RESULTS),
        evaluation=cast(Evaluation, evaluation),
        metrics=files.read_jsonl(folder / "metrics.jsonl") if curves else [],
        oracle=files.read_jsonl(folder / "oracle.jsonl") if curves else [],
        sweep=cast(Sweep, _read_if_there(folder / "sweep.json") if curves else {}),
        scores=scores.get("checkpoints", []),
        choice=cast(Choice, choice),
        source_only_accuracy=next((float(value) for value in source_only if value is not None), None),
    )


def _read_object(path: Path) -> dict[str, Any]:
    """The object in `path`; Refusal where it is missing, not JSON, or not an object."""
    content = files.read_json(path, "name a folder that `genshift train` wrote")
    if not isinstance(content, dict):
        raise Refusal(f"'{path}' holds a {type(content).__name__}: expected a JSON object.")
    return content


def _read_if_there(path: Path) -> dict[str, Any]:
    return _read_object(path) if path.exists() else {}


def _read_results(path: Path) -> Results:
    """The measures of a run; an entry whose value is null was not measured."""
    results = {}
    for metric, entry in _read_if_there(path).items():
        value = entry.get("value") if isinstance(entry, dict) else entry
        if not isinstance(entry, dict) or not isinstance(value, int | float | None):
            raise Refusal(f"'{path}' gives no number for '{metric}': expected {{\"value\": number, …}}.")
        if value is not None:
            results[metric] = Measure.from_json(entry)
    return results


def _data_record(entry: Mapping[str, Any]) -> DataRecord:
    notes = entry.get("notes") or entry.get("note") or []
    listed = notes if isinstance(notes, list) else [notes]  # older runs wrote one note
    name, fingerprint = (str(entry.get(key) or "") for key in ("name", "fingerprint"))
    return DataRecord(name, entry.get("n"), fingerprint, tuple(map(str, listed)))
