"""One self-contained HTML page from run folders: it opens without a network, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from genshift.errors import Refusal
from genshift.paths import AnyPath, given_paths, output_file
from genshift.report.contents import OVERVIEW, PAGE, blocks_of, closing_sections, subject_sections
from genshift.report.model.formatting import counted, joined
from genshift.report.model.page_model import PageModel, page_model
from genshift.report.model.run_records import readable_runs
from genshift.runs.files import write_text
from genshift.runs.find import find_runs

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


def report(folders: AnyPath | Iterable[AnyPath], out: AnyPath, title: str | None = None) -> Path:
    """Writes a page (`.html`) of the runs in `folders`, or, where `out` ends in `.md`, the table of recorded results
    from one folder of `<study>/<run>/`. Refusal where `out` cannot be written, before anything is read."""
    folders, out = given_paths(folders), output_file(out)
    if out.suffix == ".md":
        if len(folders) != 1:
            raise Refusal("A results table is written from one folder of <study>/<run>/: name just that one.")
        if title is not None:
            raise Refusal(f"{out} is a results table, which has no title of its own: leave --title out.")
        from genshift.report.results_md import write_results

        return write_results(folders[0], out)
    return write_page(find_runs(folders), out, title)


def write_page(run_folders: Sequence[Path], out: Path, title: str | None = None, missing: Sequence[str] = ()) -> Path:
    """Writes the page of `run_folders` to `out` and returns it; `missing` are sentences on what it does not show.

    The file appears whole or not at all. A run that cannot be read is left out, and the page says so. Refusal where
    none can be read, or `out` cannot be written.
    """
    runs, unread = readable_runs(run_folders)
    model = page_model(runs, unread=unread)
    studies = joined(list(dict.fromkeys(run.study for run in model.runs)))
    kind = "generators" if any(run.draws for run in model.runs) else "report"
    subject = "domain adaptation" if len(model.adapting) == len(model.runs) else kind
    write_text(out, render(model, title or f"{studies}: {subject}", missing))
    return out


def render(model: PageModel, title: str, missing: Sequence[str] = ()) -> str:
    """The page as HTML; `missing` as `write_page` takes it."""
    runs = model.runs
    leads = [ADAPTATION_LEAD] if model.adapting else []
    leads += [GENERATOR_LEAD] if any(run.draws for run in runs) else []
    versions = ", ".join(sorted({str(run.config.get("genshift", "?")) for run in runs}))
    # Names come from folders and files of anyone: all text is escaped, and an unknown variable is an error.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html")).render(
        title=title,
        lead=" ".join(leads) or GENERIC_LEAD,
        made=f"genshift {versions} · {counted(len(runs), 'run')}",
        missing=[*missing, *(f"Left out: {sentence}" for sentence in model.unread)],
        warnings=model.cautions,
        top=blocks_of(OVERVIEW, model, PAGE),
        sections=[*subject_sections(model, PAGE), *closing_sections(model, PAGE)],
        css=Markup(_asset("page.css")),
        js=Markup(_asset("page.js")),
        plotly=Markup(get_plotlyjs()),
        embed=lambda spec: Markup(spec.replace("<", "\\u003c")),  # no '<' may end its script element early
    )


def _asset(name: str) -> str:
    return files("genshift.report").joinpath(name).read_text(encoding="utf-8")
