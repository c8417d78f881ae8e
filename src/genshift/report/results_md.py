"""docs/results.md from the small files that runs leave under docs/results/<study>/<run>/.

A study's notes.md may hold hand-written causes: under a heading `## <task>`, `## <task> <method>` (such as
`## mnistm→svhn dann`) or `## <preset>` (or a row's whole label) the text goes to the rows that fell short there; text
before the first heading introduces the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genshift.errors import Refusal, of_os_error
from genshift.report.blocks import Block, Bullets, Cell, Heading, Printed, Prose, Section, Table, Terms
from genshift.report.contents import OVERVIEW, STUDY_END, closing_sections, subject_sections
from genshift.report.model.formatting import counted
from genshift.report.model.page_model import PageModel, page_model
from genshift.report.model.run_records import readable_runs
from genshift.report.parts import RESULTS_MD, blocks_of
from genshift.runs.files import write_text
from genshift.runs.folder import RunFolder
from genshift.runs.records import RunRecord

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

    A run that cannot be read is left out, and its study says so. Refusal where there is no run, none of a study can be
    read, or `out` cannot be written.
    """
    folders = {study: [run for run in _folders(study) if RunFolder(run).exists()] for study in _folders(results_dir)}
    studies = {study: readable_runs(runs) for study, runs in folders.items() if runs}
    if not studies:
        raise Refusal(f"'{results_dir}' holds no <study>/<run>/config.json: expected the kept files of finished runs.")
    # A study's own runs make its tables and labels, whatever the others hold.
    parts = [PREFACE]
    for study, (runs, unread) in studies.items():
        notes = read_notes(study / "notes.md")
        about = "\n\n".join(filter(None, [notes.get("", ""), *(f"Left out: {sentence}" for sentence in unread)]))
        parts.append("\n".join(_study(study.name, about, page_model(runs, causes=notes))))
    # How far to trust a choice without labels is a question to all runs together.
    closing = closing_sections(page_model([run for runs, _ in studies.values() for run in runs]), RESULTS_MD)
    if closing:
        parts.append("\n".join(["## Choosing without target labels, over all studies", "", *_lines(closing)]))
    write_text(out, "\n".join(parts))
    return out


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise of_os_error(error, f"reading {folder}") from error


def _study(name: str, about: str, model: PageModel) -> list[str]:
    """A study's runs and machines, then its sections."""
    seeds = sorted({run.seed for run in model.runs})
    listed = f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    lines = [f"## {name}", "", *([about, ""] if about else []), f"{counted(len(model.runs), 'run')}, {listed}."]
    lines += [f"Machine: {machine}." for machine in dict.fromkeys(map(_machine, model.runs)) if machine]
    lines += ["", *_block_lines(blocks_of(OVERVIEW, model, RESULTS_MD))]
    lines += _lines(subject_sections(model, RESULTS_MD))
    return lines + _block_lines(blocks_of(STUDY_END, model, RESULTS_MD))


def _machine(run: RunRecord) -> str:
    config, parts = run.config, [str(run.config.get("machine") or "")]
    parts += [counted(config[key], word) for key, word in COUNTED if config.get(key)]
    parts.append(str(config.get("precision") or ""))
    return ", ".join(filter(None, parts))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def _lines(sections: Iterable[Section]) -> list[str]:
    return _block_lines(block for section in sections for block in (Heading(section.title), *section.blocks))


def _block_lines(blocks: Iterable[Block]) -> list[str]:
    """Blocks as Markdown, an empty line below each. What moves or is drawn has no place in a text."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Heading):
            lines += [f"### {block.text}", ""]
        elif isinstance(block, Prose):
            lines += [block.text, ""]
        elif isinstance(block, Table):
            # The first column is of words; a bar within a cell would end it.
            ruler = ["---", *("---:" for _ in block.head[1:])]
            rows = [[_cell(cell) for cell in row] for _, body in block.bodies for row in body]
            for cells in (block.head, ruler, *rows):
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            lines += ["", *([block.note, ""] if block.note else [])]
        elif isinstance(block, Terms):
            lines += [*(f"- {word}: {meaning}" for word, meaning in block.terms), ""]
        elif isinstance(block, Bullets):
            for item, below in block.items:
                lines += [f"- {item}", *(f"  - {line}" for line in below)]
            lines.append("")
        elif isinstance(block, Printed):
            lines += ["```", block.text, "```", ""]
    return lines


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.tone == "best" else cell.text
    return " · ".join(filter(None, [text, cell.note]))


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
