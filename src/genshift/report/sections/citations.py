"""What to cite: the papers behind the methods, the data and the choices of a page's adaptation runs."""

from __future__ import annotations

from collections.abc import Sequence

from genshift.data.catalog import CATALOG
from genshift.papers import Paper
from genshift.presets.methods import METHODS
from genshift.presets.papers import DEV_PAPER, ENSV_PAPER, SND_PAPER
from genshift.report.blocks import Block, Printed, Terms
from genshift.report.model.page_model import PageModel
from genshift.runs.records import RunRecord

TITLE = "What to cite"

SCORES = {
    "soft neighbourhood density": (SND_PAPER,),
    "deep embedded validation": (DEV_PAPER,),
    "agreement with the ensemble": (ENSV_PAPER,),
}


def citations(model: PageModel) -> list[Block]:
    """The papers by what each is cited for, and one BibTeX block."""
    subjects = cited_for(model.adapting)
    terms = [(subject, f"{'; '.join(paper.line for paper in papers)}.") for subject, papers in subjects]
    entries = dict.fromkeys(paper for _, papers in subjects for paper in papers)
    return [Terms(terms), Printed("\n\n".join(paper.bibtex for paper in entries), "BibTeX")] if terms else []


def cited_for(adapting: Sequence[RunRecord]) -> list[tuple[str, tuple[Paper, ...]]]:
    """(method, data set or score, its papers): methods in the order of tables, then data, then scores."""
    methods = {run.method for run in adapting}
    # What follows a colon in a recorded name is a part of the set.
    sets = {entry.name.partition(":")[0] for run in adapting for entry in run.data.values()}
    cited = [(row.title, row.papers) for name, row in METHODS.items() if name in methods and row.papers]
    cited += [(name, data.papers) for name, data in CATALOG.items() if name in sets and data.papers]
    return cited + (list(SCORES.items()) if any(run.scores for run in adapting) else [])
