"""The one place that reads run folders and turns them into figures of merit.

The page, the console table and docs/results.md all count, group and average here, so they cannot disagree.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genshift.engine import files
from genshift.errors import Refusal, of_os_error

TARGET_ACCURACY = "oracle/target_test_accuracy"
ROLE_NAMES = {"source": "Source only", "dann": "DANN", "adda": "ADDA", "target": "Trained on target"}
BOOKKEEPING = {"cpu_minutes", "images_per_second"}  # in results.json, and no figure of merit
NOT_EVALUATED = "not evaluated yet"
NO_LABELS = "no target labels"
RESOLVED = ("seed", "images", "epochs", "precision")  # fields that config.json states apart, as they were used
SHOWN_APART = 3  # settings in a label, where more set siblings apart


@dataclass(frozen=True)
class Run:
    """What one run folder holds. `evaluation` is None where the run was not evaluated."""

    folder: Path
    config: dict[str, Any]
    results: dict[str, dict[str, Any]]
    evaluation: dict[str, Any] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    oracle: list[dict[str, Any]] = field(default_factory=list)

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
    def role(self) -> str:
        return self.preset.get("role") or ""

    @property
    def task(self) -> str:
        return self.preset.get("task") or self.name

    @property
    def adapts(self) -> bool:
        """Whether the run stands in a table of source-only, adapted and trained-on-target."""
        return bool(self.preset.get("task") and self.role)

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
        """Everything but the seed that sets a run apart from another, each as a few words for a label."""
        settings = {k: _setting(k, v) for k, v in self.fields.items() if k not in RESOLVED}
        budget = f"{self.config.get('minutes')} minutes" if self.budget is None else f"{self.budget:,} images"
        used = {"budget": budget, "precision": str(self.config.get("precision") or self.fields.get("precision"))}
        data = self.config.get("data") or {}
        prints = {
            f"{part} data": f"{part.replace('_', '-')} data {_brief(entry.get('fingerprint'))}"
            for part, entry in data.items()
            if part in ("source", "target", "held_out")
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

    def value(self, metric: str) -> float | None:
        """A value of results.json, or None where it was not measured."""
        found = self.results.get(metric, {}).get("value")
        return None if found is None else float(found)

    def count(self, metric: str) -> int | None:
        found = self.results.get(metric, {}).get("n")
        return None if found is None else int(found)


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, in the order of their seeds."""

    study: str
    task: str
    role: str
    label: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run whose figures are drawn: the lowest seed that was evaluated, or else the lowest seed."""
        return next((run for run in self.runs if run.evaluation), self.runs[0])


@dataclass(frozen=True)
class Row:
    """One measured value over the seeds of a group.

    `mean` is None before evaluation; `sd` (n − 1 in the denominator) needs two seeds; `standard_error` is the
    binomial one of the test images for an accuracy, None for another measure.
    """

    study: str
    task: str
    role: str
    label: str
    metric: str
    mean: float | None
    sd: float | None
    seeds: tuple[int, ...]
    n: int | None
    standard_error: float | None
    published: float | None
    images: tuple[int, ...]
    cpu_minutes: float | None
    group: Group

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return None if self.mean is None or self.published is None else self.mean - self.published

    @property
    def is_accuracy(self) -> bool:
        return self.metric.endswith("accuracy")


def read_runs(folders: Iterable[Path], curves: bool = True) -> list[Run]:
    """Every run of `folders`, sorted by study, task, role and seed; Refusal where there is none.

    `curves` reads metrics.jsonl and oracle.jsonl too, where the run has come so far as to write them.
    """
    runs = [read_run(Path(folder), curves) for folder in folders]
    if not runs:
        raise Refusal("There is no run to report on: expected at least one run folder; `genshift ls` lists them.")
    return sorted(runs, key=lambda run: (run.study, run.task, _role_order(run.role), run.name, run.seed))


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


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs that share study, task, role, preset and every condition but the seed. Order of `runs` is kept."""
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        conditions = json.dumps(run.conditions, sort_keys=True)
        found.setdefault((run.study, run.task, run.role, run.name, conditions), []).append(run)
    siblings: dict[tuple[str, str, str], list[Run]] = {}
    for members in found.values():
        first = members[0]
        siblings.setdefault((first.study, first.task, first.role), []).append(first)
    labels = {id(run): label for group in siblings.values() for run, label in zip(group, _labels(group), strict=True)}
    return [
        Group(first.study, first.task, first.role, labels[id(first)], tuple(members))
        for members in found.values()
        for first in members[:1]
    ]


def _labels(siblings: Sequence[Run]) -> list[str]:
    """For each the role's name, with what sets it apart where a role was trained in more than one way."""
    bases = [role_name(run.role) if run.adapts else run.name for run in siblings]
    if len(siblings) == 1:
        return bases
    conditions = [run.conditions for run in siblings]
    keys = [key for key in _union(conditions) if len({condition.get(key) for condition in conditions}) > 1]
    shown = keys[:SHOWN_APART]
    if not _apart(conditions, shown):
        shown = keys
    named = not _apart(conditions, shown)  # presets of unlike names and the same settings
    return [
        ", ".join([base, *([run.name] if named else []), *(own[key] for key in shown if key in own)])
        for base, run, own in zip(bases, siblings, conditions, strict=True)
    ]


def _apart(conditions: Sequence[dict[str, str]], keys: Sequence[str]) -> bool:
    return len({tuple(own.get(key) for key in keys) for own in conditions}) == len(conditions)


def _union(conditions: Sequence[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for own in conditions for key in own))


def _setting(key: str, value: Any) -> str:
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def _brief(fingerprint: Any) -> str:
    """Enough of a fingerprint to tell two sets apart."""
    return str(fingerprint).removeprefix("sha256:")[:8]


def role_name(role: str) -> str:
    return ROLE_NAMES.get(role, role)


def _role_order(role: str) -> tuple[int, str]:
    return {"source": 0, "": 1, "target": 2}.get(role, 1), role


def summarise(runs: Sequence[Run]) -> list[Row]:
    """One row a group for target accuracy; for a run without a role, one row a metric."""
    return [_row(group, metric) for group in group_runs(runs) for metric in _metrics(group)]


def _metrics(group: Group) -> list[str]:
    if group.runs[0].adapts:
        return [TARGET_ACCURACY]
    return sorted({metric for run in group.runs for metric in run.results} - BOOKKEEPING) or ["–"]


def _row(group: Group, metric: str) -> Row:
    measured = [(run, value) for run in group.runs if (value := run.value(metric)) is not None]
    values = [value for _, value in measured]
    mean = statistics.fmean(values) if values else None
    counts = [run.count(metric) for run, _ in measured]
    counted = [run for run, _ in measured] or group.runs  # a run that still trains says nothing of what the mean cost
    minutes = [run.cpu_minutes for run in counted if run.cpu_minutes is not None]
    return Row(
        study=group.study,
        task=group.task,
        role=group.role,
        label=group.label,
        metric=metric,
        mean=mean,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(run.seed for run, _ in measured),
        n=counts[0] if counts else None,
        standard_error=_binomial(mean, counts[0]) if metric.endswith("accuracy") and counts else None,
        published=_published(group.runs[0], metric),
        images=tuple(sorted({run.images for run in counted if run.images is not None})),
        cpu_minutes=statistics.fmean(minutes) if minutes else None,
        group=group,
    )


def _binomial(share: float | None, n: int | None) -> float | None:
    return math.sqrt(max(0.0, share * (1 - share)) / n) if share is not None and n else None


def _published(run: Run, metric: str) -> float | None:
    return run.published.get("target_accuracy" if metric == TARGET_ACCURACY else metric)


def cautions(runs: Sequence[Run]) -> list[str]:
    """What a reader must know before trusting a table: evaluators' warnings, adapted below source-only."""
    said = [
        f"{run.name}, seed {run.seed}: {text}" for run in runs for text in (run.evaluation or {}).get("warnings", [])
    ]
    for group in group_runs(runs):
        seeds = [run.seed for run in group.runs]
        if twins := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            said.append(f"{group.task}, {group.label}: seed {twins[0]} was given more than once and counts each time.")
    rows = summarise(runs)
    return said + [short.text for short in shortfalls(rows) if short.kind == "below source only"]


@dataclass(frozen=True)
class Shortfall:
    """A row that is below what it should reach."""

    row: Row
    kind: str  # "below published" or "below source only"
    text: str


def shortfalls(rows: Sequence[Row]) -> list[Shortfall]:
    """Rows below their published figure, and adapted rows below source-only of the same task."""
    found = []
    for row in rows:
        if row.mean is None or not row.is_accuracy:
            continue
        where = f"{row.task}, {row.label}"
        if row.published is not None and row.mean < row.published:
            text = f"{where}: {percent(row.mean)} %, below the published {percent(row.published)} %"
            found.append(Shortfall(row, "below published", text))
        base = _source_only(row, rows)
        if base is not None and row.mean < base:
            text = f"{where}: {percent(row.mean)} %, below source only at {percent(base)} %"
            found.append(Shortfall(row, "below source only", text))
    return found


def _source_only(row: Row, rows: Sequence[Row]) -> float | None:
    """The source-only accuracy to hold an adapted row against: of the nearest budget, the highest."""
    if row.role in ("source", "target", ""):
        return None
    base = [r for r in rows if (r.study, r.task, r.role) == (row.study, row.task, "source") and r.mean is not None]
    gaps = [abs(sum(r.images) - sum(row.images)) for r in base]
    return max((r.mean or 0.0 for r, gap in zip(base, gaps, strict=True) if gap == min(gaps)), default=None)


def counted(number: int, word: str) -> str:
    """A number and its noun, e.g. "1 process", "2 processes"."""
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def data_notes(entry: dict[str, Any]) -> list[str]:
    """What was noted when a set was read, of one entry of config.json's data."""
    notes = entry.get("notes") or entry.get("note") or []
    return [str(note) for note in (notes if isinstance(notes, list) else [notes])]


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with two digits, without its sign."""
    return f"{100 * share:.2f}"


def ours_text(row: Row) -> str:
    """The measured value: mean ± sd over seeds, or for one seed ± the binomial standard error, marked so."""
    if row.mean is None:
        return unmeasured_text(row.group, row.metric)
    show = percent if row.is_accuracy else "{:.4g}".format
    if row.sd is not None:
        return f"{show(row.mean)} ± {show(row.sd)}"
    return f"{show(row.mean)} ± {show(row.standard_error)} (se)" if row.standard_error is not None else show(row.mean)


def unmeasured_text(group: Group, metric: str) -> str:
    """Why a group has no such value."""
    if metric != TARGET_ACCURACY:
        return NOT_EVALUATED if not any(run.evaluated for run in group.runs) else "–"
    return NO_LABELS if any(run.evaluated for run in group.runs) else NOT_EVALUATED


def published_text(row: Row) -> str:
    if row.published is None:
        return "–"
    return percent(row.published) if row.is_accuracy else f"{row.published:.4g}"


def difference_text(row: Row) -> str:
    if row.difference is None:
        return "–"
    text = f"{100 * row.difference:+.2f}" if row.is_accuracy else f"{row.difference:+.4g}"
    return text.replace("-", "−")


def images_text(row: Row) -> str:
    """Images seen, as one number or as the range over seeds."""
    return "–".join(f"{n:,}" for n in sorted({row.images[0], row.images[-1]})) if row.images else "–"


def minutes_text(row: Row) -> str:
    return "–" if row.cpu_minutes is None else f"{row.cpu_minutes:.1f}"


def seeds_text(row: Row) -> str:
    """How many seeds, and which, e.g. "3 (0, 1, 2)"."""
    return f"{len(row.seeds)} ({', '.join(str(seed) for seed in row.seeds)})" if row.seeds else "–"
