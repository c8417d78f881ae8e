"""The form in which a run's measures are written, whatever was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genshift.presets import Preset
from genshift.runs.folder import RunFolder


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation was asked for.

    draw: pictures of the latent space too (t-SNE takes about ten seconds). features: a classifier's run, for distances
    in its features. weights: Inception's, for FID. download: whether these may be fetched. sampling: changes to how a
    diffusion model draws, by the names of `presets.Sampling`.
    """

    data_root: Path | None = None
    draw: bool = True
    features: Path | None = None
    weights: Path | None = None
    download: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)


def value_of(
    value: float, n: int, protocol: str, std: float | None = None, floor: float | None = None
) -> dict[str, Any]:
    """One measure as results.json holds it; `floor` is the same measure between real pictures."""
    found = {"value": value, "std": std, "n": n, "protocol": protocol}
    return found if floor is None else {**found, "floor": floor}


def costs(run: RunFolder) -> dict[str, Any]:
    """Processor minutes and speed of a run's training."""
    rows = run.rows()
    if not rows:
        return {}
    config = run.config
    seconds = {key: max(row.get(key, 0.0) for row in rows) for key in ("seconds", "cpu_seconds")}
    trained = max(row["images"] for row in rows)
    processor = f"processor time of the training loop, {config['threads']} threads, {config['machine']}"
    return {
        "cpu_minutes": value_of(seconds["cpu_seconds"] / 60 * config["world"], trained, processor),
        "images_per_second": value_of(trained / seconds["seconds"], trained, f"training loop; {config['machine']}"),
    }


def as_text(value: float | None) -> str:
    """A measure in print: four decimals, or three digits where those would not show; nothing for none."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"


def _as_line(entry: dict[str, Any]) -> str:
    """A set that was trained on: its name, images, those of them that came from elsewhere, and fingerprint."""
    extra = f" ({entry['extra']['n']:,} of them from {entry['extra']['name']})" if "extra" in entry else ""
    return f"{entry['name']}, {entry['n']:,} images{extra}, {entry['fingerprint']}"


def card(run: RunFolder, preset: Preset, results: dict[str, Any], warnings: list[str]) -> str:
    """A page in Markdown that says what the model is, from what, how good, and how to make it again."""
    config = run.config
    lines = [f"# {preset.name}, seed {config['seed']}", "", f"{preset.task}: {preset.summary}.", ""]
    lines += ["| measure | value | std | floor | n | protocol |", "|---|---|---|---|---|---|"]
    for name, r in results.items():
        numbers = " | ".join(as_text(r.get(key)) for key in ("value", "std", "floor"))
        lines.append(f"| {name} | {numbers} | {r['n']:,} | {r['protocol']} |")
    lines += ["", *[f"**Warning.** {warning}" for warning in warnings]]
    lines += ["", "Trained on:", ""]
    lines += [f"- {role}: {_as_line(entry)}" for role, entry in config["data"].items()]
    lines += ["", f"Again: `{config['command']}`", ""]
    if preset.family == "adaptation":
        lines += ["Target labels were used for the oracle measures alone.", ""]
    return "\n".join(lines)
