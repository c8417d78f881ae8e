"""What every section ends with: settings with their origins, networks, data, and how to make the runs again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from genshift.presets.base import BY_SIZES, MEASURED
from genshift.report.blocks import Block, Bullets, Cell, Folded, Heading, Printed, Prose, Table
from genshift.report.model.formatting import NONE, counted
from genshift.report.model.page_model import PageModel, Subject
from genshift.runs.records import RunRecord

SETTINGS_NOTE = (
    "published: the report states it · cited source: the report names it · ours · "
    "yours: given on the command line, or by the study's budget · measured, by sizes: told by the data."
)
SPECTRAL_NORM = "spectral normalisation on every layer"


# --- settings ---------------------------------------------------------------------------------------------------------


def settings(subject: Subject) -> list[Block]:
    """The settings that are not the preset's, and folded every one, each with its origin; one cell where all groups
    agree."""
    runs = [group.first for group in subject.groups]
    keys = dict.fromkeys(key for run in runs for key in run.fields if key != "seed")
    if not any(run.fields.get("epochs") for run in runs):  # a budget in images says it all
        keys.pop("epochs", None)
    body, changed = [], []
    for key in keys:
        cells = [_setting(run, key) for run in runs]
        differs = any(cell.badge.startswith(("yours", "ours (the study's", MEASURED, BY_SIZES)) for cell in cells)
        if all(cell == cells[0] for cell in cells):
            cells = [Cell(cells[0].text, cells[0].badge, span=len(cells))]
        body.append([Cell(key), *cells])
        changed += [body[-1]] if differs else []
    if not body:
        return []
    head = ["", *(group.label for group in subject.groups)]
    every = Folded("Every setting, with its origin", [Table(head, [("", body)], SETTINGS_NOTE, prose=True)])
    shown = [Table(head, [("", changed)], "All else is the preset's.", prose=True)] if changed else []
    return [Heading("Settings"), *shown, every]


def _setting(run: RunRecord, key: str) -> Cell:
    """A value as it was used; what config.json says apart from the preset goes before the preset."""
    if key not in run.fields:
        return Cell(NONE)
    value, origin = run.fields[key], run.origins.get(key, "")
    of_preset = "published" if origin.startswith("published") else "preset"
    drawn = run.evaluation.get("sampling") or {}
    if key in drawn and drawn[key] != value:  # the measures below are of pictures that were drawn so
        return Cell(f"{_text(drawn[key])} as measured ({_text(value)} {of_preset})", "yours")
    if key == "images":
        used = int(run.config.get("images", value))
        batch_field = "batch_target" if run.method == "target" else "batch_source"
        batch = run.fields.get("batch") or run.fields.get(batch_field, 1)
        if value <= used < value + batch:  # the last batch is whole
            return Cell(f"{used:,}", origin)
        return Cell(f"{used:,} (of {value:,} {of_preset})", "yours")
    if key == "epochs":
        return Cell(f"{_text(value)} behind the {of_preset} budget", origin) if value else Cell(NONE)
    if key == "precision" and value == "auto" and run.config.get("precision"):
        return Cell(f"auto: {run.config['precision']}", origin)
    return Cell(_text(value), origin)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:  # before int, which a bool is too
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- networks and data ------------------------------------------------------------------------------------------------


def networks(subject: Subject) -> list[Block]:
    """Every network once, as print(net) shows it, with its parameters."""
    labels: dict[tuple[str, str], list[str]] = {}
    for group in subject.groups:
        run = group.first
        printed, parameters = run.config.get("networks") or {}, run.config.get("parameters") or {}
        for name, text in printed.items():
            title = [name, *([f"{parameters[name]:,} parameters"] if name in parameters else [])]
            # A GAN's discriminator, which comes last; print(net) does not show the normalisation.
            if run.fields.get("spectral_norm") == "on" and name == list(printed)[-1]:
                title.append(SPECTRAL_NORM)
            labels.setdefault((" · ".join(title), str(text)), []).append(group.label)
    folded = [Printed(text, f"{title} · {', '.join(names)}") for (title, text), names in labels.items()]
    return [Heading("Networks"), *folded] if folded else []


def data(subject: Subject) -> list[Block]:
    """The sets that the runs learned from, once each, and below them what was noted when they were read."""
    used = dict.fromkeys((part, entry) for group in subject.groups for part, entry in group.first.data.items())
    body = []
    for part, entry in used:
        count = NONE if entry.n is None else f"{entry.n:,}"
        cells = [part.replace("_", " "), entry.name or NONE, count, entry.fingerprint or NONE]
        body.append([Cell(text) for text in cells])
    notes = " ".join(dict.fromkeys(note for _, entry in used for note in entry.notes))
    head = ["", "set", "images", "fingerprint"]
    return [Heading("Data"), Table(head, [("", body)], notes, prose=True)] if body else []


def data_sets(model: PageModel) -> list[Block]:
    """Every set of a study once, with its parts as they were used, and what was noted when it was read."""
    parts: dict[str, dict[str, None]] = {}
    notes: dict[str, dict[str, None]] = {}
    for run in model.runs:
        for part, entry in run.data.items():
            name, fingerprint = entry.name or "?", entry.fingerprint or "?"
            text = f"{part.replace('_', ' ')} {entry.n or 0:,} images, `{fingerprint}`"
            parts.setdefault(name, {})[text] = None
            notes.setdefault(name, {}).update(dict.fromkeys(" ".join(note.split()) for note in entry.notes))
    items = [(f"{name}: {'; '.join(parts[name])}.", tuple(notes[name])) for name in sorted(parts)]
    return [Heading("Data"), Bullets(items)] if items else []


# --- again ------------------------------------------------------------------------------------------------------------


def reproduce(subject: Subject) -> list[Block]:
    """The commands, and the machine and versions they ran on."""
    runs = [run for group in subject.groups for run in group.runs]
    blocks: list[Block] = [Heading("To reproduce"), *_commands(runs)]
    blocks.append(Prose(" · ".join(dict.fromkeys(_machine(run.config) for run in runs))))
    environments = dict.fromkeys(
        "\n".join(f"{key}: {_text(value)}" for key, value in (run.config.get("environment") or {}).items())
        for run in runs
    )
    return blocks + [Printed(text, "Environment") for text in environments if text]


def commands(subject: Subject) -> list[Block]:
    """What trains the runs again, a line each."""
    return _commands(subject.runs)


def _commands(runs: Iterable[RunRecord]) -> list[Block]:
    lines = dict.fromkeys(str(run.config["command"]) for run in runs if run.config.get("command"))
    return [Printed("\n".join(lines))] if lines else []


def _machine(config: dict[str, Any]) -> str:
    """The version, machine, device, threads, processes and precision of a run, as far as it says them."""
    parts = [f"genshift {config.get('genshift', '?')}", config.get("machine"), config.get("device")]
    parts.append(counted(config["threads"], "thread") if config.get("threads") else None)
    parts.append(f"{config['world']} processes" if config.get("world", 1) > 1 else None)
    precision = config.get("precision")
    reason = f" ({config['precision_reason']})" if config.get("precision_reason") else ""
    parts.append(f"{precision}{reason}" if precision else None)
    return ", ".join(str(part) for part in parts if part)
