"""THE table of contents: which sections there are, in which order and for which runs, and which blocks each has.

The page and results.md both follow it. A subject goes to the first of `SECTIONS` that takes it. A part is a function:
it is given what its section is about and returns blocks, for both documents unless it names one. To add a kind of runs,
write its builders in `sections/` and add a `SectionKind` here; to add a block, add a `Part`.
"""

from __future__ import annotations

from genshift.report.blocks import Block, Section
from genshift.report.model.formatting import joined
from genshift.report.model.page_model import PageModel, Subject, page_model
from genshift.report.parts import PAGE, RESULTS_MD, Document, Part, SectionKind, blocks_of
from genshift.report.problems import COMPARE_FAMILIES, problem_sections
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
    verdict,
)

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
            Part(adaptation.answers, only=PAGE),
            Part(verdict.verdicts, only=PAGE),
            Part(shared.warnings, only=PAGE),
            Part(shared.kept_in_part, only=PAGE),
            Part(adaptation.seeds, only=PAGE),
            Part(adaptation.task_table, only=RESULTS_MD),
            Part(adaptation.pictures, only=PAGE),
            Part(verdict.coverage, only=PAGE),
            Part(adaptation.probes),
            Part(adaptation.difficulty, only=PAGE),
            Part(adaptation.latent_space, only=PAGE, when=adaptation.few),
            Part(adaptation.confusions, only=PAGE, when=adaptation.few),
            Part(shared.curves, only=PAGE, when=adaptation.few),
            Part(adaptation.one_by_one, only=PAGE, when=adaptation.many),
            Part(adaptation.flow, only=PAGE),
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
            Part(shared.kept_in_part, only=PAGE),
            Part(shared.measures, only=PAGE),
            Part(shared.recorded_measures, only=RESULTS_MD),
            Part(diffusion.procedure, only=PAGE, when=diffusion.of_report),
            Part(generators.stability, only=PAGE),
            Part(generators.class_by_class, only=PAGE),
            Part(generators.attribute_changes, only=PAGE),
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
            Part(shared.kept_in_part, only=PAGE),
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
        takes=lambda model: not COMPARE_FAMILIES & {run.name for run in model.runs},
        title=lambda model: "Families of generators",
        parts=(Part(generators.families, only=PAGE),),
    ),
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


BEYOND = "Beyond the reports"


def page_contents(model: PageModel) -> tuple[list[Block], list[Section]]:
    """The page's results, and its sections: the reports' problems in their own order, then what is beyond them."""
    found, answers, left = problem_sections(model)
    rest = page_model([run for group in left for run in group.runs]) if answers else model
    results, sections = blocks_of(OVERVIEW, rest, PAGE), subject_sections(rest, PAGE)
    if answers and results:
        sections = [Section(BEYOND, results), *sections]
    return found if answers else results, [*answers, *sections, *closing_sections(model, PAGE)]


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
