"""One HTML page from run folders, whole in itself but for plotly where pages share it: it opens without a network, on a
phone and on paper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from genshift.errors import Refusal
from genshift.paths import AnyPath, given_path, given_paths, output_file
from genshift.report.contents import page_contents
from genshift.report.model.formatting import counted, joined
from genshift.report.model.page_model import PageModel, page_model
from genshift.report.model.run_records import readable_runs
from genshift.report.real_pictures import with_real_pictures
from genshift.report.record import record as write_record
from genshift.runs.files import write_text
from genshift.runs.find import find_runs
from genshift.runs.records import REPORTS

PLOTLY = b"plotly.js v"  # near the beginning of its file
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


def report(
    folders: AnyPath | Iterable[AnyPath],
    out: AnyPath | None = None,
    title: str | None = None,
    *,
    record: AnyPath | None = None,
    plotly: AnyPath | None = None,
    data_root: AnyPath | None = None,
    to_share: bool = False,
    figures: AnyPath | None = None,
) -> Path:
    """Writes a page (`.html`) of the runs in `folders`, or, where `out` ends in `.md`, the table of recorded results
    from one folder of `<study>/<run>/`.

    record: a folder that gets a record of each run, with or without a page. plotly: the file of plotly's that the page
    then refers to instead of holding it, for several pages to share; it is written where it is not there. Of records,
    real pictures that they leave out are shown where they are found, below `data_root` or where data is looked for;
    `to_share` leaves out of any page what a record would. figures: a folder that gets each drawing as SVG, PNG and PDF,
    and each picture. Returns the page, or the record or the folder of figures where only that is asked for. Refusal
    where something cannot be written, before anything is read.
    """
    folders = given_paths(folders)
    of_page = {"title": title, "plotly": plotly, "data_root": data_root, "to_share": to_share or None}
    given = [f"--{name.replace('_', '-')}" for name, value in of_page.items() if value is not None]
    root = None if data_root is None else given_path(data_root)
    if to_share and root is not None:
        raise Refusal("--to-share leaves out real pictures that --data-root would bring in: give one of them.")
    if out is None:
        if record is None and figures is None:
            raise Refusal("Nothing is to be written: name --out page.html, --record DIR or --figures DIR.")
        if given:
            raise Refusal(f"{given[0]} is of the page, which is not asked for: name --out page.html too.")
        runs = find_runs(folders)
        if record is None:
            assert figures is not None  # one of both is asked for
            return _write_figures(runs, figures)
        written = write_record(runs, given_path(record))
        return written if figures is None else _write_figures(runs, figures)
    out = output_file(out)
    if out.suffix == ".md":
        given += ["--record"] if record is not None else []
        given += ["--figures"] if figures is not None else []
        if len(folders) != 1:
            raise Refusal("A results table is written from one folder of <study>/<run>/: name just that one.")
        if given:
            raise Refusal(f"{out} is a results table, which has no title, picture or drawing: leave {given[0]} out.")
        from genshift.report.results_md import write_results

        return write_results(folders[0], out)
    script = None if plotly is None else output_file(plotly)
    runs = find_runs(folders)
    if record is not None:
        write_record(runs, given_path(record))
    if figures is not None:
        _write_figures(runs, figures)
    if not to_share:
        return write_page(runs, out, title, script, root)
    # Runs of one folder stay beside each other: those of another may bear the same names.
    beside: dict[Path, list[Path]] = {}
    for run in runs:
        beside.setdefault(run.resolve().parent, []).append(run)
    with TemporaryDirectory() as shared:
        kept = [write_record(group, Path(shared, str(place))) for place, group in enumerate(beside.values())]
        return write_page(find_runs(kept), out, title, script, None, fill=False)


def _write_figures(runs: Sequence[Path], figures: AnyPath) -> Path:
    """Writes the drawings of the runs' page into the folder `figures`, which is returned."""
    from genshift.report.figure_files import write_figures

    return write_figures(page_model(readable_runs(runs)[0]), given_path(figures))


def write_page(
    run_folders: Sequence[Path],
    out: Path,
    title: str | None = None,
    plotly: Path | None = None,
    data_root: Path | None = None,
    fill: bool = True,
    missing: Sequence[str] = (),
) -> Path:
    """Writes the page of `run_folders` to `out` and returns it; `fill` shows what records hide, where it is found, and
    `missing` are sentences on what it does not show.

    The file appears whole or not at all. A run that cannot be read is left out, and the page says so. Refusal where
    none can be read, or `out` cannot be written.
    """
    runs, unread = readable_runs(run_folders)
    model = page_model(with_real_pictures(runs, data_root) if fill else runs, unread=unread)
    studies = joined(list(dict.fromkeys(run.study for run in model.runs)))
    kind = "generators" if any(run.draws for run in model.runs) else "report"
    subject = "domain adaptation" if len(model.adapting) == len(model.runs) else kind
    reports = [name for name in REPORTS if name in {run.report for run in runs}]
    named = f"{joined(reports)}, question by question" if reports else f"{studies}: {subject}"
    source = "" if plotly is None else _shared_plotly(plotly, out)
    write_text(out, render(model, title or named, source, missing))
    return out


def _shared_plotly(script: Path, out: Path) -> str:
    """Writes plotly's file where it is not there, or of another version; its address as the page `out` has it."""
    wanted = get_plotlyjs()
    if script.resolve() == out.resolve():
        raise Refusal(f"--plotly {script} is the page itself: name a file beside it.")
    if script.exists():
        there = script.read_bytes()
        if PLOTLY not in there[:200]:
            raise Refusal(f"--plotly {script} is something else than plotly's file: name another.")
        if there == wanted.encode("utf-8"):
            wanted = ""
    if wanted:
        write_text(script, wanted)
    try:
        relative = os.path.relpath(script.resolve(), out.resolve().parent)
    except ValueError as error:  # Windows has no path from one drive to another
        raise Refusal(f"--plotly {script} lies on another drive than {out}: name a file beside the page.") from error
    return quote(Path(relative).as_posix())


def render(model: PageModel, title: str, plotly: str = "", missing: Sequence[str] = ()) -> str:
    """The page as HTML, with plotly inside, or at the address `plotly`; `missing` as `write_page` takes it."""
    runs = model.runs
    leads = [ADAPTATION_LEAD] if model.adapting else []
    leads += [GENERATOR_LEAD] if any(run.draws for run in runs) else []
    versions = ", ".join(sorted({str(run.config.get("genshift", "?")) for run in runs}))
    results, sections = page_contents(model)
    # Names come from folders and files of anyone: all text is escaped, and an unknown variable is an error.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html")).render(
        title=title,
        lead=" ".join(leads) or GENERIC_LEAD,
        made=f"genshift {versions} · {counted(len(runs), 'run')}",
        missing=[*missing, *(f"Left out: {sentence}" for sentence in model.unread)],
        top=results,
        sections=sections,
        css=Markup(_asset("page.css")),
        js=Markup(_asset("page.js")),
        plotly=plotly or Markup(get_plotlyjs()),
        shared=bool(plotly),
        embed=lambda spec: Markup(spec.replace("<", "\\u003c")),  # no '<' may end its script element early
    )


def _asset(name: str) -> str:
    return files("genshift.report").joinpath(name).read_text(encoding="utf-8")
