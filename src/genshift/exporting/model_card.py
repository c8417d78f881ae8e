"""README.md of a bundle: what the model is, from what, how good, its limits, and how to load it; for a model hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genshift.errors import plain
from genshift.presets import Adaptation, Preset
from genshift.presets.methods import METHODS
from genshift.runs.results import Measure, measures_table
from genshift.selection.verdict import Verdict, sentence

Config = Mapping[str, Any]
SHOWN = 40  # classes that are named


def model_card(
    preset: Preset,
    config: Config,
    results: Mapping[str, Measure],
    warnings: Sequence[str],
    verdict: Verdict | None = None,
    licence: str | None = None,
    repo: str | None = None,
) -> str:
    """The page in Markdown, below a header of YAML.

    preset, config, results: as the bundle tells them. warnings: of the run's evaluation. verdict: of an
    adapted run, on its target. licence: of the weights, by the hub's name of it; None leaves it unsaid. repo: where the
    bundle lies on a hub; None: it is in a folder.
    """
    sections = [
        ("Load it", _loading(preset, repo)),
        ("What it learnt from", _data(config)),
        ("How good it is", _measures(results, verdict)),
        ("Limits", [f"- {plain(line)}" for line in (*_limits(preset, config), *warnings)]),
    ]
    lines = ["---", *_header(preset, results, licence), "---", "", f"# {preset.name}", ""]
    lines += [plain(f"{preset.task}: {preset.summary}."), *_classes(config)]
    for title, body in sections:
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _header(preset: Preset, results: Mapping[str, Measure], licence: str | None) -> Iterator[str]:
    """Lines of YAML, whose values are JSON, which YAML holds too."""
    told: dict[str, Any] = {"library_name": "genshift"}
    if licence is not None:
        told["license"] = licence
    told["pipeline_tag"] = "unconditional-image-generation" if preset.draws else "image-classification"
    told["tags"] = list(dict.fromkeys(["genshift", preset.family, preset.method, "pytorch"]))
    if measured := {name: measure for name, measure in results.items() if measure.data}:
        metrics = [_metric(name, measure) for name, measure in measured.items()]
        task = {"type": told["pipeline_tag"]}
        dataset = {"name": preset.task, "type": _dataset(preset)}
        told["model-index"] = [
            {"name": preset.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    for name, value in told.items():
        yield plain(f"{name}: {json.dumps(value, ensure_ascii=False)}")


def _metric(name: str, measure: Measure) -> dict[str, Any]:
    """A measure as the hub's index of models has it: with its n, floor and protocol as arguments."""
    others = {"n": measure.n, "std": measure.std, "floor": measure.floor, "protocol": measure.protocol}
    args = {key: value for key, value in others.items() if value is not None}
    return {"type": name.rpartition("/")[2], "name": name, "value": measure.value, "args": args}


def _dataset(preset: Preset) -> str:
    """The set that is measured on."""
    return str(preset.options().get("target") or preset.options()["data"])


def _classes(config: Config) -> list[str]:
    """A line that names what it learnt to tell apart."""
    names = config["classes"]
    some = ", ".join(names[:SHOWN]) + (f", … ({len(names):,} in all)" if len(names) > SHOWN else "")
    return ["", plain(f"Classes: {some}.")] if names else []


def _loading(preset: Preset, repo: str | None) -> list[str]:
    """Lines that load it and ask it."""
    asks = 'model.predict("picture.jpg")  # or a folder, a PIL picture, an array'
    if preset.draws:
        asks = "model.sample(16, seed=0)  # PIL pictures"
    place, imports = '"FOLDER"', []
    if repo is not None:
        place, imports = f'snapshot_download("{repo}")', ["from huggingface_hub import snapshot_download"]
    lines = ["```python", "import genshift", *imports, "", f"model = genshift.load({place})", asks, "```", ""]
    needed = "`pip install genshift` brings what this needs. Nothing is unpickled, and no code is imported from it."
    if isinstance(preset, Adaptation) and not isinstance(METHODS[preset.method].implementation, str):
        needed += f" Its method, {preset.method}, is a plugin's: load that first (`genshift.load_plugin`)."
    return [*lines, needed]


def _data(config: Config) -> list[str]:
    """A table of the sets, with the licence of each, and how long it learnt from them."""
    lines = ["| set | pictures | held out | licence | terms |", "|---|---|---|---|---|"]
    for part, entry in config["data"].items():
        name, held_out = f"{part}: {entry.get('title') or entry['name']}", f"{entry.get('held_out', 0):,}"
        cells = (name, f"{entry['n']:,}", held_out, entry["licence"], entry.get("terms", ""))
        lines.append(f"| {' | '.join(plain(cell).replace('|', '/') for cell in cells)} |")
        if extra := entry.get("extra"):
            lines.append(plain(f"| joined by {extra['name']} | {extra['n']:,} | 0 | its owner's | |"))
    told = f"Trained on {config['images']:,} images, seed {config['seed']}, by genshift {config['genshift']}"
    return [*lines, "", plain(f"{told}; {config['machine']}, {config['precision']}.")]


def _measures(results: Mapping[str, Measure], verdict: Verdict | None) -> list[str]:
    """The verdict, and the table of what was measured of these weights."""
    told = [] if verdict is None else [plain(sentence(verdict)), ""]
    if not results:
        return [*told, "It was not measured."]
    said = "The floor is the same measure of real pictures; n is how many were measured."
    return [*told, said, "", *map(plain, measures_table(results))]


def _limits(preset: Preset, config: Config) -> Iterator[str]:
    """What cannot be expected of such a model."""
    size = f"{preset.size} × {preset.size} pixels"
    if preset.draws:
        yield f"It draws pictures of {size}, of the kind that it learnt from, their faults and gaps among them."
    else:
        yield f"Every picture is brought to {size} and gets one of the answers above, also one that shows none of them."
    if preset.adapts:
        yield "It learnt from a target without labels: measures under oracle/ alone were taken with target labels."
    if config["bundle"]["seen"] < config["images"]:
        yield f"Its training was stopped at {config['bundle']['seen']:,} of {config['images']:,} images."
    yield "What was measured holds for the sets above; of other pictures nothing is known."
    yield "The terms of the sets bind who passes their pictures on; whether they bind these weights is not said here."
