"""Runs that differ in nothing but their seed, and the label that tells such a group from its siblings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from genshift.presets.base import LATER
from genshift.presets.methods import title_of
from genshift.runs.records import RESOLVED, RunRecord

SHOWN_APART = 3  # settings in a label, where more set siblings apart
PARTS = {"source": "source data", "target": "target data", "held_out": "held-out data", "data": "data"}
Conditions = dict[str, str]


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
    """Runs that share study, task, method, preset and every condition but the seed. Order of `runs` is kept."""
    alike: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:  # sorted keys: an option that was written later makes no other group
        conditions = json.dumps(conditions_of(run), sort_keys=True)
        alike.setdefault((run.study, run.task, run.method, run.name, conditions), []).append(run)
    # Siblings are told apart by their labels: of adaptation all that use a method, of other families a preset's own.
    siblings: dict[tuple[str, ...], list[RunRecord]] = {}
    for first, *_ in alike.values():
        name = "" if first.of_adaptation else first.name
        siblings.setdefault((first.study, first.task, first.method, name), []).append(first)
    labels: dict[RunRecord, str] = {}
    for members in siblings.values():
        labels |= zip(
            members, _method_labels(members) if members[0].of_adaptation else _preset_labels(members), strict=True
        )
    groups = []
    for members in alike.values():
        first = members[0]
        groups.append(Group(first.study, first.task, first.method, labels[first], tuple(members)))
    return groups


def conditions_of(run: RunRecord) -> Conditions:
    """Everything but the seed that sets a run apart from another, each as a few words for a label.

    An option without a value is none: earlier versions may not have had it.
    """
    conditions = {}
    for key, value in run.fields.items():
        if key not in RESOLVED and value not in ("", LATER.get(key, "")):
            conditions[key] = f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
    conditions["budget"] = f"{run.config.get('minutes')} minutes" if run.budget is None else f"{run.budget:,} images"
    if run.evaluated and run.budget is not None and run.images is not None and run.images < run.budget:
        conditions["budget"] = f"{run.images:,} of {run.budget:,} images"  # it was measured before its end
    conditions["precision"] = str(run.config.get("precision") or run.fields.get("precision"))
    for part, entry in run.data.items():
        if part in PARTS:  # the first digits of a fingerprint are enough to tell two sets apart
            conditions[f"{part} data"] = f"{PARTS[part]} {entry.fingerprint.removeprefix('sha256:')[:8]}"
    return conditions


def subject_of(run: RunRecord) -> tuple[str, ...]:
    """What a run is reported with: generators of one kind by their data, whatever study they are of."""
    return ("", run.task, run.family) if run.draws else (run.study, run.task, "" if run.of_adaptation else run.name)


def _preset_labels(siblings: Sequence[RunRecord]) -> list[str]:
    """The preset's name, the options that were given for another value than its own, and what else differs."""
    conditions = [conditions_of(run) for run in siblings]
    differing = _differing(conditions)
    outer = [key for key in differing if not any(key in run.fields for run in siblings)]  # budget, precision, data
    changed = [[key for key in run.changed if key != "data"] for run in siblings]  # the set stands in the heading
    keys = [[*own, *outer] for own in changed]
    # Two presets of one name may differ in what no one gave: then all that differs is shown.
    if len({tuple(own.get(key) for key in shown) for own, shown in zip(conditions, keys, strict=True)}) < len(siblings):
        keys = [list(dict.fromkeys([*shown, *differing])) for shown in keys]
    return [
        ", ".join([run.name, *(own[key] for key in shown if key in own)])
        for run, own, shown in zip(siblings, conditions, keys, strict=True)
    ]


def _method_labels(siblings: Sequence[RunRecord]) -> list[str]:
    """For each the method's title, with what sets it apart where a method was trained in more than one way."""
    conditions = [conditions_of(run) for run in siblings]
    keys = _differing(conditions)
    # Digests say little: they stand where nothing else tells two apart.
    keys.sort(key=lambda key: key.endswith(" data"))
    shown = [key for key in keys if not key.endswith(" data")][:SHOWN_APART]
    if not _tell_apart(conditions, shown):
        shown = keys
    named = not _tell_apart(conditions, shown)  # presets of unlike names and the same settings
    labels = []
    for run, own in zip(siblings, conditions, strict=True):
        settings = [own[key] for key in shown if key in own]
        labels.append(", ".join([title_of(run.method), *([run.name] if named else []), *settings]))
    return labels


def _tell_apart(conditions: Sequence[Conditions], keys: Sequence[str]) -> bool:
    return len({tuple(own.get(key) for key in keys) for own in conditions}) == len(conditions)


def _differing(conditions: Sequence[Conditions]) -> list[str]:
    """The conditions that are not the same everywhere."""
    keys = dict.fromkeys(key for own in conditions for key in own)
    return [key for key in keys if len({own.get(key) for own in conditions}) > 1]
