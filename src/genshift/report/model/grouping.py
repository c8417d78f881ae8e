"""Runs that differ in nothing but their seed, and the label that tells such a group from its siblings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from genshift.presets.methods import title_of
from genshift.runs.records import RESOLVED, RunRecord

SHOWN_APART = 3  # settings in a label, where more set siblings apart
PARTS = {"source": "source data", "target": "target data", "held_out": "held-out data", "data": "data"}


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, in the order of their seeds."""

    study: str
    task: str
    method: str
    label: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run whose figures are drawn: the lowest seed that was evaluated, or else the lowest seed."""
        return next((run for run in self.runs if run.evaluation), self.runs[0])


def group_runs(runs: Sequence[RunRecord]) -> list[Group]:
    """Runs that share study, task, role, preset and every condition but the seed. Order of `runs` is kept."""
    found: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        conditions = json.dumps(conditions_of(run), sort_keys=True)
        found.setdefault((run.study, run.task, run.method, run.name, conditions), []).append(run)
    siblings: dict[tuple[str, str, str, str], list[RunRecord]] = {}
    for members in found.values():
        first = members[0]
        name = first.name if _is_named(first) else ""
        siblings.setdefault((first.study, first.task, first.method, name), []).append(first)
    labels = {id(run): label for group in siblings.values() for run, label in zip(group, _labels(group), strict=True)}
    return [
        Group(first.study, first.task, first.method, labels[id(first)], tuple(members))
        for members in found.values()
        for first in members[:1]
    ]


@cache  # records do not change, and every label asks
def conditions_of(run: RunRecord) -> dict[str, str]:
    """Everything but the seed that sets a run apart from another, each as a few words for a label.

    An option without a value is none: earlier versions may not have had it.
    """
    settings = {key: _setting(key, value) for key, value in run.fields.items() if key not in RESOLVED and value != ""}
    budget = f"{run.config.get('minutes')} minutes" if run.budget is None else f"{run.budget:,} images"
    used = {"budget": budget, "precision": str(run.config.get("precision") or run.fields.get("precision"))}
    # The first digits of a fingerprint are enough to tell two sets apart.
    prints = {
        f"{part} data": f"{PARTS[part]} {(entry.fingerprint or 'None').removeprefix('sha256:')[:8]}"
        for part, entry in run.data.items()
        if part in PARTS
    }
    return {**settings, **used, **prints}


def _setting(key: str, value: Any) -> str:
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def subject_of(run: RunRecord) -> tuple[str, ...]:
    """What a run is reported with: generators of one kind by their data, whatever study they are of."""
    return ("", run.task, run.family) if run.draws else (run.study, run.task, "" if run.adapts else run.name)


def _is_named(run: RunRecord) -> bool:
    """Whether the preset's name says what the run is, so that only its own variants are held against it."""
    return bool(run.family) and not run.adapts


def _labels(siblings: Sequence[RunRecord]) -> list[str]:
    """A label for each run: of adaptation by role, of other families by preset."""
    return _variants(siblings) if _is_named(siblings[0]) else _roles(siblings)


def _variants(siblings: Sequence[RunRecord]) -> list[str]:
    """The preset's name, the options that were given for another value than its own, and what else differs."""
    conditions = [conditions_of(run) for run in siblings]
    differing = _differing(conditions)
    outer = [key for key in differing if not any(key in run.fields for run in siblings)]
    changed = [[key for key in run.changed if key != "data"] for run in siblings]  # the set stands in the heading
    keys = [[*own, *outer] for own in changed]
    if len({tuple(own.get(key) for key in shown) for own, shown in zip(conditions, keys, strict=True)}) < len(siblings):
        keys = [list(dict.fromkeys([*shown, *differing])) for shown in keys]
    return [
        ", ".join([run.name, *(own[key] for key in shown if key in own)])
        for run, own, shown in zip(siblings, conditions, keys, strict=True)
    ]


def _roles(siblings: Sequence[RunRecord]) -> list[str]:
    """For each the role's name, with what sets it apart where a role was trained in more than one way."""
    bases = [title_of(run.method) if run.adapts else run.name for run in siblings]
    if len(siblings) == 1:
        return bases
    conditions = [conditions_of(run) for run in siblings]
    keys = _differing(conditions)
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


def _differing(conditions: Sequence[dict[str, str]]) -> list[str]:
    """The conditions that are not the same everywhere."""
    keys = dict.fromkeys(key for own in conditions for key in own)
    return [key for key in keys if len({own.get(key) for own in conditions}) > 1]
