"""What to cite: the papers behind the methods, the data and the choices of a page's adaptation runs."""

from __future__ import annotations

from collections.abc import Sequence

from genshift.presets.methods import METHODS
from genshift.presets.papers import (
    BSDS_PAPER,
    DANN_PAPER,
    DEV_PAPER,
    ENSV_PAPER,
    MNIST_PAPER,
    SND_PAPER,
    SVHN_PAPER,
    UCI_PAPER,
    USPS_PAPER,
    Paper,
)
from genshift.report.blocks import Block, Printed, Section, Terms
from genshift.runs.records import RunRecord

TITLE = "What to cite"

DATA = {
    "mnist": (MNIST_PAPER,),
    "mnistm": (DANN_PAPER, MNIST_PAPER, BSDS_PAPER),
    "usps": (USPS_PAPER,),
    "svhn": (SVHN_PAPER,),
    "uci": (UCI_PAPER,),
    "uci-m": (UCI_PAPER,),
}
SCORES = {
    "soft neighbourhood density": (SND_PAPER,),
    "deep embedded validation": (DEV_PAPER,),
    "agreement with the ensemble": (ENSV_PAPER,),
}


def what_to_cite(runs: Sequence[RunRecord]) -> list[Section]:
    """The papers of the runs that adapt, by what each is cited for, and one BibTeX block; none without such runs."""
    subjects = cited_for([run for run in runs if run.adapts])
    if not subjects:
        return []
    terms = [(subject, f"{'; '.join(paper.line for paper in papers)}.") for subject, papers in subjects]
    entries = dict.fromkeys(paper for _, papers in subjects for paper in papers)
    blocks: list[Block] = [Terms(tuple(terms)), Printed("\n\n".join(paper.bibtex for paper in entries), "BibTeX")]
    return [Section(TITLE, blocks)]


def cited_for(adapting: Sequence[RunRecord]) -> list[tuple[str, tuple[Paper, ...]]]:
    """(method, data set or score, its papers): methods in the order of tables, then data, then scores."""
    methods = {run.method for run in adapting}
    used = {entry.name for run in adapting for entry in run.data.values()}
    found = [(row.title, row.papers) for name, row in METHODS.items() if name in methods and row.papers]
    found += [(name, DATA[name]) for name in DATA if name in {set_name.partition(":")[0] for set_name in used}]
    return found + (list(SCORES.items()) if any(run.scores for run in adapting) else [])
