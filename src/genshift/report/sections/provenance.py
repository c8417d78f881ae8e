"""What every section ends with: settings with their origins, networks, data, and how to make the runs again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from genshift.report.blocks import Block, Cell, Heading, Printed, Prose, Table
from genshift.report.model.formatting import counted, data_notes
from genshift.report.model.grouping import Group
from genshift.runs.records import RunRecord

SETTINGS_NOTE = (
    "published: the report states it · cited source: the report names it · ours · "
    "yours: given on the command line, or by the study's budget."
)
SPECTRAL_NORM = "spectral normalisation on every layer"


def provenance(groups: Sequence[Group]) -> list[Block]:
    """Settings, networks, data and commands of the runs of a section."""
    return _settings(groups) + _networks(groups) + _data(groups) + _reproduce(groups)


def _settings(groups: Sequence[Group]) -> list[Block]:
    """Every setting of every role, each with its origin; one cell where all roles agree."""
    keys = [key for key in dict.fromkeys(key for group in groups for key in group.first.fields) if key != "seed"]
    if not any(group.first.fields.get("epochs") for group in groups):
        keys = [key for key in keys if key != "epochs"]
    if not keys:
        return []
    body = [[Cell(key), *_setting_cells(groups, key)] for key in keys]
    head = ["", *(group.label for group in groups)]
    return [Heading("Settings"), Table(head, [("", body)], SETTINGS_NOTE, prose=True)]


def _setting_cells(groups: Sequence[Group], key: str) -> list[Cell]:
    cells = [_setting(group.first, key) for group in groups]
    if all(cell == cells[0] for cell in cells):
        return [Cell(cells[0].text, cells[0].badge, span=len(cells))]
    return cells


def _setting(run: RunRecord, key: str) -> Cell:
    """A value as it was used; what config.json says apart from the preset goes before the preset."""
    if key not in run.fields:
        return Cell("–")
    value, origin = run.fields[key], run.origins.get(key, "")
    if key == "images":
        return _budget(run, value, origin)
    if key == "epochs":
        return Cell(f"{_text(value)} behind the {_preset_word(origin)} budget", origin) if value else Cell("–")
    if key == "precision" and value == "auto" and run.config.get("precision"):
        return Cell(f"auto: {run.config['precision']}", origin)
    return Cell(_text(value), origin)


def _budget(run: RunRecord, preset: int, origin: str) -> Cell:
    """The images that the run was given, beside the preset's where that is another budget."""
    used = int(run.config.get("images", preset))
    batch = run.fields.get("batch") or run.fields.get("batch_target" if run.method == "target" else "batch_source", 1)
    if preset <= used < preset + batch:  # the last batch is whole
        return Cell(f"{used:,}", origin)
    return Cell(f"{used:,} (of {preset:,} {_preset_word(origin)})", "yours")


def _preset_word(origin: str) -> str:
    return "published" if origin.startswith("published") else "preset"


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _networks(groups: Sequence[Group]) -> list[Block]:
    """Every network once, as print(net) shows it, with its parameters."""
    found: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for name, printed in (group.first.config.get("networks") or {}).items():
            found.setdefault((_network_title(group.first, name), str(printed)), []).append(group.label)
    if not found:
        return []
    folded = [Printed(printed, f"{title} · {', '.join(labels)}") for (title, printed), labels in found.items()]
    return [Heading("Networks"), *folded]


def _network_title(run: RunRecord, name: str) -> str:
    """The name, the parameters, and the spectral normalisation that print(net) does not show."""
    count = (run.config.get("parameters") or {}).get(name)
    names = list(run.config.get("networks") or {})
    normed = run.fields.get("spectral_norm") == "on" and name == names[-1]  # a GAN's: generator, discriminator
    said = [name, f"{count:,} parameters" if count is not None else "", SPECTRAL_NORM if normed else ""]
    return " · ".join(filter(None, said))


def _data(groups: Sequence[Group]) -> list[Block]:
    """The sets that the runs learned from, once each, and below them what was noted when they were read."""
    rows: dict[tuple[str, str], list[Cell]] = {}
    notes: dict[str, None] = {}
    for group in groups:
        for part, entry in (group.first.config.get("data") or {}).items():
            rows[part, json.dumps(entry, sort_keys=True)] = _data_cells(part, entry)
            notes.update(dict.fromkeys(data_notes(entry)))
    if not rows:
        return []
    head = ["", "set", "images", "fingerprint"]
    return [Heading("Data"), Table(head, [("", list(rows.values()))], " ".join(notes), prose=True)]


def _data_cells(part: str, entry: dict[str, Any]) -> list[Cell]:
    count = entry.get("n")
    return [
        Cell(part.replace("_", " ")),
        Cell(str(entry.get("name", "–"))),
        Cell("–" if count is None else f"{count:,}"),
        Cell(str(entry.get("fingerprint", "–"))),
    ]


def _reproduce(groups: Sequence[Group]) -> list[Block]:
    """The commands, and the machine and versions they ran on."""
    runs = [run for group in groups for run in group.runs]
    commands = "\n".join(dict.fromkeys(run.config["command"] for run in runs if run.config.get("command")))
    blocks: list[Block] = [Heading("To reproduce")]
    if commands:
        blocks.append(Printed(commands))
    blocks.append(Prose(" · ".join(dict.fromkeys(_machine(run.config) for run in runs))))
    environments = dict.fromkeys(_environment(run.config) for run in runs)
    return blocks + [Printed(text, "Environment") for text in environments if text]


def _machine(config: dict[str, Any]) -> str:
    parts = [f"genshift {config.get('genshift', '?')}", config.get("machine"), config.get("device")]
    parts.append(counted(config["threads"], "thread") if config.get("threads") else None)
    parts.append(f"{config['world']} processes" if config.get("world", 1) > 1 else None)
    precision = config.get("precision")
    reason = f" ({config['precision_reason']})" if config.get("precision_reason") else ""
    parts.append(f"{precision}{reason}" if precision else None)
    return ", ".join(str(part) for part in parts if part)


def _environment(config: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {_text(value)}" for key, value in (config.get("environment") or {}).items())
