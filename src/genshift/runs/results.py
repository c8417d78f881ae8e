"""results.json and card.md: the form in which measures of a run are written, whatever was measured.

`evaluation/` takes the measures; `report/` reads the files again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genshift.errors import Refusal
from genshift.presets import Preset
from genshift.runs.folder import RunFolder
from genshift.runs.forms import RESULTS

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Measure:
    """One entry of results.json.

    n: images that `value` was measured on; 0 where a file does not say. std: its standard error, or its deviation over
    series, as `protocol` says. interval: the 95% interval of a share of few images. floor: the same measure between
    real pictures. data: the digest of the real images that it is of, and checkpoint: the file that was measured; '' of
    what depends on none, or where a file does not say.
    """

    value: float
    n: int
    protocol: str
    std: float | None = None
    floor: float | None = None
    data: str = ""
    checkpoint: str = ""
    interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry; what it has not has no key."""
        entry = {"value": self.value, "std": self.std, "n": self.n, "protocol": self.protocol}
        interval = None if self.interval is None else list(self.interval)
        others = {
            "interval": interval,
            "floor": self.floor,
            "data": self.data or None,
            "checkpoint": self.checkpoint or None,
        }
        return {**entry, **{name: value for name, value in others.items() if value is not None}}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Measure:
        """The measure that an entry holds."""
        n, protocol = entry.get("n") or 0, str(entry.get("protocol") or "")
        of = {name: str(entry.get(name) or "") for name in ("data", "checkpoint")}
        low, high = entry.get("interval") or (None, None)
        interval = None if low is None or high is None else (low, high)
        return cls(entry["value"], n, protocol, entry.get("std"), entry.get("floor"), **of, interval=interval)


Results = dict[str, Measure]  # by the metric's name, in the order of results.json


def results_as_json(results: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    """What results.json holds."""
    return {name: measure.as_json() for name, measure in results.items()}


def read_results(run: RunFolder) -> Results:
    """The measures of a run, but for those whose value is null: they were not taken. Refusal where it was not
    evaluated."""
    entries = run.read(RESULTS).items()
    return {name: Measure.from_json(entry) for name, entry in entries if entry["value"] is not None}


def as_frame(rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """A pandas DataFrame of rows; Refusal where pandas is missing."""
    try:
        from pandas import DataFrame
    except ImportError:
        raise Refusal("A frame needs pandas, which is not installed: pip install 'genshift[pandas]'.") from None
    return DataFrame([dict(row) for row in rows])


def training_costs(run: RunFolder) -> Results:
    """Processor minutes and speed of a run's training; empty where it logged nothing."""
    rows = run.rows()
    if not rows:
        return {}
    config = run.config
    # Both count over all sittings, so the largest is the whole.
    seconds, cpu_seconds = (max(row.get(key, 0.0) for row in rows) for key in ("seconds", "cpu_seconds"))
    trained = max(row["images"] for row in rows)
    processor = f"processor time of the training loop, {config['threads']} threads, {config['machine']}"
    return {
        "cpu_minutes": Measure(cpu_seconds / 60 * config["world"], trained, processor),
        "images_per_second": Measure(trained / seconds, trained, f"training loop; {config['machine']}"),
    }


def as_text(value: float | None) -> str:
    """A measure in print: four decimals, or three digits where those would not show; nothing for none."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"


def spanned(interval: Sequence[float] | None) -> str:
    """A 95% interval in print; nothing for none."""
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"


def card(run: RunFolder, preset: Preset, results: Mapping[str, Measure], warnings: Sequence[str]) -> str:
    """A page in Markdown that says what the model is, from what, how good, and how to make it again."""
    config = run.config
    lines = [f"# {preset.name}, seed {config['seed']}", "", f"{preset.task}: {preset.summary}.", ""]
    lines += [*measures_table(results), "", *[f"**Warning.** {warning}" for warning in warnings]]
    lines += ["", "Trained on:", ""]
    for part, data in config["data"].items():
        extra = f" ({data['extra']['n']:,} of them from {data['extra']['name']})" if "extra" in data else ""
        lines.append(f"- {part}: {data['name']}, {data['n']:,} images{extra}, {data['fingerprint']}")
    lines += ["", f"Again: `{config['command']}`", ""]
    if preset.family == "adaptation":
        lines += ["Target labels were used for the oracle measures alone.", ""]
    return "\n".join(lines)


def measures_table(results: Mapping[str, Measure]) -> list[str]:
    """The lines of a Markdown table of measures."""
    lines = ["| measure | value | std | floor | n | protocol |", "|---|---|---|---|---|---|"]
    for name, measure in results.items():
        value, *others = map(as_text, (measure.value, measure.std, measure.floor))
        numbers = " | ".join([value + spanned(measure.interval), *others])
        lines.append(f"| {name} | {numbers} | {measure.n:,} | {measure.protocol} |")
    return lines
