"""docs/results.md from the small files that runs leave under docs/results/<study>/<run>/.

A study's notes.md may hold hand-written causes: under a heading `## <task>` or `## <task> <role>` (such as
`## mnistm→svhn dann`) the text goes to the rows that fell short there; text before the first heading
introduces the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genshift.engine.files import write_text
from genshift.errors import Refusal, of_os_error
from genshift.report.summary import (
    TARGET_ACCURACY,
    Row,
    Run,
    Shortfall,
    counted,
    data_notes,
    difference_text,
    images_text,
    minutes_text,
    ours_text,
    percent,
    published_text,
    read_runs,
    seeds_text,
    shortfalls,
    summarise,
)

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
    parts = [PREFACE, *(_study(folder) for folder in studies)]
    write_text(out, "\n".join(parts))
    return out


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise of_os_error(error, f"reading {folder}") from error


def _run_folders(study: Path) -> Iterator[Path]:
    return (path for path in sorted(_folders(study)) if (path / "config.json").exists())


def _study(folder: Path) -> str:
    runs = read_runs(_run_folders(folder), curves=False)
    rows, notes = summarise(runs), read_notes(folder / "notes.md")
    lines = [f"## {folder.name}", "", *([notes[""], ""] if notes.get("") else []), *_made(runs), ""]
    for task in dict.fromkeys(run.task for run in runs):
        lines += _task([r for r in rows if r.task == task], [r for r in runs if r.task == task])
    return "\n".join(lines + _data(runs) + _fell_short(shortfalls(rows), notes))


def _made(runs: Sequence[Run]) -> list[str]:
    """How many runs and seeds there are, and the machines that they ran on."""
    seeds = sorted({run.seed for run in runs})
    listed = f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    machines = dict.fromkeys(filter(None, map(_machine, runs)))
    return [f"{counted(len(runs), 'run')}, {listed}.", *(f"Machine: {machine}." for machine in machines)]


def _machine(run: Run) -> str:
    config, parts = run.config, [str(run.config.get("machine") or "")]
    parts += [counted(config[key], word) for key, word in COUNTED if config.get(key)]
    parts.append(str(config.get("precision") or ""))
    return ", ".join(filter(None, parts))


def _task(rows: Sequence[Row], runs: Sequence[Run]) -> list[str]:
    lines = [f"### {runs[0].task}", "", *_table(HEAD, [_cells(row) for row in rows]), ""]
    commands = dict.fromkeys(str(run.config["command"]) for run in runs if run.config.get("command"))
    return [*lines, "```", *commands, "```", ""]


def _cells(row: Row) -> list[str]:
    name = row.label if row.metric == TARGET_ACCURACY else f"{row.label} {row.metric}"
    bar = f" ± {percent(row.standard_error)}" if row.standard_error is not None else ""
    measured = [ours_text(row), published_text(row), difference_text(row), seeds_text(row)]
    return [name, *measured, f"{row.n:,}{bar}" if row.n else "–", images_text(row), minutes_text(row)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, ruler, *rows)]


def _data(runs: Sequence[Run]) -> list[str]:
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


def _fell_short(found: Sequence[Shortfall], notes: dict[str, str]) -> list[str]:
    lines = ["### What fell short", ""]
    if not found:
        return [
            *lines,
            "Nothing: no row is below its published figure, and no adapted model below source only.",
            "",
        ]
    for shortfall in found:
        row = shortfall.row
        headings = (f"{row.task} {row.label}", f"{row.task} {row.role}", row.task)
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
