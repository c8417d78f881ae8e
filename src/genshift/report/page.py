"""One self-contained HTML page from run folders: it opens without a network, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from genshift.errors import Refusal
from genshift.report.blocks import Block, Figures, Heading
from genshift.report.figures.adaptation import overview
from genshift.report.model.formatting import joined
from genshift.report.model.run_records import read_runs
from genshift.report.model.summary import cautions, summarise
from genshift.report.sections.adaptation import results_table, sections
from genshift.report.sections.citations import what_to_cite
from genshift.report.sections.hyperparameters import variants_by_task
from genshift.report.sections.method_comparison import methods_by_task
from genshift.runs.files import write_text
from genshift.runs.find import find_runs
from genshift.runs.records import RunRecord

ADAPTATION_LEAD = (
    "Classifiers learn from a labelled source and are tested on a target of another look: source only, "
    "adapted with the target's unlabelled images, and trained on the target's own labels as the upper bound. "
    "Target labels measure, under the name oracle, and never steer training or the choice of a checkpoint."
)
GENERATOR_LEAD = (
    "Generators learn from real pictures and draw new ones. What they draw is measured beside real pictures that were "
    "measured in the same way, and shown as it came, from a fixed seed."
)
GENERIC_LEAD = (
    "What these runs learned and what it cost. Every value comes from the run folders that this page was made of."
)


def report(folders: Iterable[Path | str], out: Path | str, title: str | None = None) -> Path:
    """Writes a page (`.html`) of the runs in `folders`, or, where `out` ends in `.md`, the table of recorded results
    from one folder of `<study>/<run>/`."""
    folders, out = list(folders), Path(out)
    if out.suffix == ".md":
        if len(folders) != 1:
            raise Refusal("A results table is written from one folder of <study>/<run>/: name just that one.")
        from genshift.report.results_md import write_results

        return write_results(Path(folders[0]), out)
    return write_page(find_runs(folders), out, title)


def write_page(run_folders: Sequence[Path], out: Path, title: str | None = None) -> Path:
    """Writes the page of `run_folders` to `out` and returns it.

    The file appears whole or not at all. Refusal where there is no run, a run folder is broken (it is named),
    or `out` cannot be written.
    """
    runs = read_runs(run_folders)
    write_text(out, render(runs, title or _title(runs)))
    return out


def _title(runs: Sequence[RunRecord]) -> str:
    studies = joined(list(dict.fromkeys(run.study for run in runs)))
    if all(run.adapts for run in runs):
        return f"{studies}: domain adaptation"
    return f"{studies}: {'generators' if any(run.draws for run in runs) else 'report'}"


def render(runs: Sequence[RunRecord], title: str) -> str:
    """The page as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html")).render(
        title=title,
        lead=_lead(runs),
        made=_made(runs),
        warnings=cautions(runs),
        top=_top([run for run in runs if run.adapts]),
        sections=[*sections(runs), *what_to_cite(runs)],
        css=Markup(_asset("page.css")),
        js=Markup(_asset("page.js")),
        plotly=Markup(get_plotlyjs()),
        embed=_embed,
    )


def _top(adapting: Sequence[RunRecord]) -> list[Block]:
    """Every task of adaptation in one table and one drawing; other kinds of runs have theirs in their sections."""
    if not adapting:
        return []
    rows = summarise(adapting)
    drawing = overview(rows)
    shown: list[Block] = [results_table(rows), *([Figures([drawing], columns=1)] if drawing else [])]
    tables = [*methods_by_task(adapting), *variants_by_task(adapting)]
    return [*tables, *([Heading("By task, with published figures and cost")] if tables else []), *shown]


def _lead(runs: Sequence[RunRecord]) -> str:
    leads = [ADAPTATION_LEAD] if any(run.adapts for run in runs) else []
    leads += [GENERATOR_LEAD] if any(run.draws for run in runs) else []
    return " ".join(leads) or GENERIC_LEAD


def _made(runs: Sequence[RunRecord]) -> str:
    versions = ", ".join(sorted({str(run.config.get("genshift", "?")) for run in runs}))
    return f"genshift {versions} · {len(runs)} {'run' if len(runs) == 1 else 'runs'}"


def _embed(spec: str) -> Markup:
    """JSON inside a script element: no '<' can end it early."""
    return Markup(spec.replace("<", "\\u003c"))


def _asset(name: str) -> str:
    return files("genshift.report").joinpath(name).read_text(encoding="utf-8")
