"""THE table of contents: which sections there are, in which order and for which runs, and which blocks each has.

The page and results.md both follow it. A subject goes to the first of `SECTIONS` that takes it. A part is a function:
it is given what its section is about and returns blocks, for both documents unless it names one. To add a kind of runs,
write its builders in `sections/` and add a `SectionKind` here; to add a block, add a `Part`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from genshift.report.blocks import Block, Section
from genshift.report.model.formatting import joined
from genshift.report.model.page_model import PageModel, Subject
from genshift.report.sections import (
    adaptation,
    citations,
    diffusion,
    generators,
    label_free,
    method_comparison,
    provenance,
    shared,
    shortfalls,
)

Document = Literal["page", "results.md"]
PAGE: Document = "page"
RESULTS_MD: Document = "results.md"
About = TypeVar("About", PageModel, Subject)


@dataclass(frozen=True)
class Part(Generic[About]):
    """Some blocks; `only`: the one document that has them; `when`: for which subjects they are made."""

    blocks: Callable[[About], Sequence[Block]]
    only: Document | None = None
    when: Callable[[About], bool] = lambda about: True


@dataclass(frozen=True)
class SectionKind(Generic[About]):
    """A section of what `takes` says it is about; `heading`: its title in results.md, below the study's name."""

    takes: Callable[[About], bool]
    title: Callable[[About], str]
    parts: Sequence[Part[About]]
    heading: Callable[[About], str] | None = None


# The results of all runs, above the sections.
OVERVIEW: tuple[Part[PageModel], ...] = (
    Part(method_comparison.methods_by_task),
    Part(method_comparison.settings_by_task),
    Part(adaptation.all_tasks, only=PAGE),
)

PROVENANCE: tuple[Part[Subject], ...] = (
    Part(provenance.settings, only=PAGE),
    Part(provenance.networks, only=PAGE),
    Part(provenance.data, only=PAGE),
    Part(provenance.reproduce, only=PAGE),
    Part(provenance.commands, only=RESULTS_MD),
)

SECTIONS: tuple[SectionKind[Subject], ...] = (
    SectionKind(
        takes=lambda subject: subject.first.of_adaptation,
        title=lambda subject: f"{subject.first.study}: {subject.first.task}",
        heading=lambda subject: subject.first.task,
        parts=(
            Part(adaptation.finding, only=PAGE),
            Part(shared.warnings, only=PAGE),
            Part(adaptation.seeds, only=PAGE),
            Part(adaptation.task_table, only=RESULTS_MD),
            Part(adaptation.pictures, only=PAGE),
            Part(adaptation.latent_space, only=PAGE, when=adaptation.few),
            Part(adaptation.confusions, only=PAGE, when=adaptation.few),
            Part(shared.curves, only=PAGE, when=adaptation.few),
            Part(adaptation.one_by_one, only=PAGE, when=adaptation.many),
            *PROVENANCE,
        ),
    ),
    SectionKind(
        takes=lambda subject: subject.first.draws,
        title=lambda subject: f"{joined(subject.studies)}: {generators.heading(subject)}",
        heading=generators.heading,
        parts=(
            Part(generators.finding, only=PAGE),
            Part(shared.warnings, only=PAGE),
            Part(shared.measures, only=PAGE),
            Part(shared.recorded_measures, only=RESULTS_MD),
            Part(diffusion.procedure, only=PAGE, when=diffusion.of_report),
            Part(generators.class_by_class, only=PAGE),
            Part(generators.pictures, only=PAGE),
            Part(generators.snapshots, only=PAGE),
            Part(diffusion.skips, when=diffusion.denoises),
            Part(diffusion.sweeps, only=PAGE, when=diffusion.denoises),
            Part(generators.curves, only=PAGE),
            Part(generators.latent_space, only=PAGE),
            *PROVENANCE,
        ),
    ),
    SectionKind(
        takes=lambda subject: True,
        title=lambda subject: f"{subject.first.study}: {subject.first.name}",
        heading=lambda subject: f"{subject.first.task}: {subject.first.name}",
        parts=(
            Part(shared.summary, only=PAGE),
            Part(shared.warnings, only=PAGE),
            Part(shared.measures, only=PAGE),
            Part(shared.recorded_measures, only=RESULTS_MD),
            Part(shared.curves, only=PAGE),
            *PROVENANCE,
        ),
    ),
)

# What a study of results.md ends with.
STUDY_END: tuple[Part[PageModel], ...] = (
    Part(provenance.data_sets, only=RESULTS_MD),
    Part(shortfalls.what_fell_short, only=RESULTS_MD),
)

# What all runs together tell, below the sections.
CLOSING: tuple[SectionKind[PageModel], ...] = (
    SectionKind(
        takes=lambda model: bool(model.choices),
        title=lambda model: label_free.RULES_TITLE,
        parts=(Part(label_free.regrets), Part(label_free.rules_and_scores, only=PAGE)),
    ),
    SectionKind(
        takes=lambda model: bool(model.estimates),
        title=label_free.estimates_title,
        parts=(Part(label_free.estimates),),
    ),
    SectionKind(
        takes=lambda model: bool(model.adapting),
        title=lambda model: citations.TITLE,
        parts=(Part(citations.citations, only=PAGE),),
    ),
)


def blocks_of(parts: Iterable[Part[About]], about: About, document: Document) -> list[Block]:
    """The blocks that some parts have in a document."""
    here = [part for part in parts if part.only in (None, document) and part.when(about)]
    return [block for part in here for block in part.blocks(about)]


def subject_sections(model: PageModel, document: Document) -> list[Section]:
    """One section a subject, each of the first kind that takes it, in the order of the kinds."""
    sections = []
    rest = list(model.subjects)
    for kind in SECTIONS:
        for subject in filter(kind.takes, rest):
            title = kind.title if document == PAGE or kind.heading is None else kind.heading
            sections.append(Section(title(subject), blocks_of(kind.parts, subject, document)))
        rest = [subject for subject in rest if not kind.takes(subject)]
    return sections


def closing_sections(model: PageModel, document: Document) -> list[Section]:
    """The sections over all runs that there is anything to say in."""
    kinds = [kind for kind in CLOSING if kind.takes(model)]
    sections = [Section(kind.title(model), blocks_of(kind.parts, model, document)) for kind in kinds]
    return [section for section in sections if section.blocks]
