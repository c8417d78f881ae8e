"""docs/results.md from the small files that runs leave under docs/results/<study>/<run>/.

A study's notes.md may hold hand-written causes: under a heading `## <task>`, `## <task> <role>` (such as
`## mnistm→svhn dann`) or `## <preset>` (or a row's whole label) the text goes to the rows that fell short there; text
before the first heading introduces the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from genshift.errors import Refusal, of_os_error
from genshift.report.blocks import Block, Cell, Heading, Prose, Table
from genshift.report.model.formatting import (
    counted,
    data_notes,
    difference_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    seeds_text,
)
from genshift.report.model.grouping import group_runs, subject_of
from genshift.report.model.measures import percent
from genshift.report.model.run_records import read_runs
from genshift.report.model.summary import Row, Shortfall, shortfalls, summarise
from genshift.report.sections.hyperparameters import variants_by_task
from genshift.report.sections.measures_table import Comparison, comparison, heading
from genshift.report.sections.method_comparison import methods_by_task
from genshift.report.sections.selection import in_tables
from genshift.runs.files import write_text
from genshift.runs.records import RunRecord

HEAD = ("role", "ours", "published", "difference", "seeds", "test images (± se)", "images seen", "CPU min")
COUNTED = (("threads", "thread"), ("world", "process"))
PREFACE = """# Results

Written by genshift from the `config.json` and `results.json` under `docs/results/`; do not edit it by hand.
Accuracies are in percent on the target's test images. "Ours" is the mean ± standard deviation (n − 1) over
the seeds, or one seed ± its binomial standard error, marked (se). The bar beside the number of test images
is the binomial standard error of the mean accuracy: what another draw of as many test images would change.
All seeds of a row are tested on the same images and share that error: the deviation over seeds does not
hold it, and more seeds do not lessen it. "CPU min" is the mean processor time of a run's training loop, all
threads and processes together: its steps, validation and oracle checks; loading and the probe are not counted.
"""


def write_results(results_dir: Path, out: Path) -> Path:
    """Writes `out` from every `<study>/<run>/` below `results_dir`; the same files give the same bytes.

    Refusal where there is no run, a file is broken (it is named), or `out` cannot be written.
    """
    studies = sorted(path for path in _folders(results_dir) if any(_run_folders(path)))
    if not studies:
        raise Refusal(f"'{results_dir}' holds no <study>/<run>/config.json: expected the kept files of finished runs.")
    found = {folder: read_runs(_run_folders(folder)) for folder in studies}
    parts = [PREFACE, *(_study(folder, runs) for folder, runs in found.items())]
    parts += _chosen([run for runs in found.values() for run in runs])
    write_text(out, "\n".join(parts))
    return out


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise of_os_error(error, f"reading {folder}") from error


def _run_folders(study: Path) -> Iterator[Path]:
    return (path for path in sorted(_folders(study)) if (path / "config.json").exists())


def _study(folder: Path, runs: Sequence[RunRecord]) -> str:
    rows, notes = summarise(runs), read_notes(folder / "notes.md")
    lines = [f"## {folder.name}", "", *([notes[""], ""] if notes.get("") else []), *_made(runs), ""]
    lines += _blocks([*methods_by_task(runs), *variants_by_task(runs)])
    for subject in dict.fromkeys(map(_subject, runs)):
        members = [run for run in runs if _subject(run) == subject]
        lines += _task(summarise(members), members) if members[0].adapts else _measured(members)
    return "\n".join(lines + _data(runs) + _fell_short(shortfalls(rows), notes, runs))


def _chosen(runs: Sequence[RunRecord]) -> list[str]:
    """What all studies together say of choosing without target labels, where any does."""
    lines = [line for section in in_tables(runs) for line in _blocks([Heading(section.title), *section.blocks])]
    return ["\n".join(["## Choosing without target labels, over all studies", "", *lines])] if lines else []


def _blocks(blocks: Iterable[Block]) -> list[str]:
    """Headings, words and tables of a page."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Heading):
            lines += [f"### {block.text}", ""]
        elif isinstance(block, Prose):
            lines += [block.text, ""]
        elif isinstance(block, Table):
            cells = [[_cell(cell) for cell in row] for _, body in block.bodies for row in body]
            lines += [*_table(block.head, cells), "", block.note, ""]
    return lines


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.tone == "best" else cell.text
    return " · ".join(filter(None, [text, cell.note]))


def _subject(run: RunRecord) -> tuple[str, ...]:
    """What shares a table: a task of adaptation, whatever study its runs are of; else what shares a section."""
    return ("", run.task) if run.adapts else subject_of(run)


def _made(runs: Sequence[RunRecord]) -> list[str]:
    """How many runs and seeds there are, and the machines that they ran on."""
    seeds = sorted({run.seed for run in runs})
    listed = f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    machines = dict.fromkeys(filter(None, map(_machine, runs)))
    return [f"{counted(len(runs), 'run')}, {listed}.", *(f"Machine: {machine}." for machine in machines)]


def _machine(run: RunRecord) -> str:
    config, parts = run.config, [str(run.config.get("machine") or "")]
    parts += [counted(config[key], word) for key, word in COUNTED if config.get(key)]
    parts.append(str(config.get("precision") or ""))
    return ", ".join(filter(None, parts))


def _task(rows: Sequence[Row], runs: Sequence[RunRecord]) -> list[str]:
    return [f"### {runs[0].task}", "", *_table(HEAD, [_cells(row) for row in rows]), "", *_commands(runs)]


def _commands(runs: Sequence[RunRecord]) -> list[str]:
    commands = dict.fromkeys(str(run.config["command"]) for run in runs if run.config.get("command"))
    return ["```", *commands, "```", ""]


def _measured(runs: Sequence[RunRecord]) -> list[str]:
    """One row a preset (and one of its published figures), one column a measure, and what each measure is."""
    compared = comparison(group_runs(runs))
    rows = [line for place in range(len(compared.groups)) for line in _preset_lines(compared, place)]
    if any(compared.floors):
        rows.append(["floor", *(floor or "–" for floor in compared.floors), "–", "–", "–"])
    head = ["preset", *compared.heads, "seeds", "images seen", "CPU min"]
    title = heading(runs) if runs[0].draws else f"{runs[0].task}: {runs[0].name}"
    terms = [f"- {word}: {said}" for word, said in compared.terms()]
    taken = [f"- {word}, measured: {_one_line(said)}" for word, said in compared.taken()]
    best = ["Bold: the best of its column.", ""] if any("**" in cell for row in rows for cell in row) else []
    return [f"### {title}", "", *_table(head, rows), "", *best, *terms, *taken, "", *_commands(runs)]


def _preset_lines(compared: Comparison, place: int) -> list[list[str]]:
    label, about = compared.groups[place].label, compared.about(place)
    values = [
        f"**{compared.value(place, metric)}**" if place in compared.best(metric) else compared.value(place, metric)
        for metric in compared.metrics
    ]
    lines = [[label, *values, compared.seeds(place), images_text(about), minutes_text(about)]]
    published = [compared.published(place, metric) for metric in compared.metrics]
    if any(published):
        lines.append([f"{label}, published", *(value or "–" for value in published), "–", "–", "–"])
    return lines


def _cells(row: Row) -> list[str]:
    bar = f" ± {percent(row.standard_error)}" if row.standard_error is not None else ""
    measured = [ours_text(row), published_text(row), difference_text(row), seeds_text(row)]
    return [row.label, *measured, f"{row.n:,}{bar}" if row.n else "–", images_text(row), minutes_text(row)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, ruler, *rows)]


def _data(runs: Sequence[RunRecord]) -> list[str]:
    """Every set once, with its parts as they were used, and what was noted when it was read."""
    parts: dict[str, dict[str, None]] = {}
    said: dict[str, dict[str, None]] = {}
    for run in runs:
        for part, entry in (run.config.get("data") or {}).items():
            name = str(entry.get("name", "?"))
            parts.setdefault(name, {})[_part(part, entry)] = None
            said.setdefault(name, {}).update(dict.fromkeys(data_notes(entry)))
    if not parts:
        return []
    lines = ["### Data", ""]
    for name in sorted(parts):
        lines += [
            f"- {name}: {'; '.join(parts[name])}.",
            *(f"  - {_one_line(note)}" for note in said[name]),
        ]
    return [*lines, ""]


def _part(part: str, entry: dict[str, Any]) -> str:
    return f"{part.replace('_', ' ')} {entry.get('n', 0):,} images, `{entry.get('fingerprint', '?')}`"


def _fell_short(found: Sequence[Shortfall], notes: dict[str, str], runs: Sequence[RunRecord]) -> list[str]:
    lines = ["### What fell short", ""]
    if not found:
        adapted = ", and no adapted model below source only" if any(run.adapts for run in runs) else ""
        worse = "worse than" if any(run.draws for run in runs) else "below"
        return [*lines, f"Nothing: no row is {worse} its published figure{adapted}.", ""]
    for shortfall in found:
        row = shortfall.row
        own = (row.label, row.group.first.name)
        headings = (f"{row.task} {row.label}", *own, f"{row.task} {row.method}", row.task)
        cause = next((notes[heading] for heading in headings if heading in notes), None)
        lines.append(f"- {shortfall.text}.{f' {_one_line(cause)}' if cause else ' No cause is written down yet.'}")
    return [*lines, ""]


def read_notes(path: Path) -> dict[str, str]:
    """Heading → text of a notes.md; '' holds what stands before the first heading. Empty without a file."""
    if not path.exists():
        return {}
    try:
        parts = re.split(r"^##[ \t]+(.+?)[ \t]*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"'{path}' is not text: expected Markdown in UTF-8.") from error
    return {"": parts[0].strip()} | dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


def _one_line(text: str) -> str:
    return " ".join(text.split())
