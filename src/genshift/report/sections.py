"""Which blocks show which runs. A new kind of run is one builder and one line in SECTIONS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from genshift.report import figures
from genshift.report.blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Heading,
    Notes,
    Printed,
    Prose,
    Section,
    Table,
)
from genshift.report.summary import (
    NO_LABELS,
    NOT_EVALUATED,
    TARGET_ACCURACY,
    Group,
    Row,
    Run,
    cautions,
    counted,
    data_notes,
    difference_text,
    group_runs,
    images_text,
    minutes_text,
    ours_text,
    percent,
    published_text,
    seeds_text,
    summarise,
)

SETTINGS_NOTE = (
    "published: the report states it · cited source: the report names it · ours · "
    "yours: given on the command line, or by the study's budget."
)
Builder = Callable[[Sequence[Run]], Section]


def sections(runs: Sequence[Run]) -> list[Section]:
    """One section a task (or, without roles, a preset), each by the first builder that takes its runs."""
    subjects: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        subjects.setdefault((run.study, run.task), []).append(run)
    return [_builder(members[0])(members) for members in subjects.values()]


def _builder(run: Run) -> Builder:
    return next(builder for takes, builder in SECTIONS if takes(run))


def adaptation(runs: Sequence[Run]) -> Section:
    """Source-only, adapted and trained-on-target runs of one task, side by side."""
    groups, rows = group_runs(runs), summarise(runs)
    blocks: list[Block] = [Prose(_finding(rows)), *_notes(runs), *_seed_table(rows)]
    blocks += _latent_space(groups) + _confusions(groups) + _curves(groups)
    blocks += _settings(groups) + _networks(groups) + _data(groups) + _reproduce(groups)
    return Section(f"{runs[0].study}: {runs[0].task}", blocks)


def generic(runs: Sequence[Run]) -> Section:
    """A run of no known role: its results, curves, networks and settings."""
    groups, rows = group_runs(runs), summarise(runs)
    blocks: list[Block] = [Prose(runs[0].preset.get("summary") or "")]
    blocks += [*_notes(runs), results_table(rows), *_curves(groups)]
    blocks += _settings(groups) + _networks(groups) + _data(groups) + _reproduce(groups)
    return Section(f"{runs[0].study}: {runs[0].name}", blocks)


SECTIONS: list[tuple[Callable[[Run], bool], Builder]] = [
    (lambda run: run.adapts, adaptation),
    (lambda run: True, generic),
]


def results_table(rows: Sequence[Row]) -> Table:
    """The headline table: one body a task, one row a role (or a metric)."""
    bodies: dict[str, list[list[Cell]]] = {}
    for row in rows:
        bodies.setdefault(f"{row.study}: {row.task}", []).append(_result_cells(row))
    head = ["", "ours", "published", "difference", "seeds", "test images", "images seen", "CPU min"]
    return Table(head, list(bodies.items()), _table_note(rows))


def _result_cells(row: Row) -> list[Cell]:
    name = row.label if row.metric == TARGET_ACCURACY else row.metric
    tone = _tone(row)
    return [
        Cell(name),
        Cell(ours_text(row), tone="quiet" if row.mean is None else ""),
        Cell(published_text(row)),
        Cell(difference_text(row), tone=tone),
        Cell(seeds_text(row)),
        Cell(f"{row.n:,}" if row.n else "–"),
        Cell(images_text(row)),
        Cell(minutes_text(row)),
    ]


def _tone(row: Row) -> str:
    """Green at or above published, red below; a source-only model is a floor, so neither."""
    if row.difference is None or not row.is_accuracy or row.role == "source":
        return ""
    return "good" if row.difference >= 0 else "bad"


def _table_note(rows: Sequence[Row]) -> str:
    said = []
    if any(row.metric == TARGET_ACCURACY for row in rows):
        said.append("Accuracy on the target's test images, in percent.")
    if any(row.sd is not None for row in rows):
        said.append("± is the standard deviation over the seeds.")
    if any(row.sd is None and row.standard_error is not None for row in rows):
        said.append("± with (se) is one seed's binomial standard error over its test images.")
    if any(row.published is not None for row in rows):
        said.append("Published is the figure of the report that is reproduced.")
    said.append("CPU minutes are the mean a run, all threads together.")
    return " ".join(said)


def _finding(rows: Sequence[Row]) -> str:
    """What this task came to, in a sentence or two."""
    known = [row for row in rows if row.mean is not None]
    bases, bests = ([row for row in known if row.role == role] for role in ("source", "target"))
    adapted = [row for row in known if row.role not in ("source", "target")]
    if not bases or not adapted:
        return "Source only learns from labelled source images; adapted models see unlabelled target images too."
    base = max(row.mean or 0 for row in bases)
    said = [f"{row.label} reaches {percent(row.mean or 0)} %." for row in bases]
    for row in adapted:
        gain = 100 * ((row.mean or 0) - base)
        said.append(
            f"{row.label} reaches {percent(row.mean or 0)} %, {abs(gain):.1f} points {_side(gain)} source only."
        )
    if bests:
        best = max(row.mean or 0 for row in bests)
        said.append(f"Training on the target's own labels gives {percent(best)} %.")
    return " ".join(said)


def _side(gain: float) -> str:
    return "above" if gain >= 0 else "below"


def _notes(runs: Sequence[Run]) -> list[Block]:
    lines = cautions(runs)
    return [Notes(lines)] if lines else []


def _seed_table(rows: Sequence[Row]) -> list[Block]:
    """Each seed's accuracy with its own binomial error; nothing where there is one seed."""
    seeds = sorted({seed for row in rows for seed in row.seeds})
    if len(seeds) < 2:
        return []
    body = [[Cell(row.label), *(Cell(_of_seed(row, seed)) for seed in seeds)] for row in rows]
    note = "± is each seed's binomial standard error. The figures below are drawn from the first seed."
    return [Table(["", *(f"seed {seed}" for seed in seeds)], [("", body)], note)]


def _of_seed(row: Row, seed: int) -> str:
    run = next((run for run in row.group.runs if run.seed == seed and run.value(row.metric) is not None), None)
    return ours_text(summarise([run])[0]).replace(" (se)", "") if run else "–"


def _latent_space(groups: Sequence[Group]) -> list[Block]:
    """t-SNE before (source-only) and after adaptation, by class and by domain."""
    shown = [group for group in groups if group.role != "target"]
    drawn = [group for group in shown if _has(group, "tsne")]
    missing = _missing(shown, drawn, "evaluated without a t-SNE")
    if not drawn:
        return [Heading("Latent space"), *missing]
    pairs: list[Figure] = []
    for group in drawn:
        name = _before_or_after(group)
        pairs += [figures.tsne_by_class(group.first, name), figures.tsne_by_domain(group.first, name)]
    return [
        Heading("Latent space"),
        Prose(_sample_note(drawn)),
        Figures(pairs, figures.class_legend(drawn[0].first)),
        *missing,
    ]


def _before_or_after(group: Group) -> str:
    return group.label.replace("Source only", "Before adaptation") if group.role == "source" else f"After {group.label}"


def _sample_note(drawn: Sequence[Group]) -> str:
    """Says which images are drawn, and whether they are the same ones in every figure."""
    points = [figures.tsne_points(group.first) for group in drawn]
    count, split = len(points[0]["x"]), (drawn[0].first.evaluation or {})["tsne"].get("split", "")
    said = f"t-SNE of the feature extractor's output over {count:,} images{f' of {split}' if split else ''}; "
    same = all((p["label"], p["domain"]) == (points[0]["label"], points[0]["domain"]) for p in points)
    if len(drawn) > 1:
        said += "every figure shows the same images. " if same else "the figures show DIFFERENT images. "
    return said + "Dots are source images, diamonds target images; distances between clusters have no unit."


def _confusions(groups: Sequence[Group]) -> list[Block]:
    drawn = [group for group in groups if _has(group, "confusion")]
    matrices = [figures.confusion_matrix(group.first, group.label) for group in drawn]
    blocks: list[Block] = [Heading("Confusion on the target's test images")]
    if matrices:
        note = "Rows are true classes with their recall, columns predicted ones; colour is the share of the row."
        blocks += [Prose(note), Figures(matrices, columns=3)]
    return blocks + _missing(groups, drawn, NO_LABELS)


def _missing(groups: Sequence[Group], drawn: Sequence[Group], evaluated: str) -> list[Block]:
    """Names the groups that are not drawn: `evaluated` says why an evaluated one is not."""
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if group not in drawn:
            reason = evaluated if any(run.evaluated for run in group.runs) else NOT_EVALUATED
            reasons.setdefault(reason, []).append(group.label)
    return [Prose(f"{', '.join(names)}: {reason}.") for reason, names in reasons.items()]


def _has(group: Group, part: str) -> bool:
    return bool((group.first.evaluation or {}).get(part))


def _curves(groups: Sequence[Group]) -> list[Block]:
    kinds = (figures.accuracy_curves, figures.loss_curves, figures.other_curves)
    drawn = [figure for kind in kinds for group in groups if (figure := kind(group.first, group.label))]
    if not drawn:
        return []
    blocks: list[Block] = [Heading("Curves")]
    if any(group.first.oracle for group in groups):
        blocks.append(Prose("The oracle uses target labels: it is shown here and never steers training or selection."))
    return [*blocks, Figures(drawn, columns=3)]


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


def _setting(run: Run, key: str) -> Cell:
    """A value as it was used; what config.json says apart from the preset goes before the preset."""
    if key not in run.fields:
        return Cell("–")
    value, origin = run.fields[key], (run.preset.get("origins") or {}).get(key, "")
    if key == "images":
        return _budget(run, value, origin)
    if key == "epochs":
        return Cell(f"{_text(value)} behind the {_preset_word(origin)} budget", origin) if value else Cell("–")
    if key == "precision" and value == "auto" and run.config.get("precision"):
        return Cell(f"auto: {run.config['precision']}", origin)
    return Cell(_text(value), origin)


def _budget(run: Run, preset: int, origin: str) -> Cell:
    """The images that the run was given, beside the preset's where that is another budget."""
    used = int(run.config.get("images", preset))
    batch = run.fields.get("batch_target" if run.role == "target" else "batch_source", 1)
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
            found.setdefault((name, str(printed)), []).append(group.label)
    if not found:
        return []
    parameters = {k: v for g in groups for k, v in (g.first.config.get("parameters") or {}).items()}
    folded: list[Block] = []
    for (name, printed), labels in found.items():
        count = f" · {parameters[name]:,} parameters" if name in parameters else ""
        folded.append(Printed(printed, f"{name}{count} · {', '.join(labels)}"))
    return [Heading("Networks"), *folded]


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
