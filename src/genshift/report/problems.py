"""The two reports, problem by problem in their own order: each question in our words, and the blocks that answer it.

A question becomes a section of the page. To answer one with a further block, add its builder to the question's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from genshift.report.blocks import Block, Bullets, Folded, Heading, Prose, Section
from genshift.report.model.grouping import Group
from genshift.report.model.method_comparison import method_options, settings_tables
from genshift.report.model.page_model import PageModel, Subject, restricted
from genshift.report.parts import PAGE, Part, blocks_of
from genshift.report.sections import adaptation, diffusion, generators, method_comparison, provenance, shared

COMPARE_FAMILIES = {"hw2-diffusion", "hw3-gan"}  # presets of problems that ask for families side by side


@dataclass(frozen=True)
class Case:
    """What the questions of a problem are about: its runs, subject by subject; every run of the report's presets, those
    with settings of their own too; and the page's model of all runs. `fresh` are the subjects with the groups alone
    that no problem before has shown."""

    subjects: tuple[Subject, ...]
    fresh: tuple[Subject, ...]
    groups: tuple[Group, ...]
    model: PageModel


@dataclass(frozen=True)
class Question:
    title: str
    parts: Sequence[Part[Case]]


@dataclass(frozen=True)
class Problem:
    """A problem of a report: which groups of runs it is about, and its questions.

    `methods`: of adaptation, those that stand in its tables, of which `asks` must be there for the problem to be.
    """

    report: str
    family: str
    questions: Sequence[Question]
    methods: tuple[str, ...] = ()
    asks: str = ""

    def of_report(self, group: Group) -> bool:
        """Whether a group is of the report's own presets."""
        run = group.first
        mine = (run.family, run.report) == (self.family, self.report)
        return mine and (not self.methods or run.method in self.methods)

    def takes(self, group: Group) -> bool:
        """Whether a group stands in this problem's tables: the report's as it is, and beside its generators ours."""
        if self.methods:
            return self.of_report(group) and not method_options(group.first)
        ours = group.first.family == self.family and not group.first.report
        return ours or self.of_report(group)


def each(builder: Callable[[Subject], Sequence[Block]], once: bool = False) -> Part[Case]:
    """A part that does for every subject what `builder` does for one; headings then say which it is.

    once: groups that a problem before has shown are left out.
    """

    def blocks(case: Case) -> list[Block]:
        subjects = case.fresh if once else case.subjects
        if len(subjects) == 1:
            return list(builder(subjects[0]))
        return [block for subject in subjects for block in _titled(builder(subject), subject.first.task)]

    return Part(blocks)


def _titled(blocks: Sequence[Block], task: str) -> list[Block]:
    """The blocks with the task in their headings, and in what stands under none."""
    titled: list[Block] = []
    for block in blocks:
        if isinstance(block, Heading):
            block = replace(block, text=f"{task}: {block.text[0].lower()}{block.text[1:]}")
        elif isinstance(block, Prose) and not any(isinstance(before, Heading) for before in titled):
            block = replace(block, text=f"{task}: {block.text}")
        titled.append(block)
    return titled


def pictures(*names: str, but: bool = False) -> Part[Case]:
    """The pictures of these file names without their endings; all `but` these where that is set."""
    return each(lambda subject: generators.pictures(subject, lambda name: (name in names) != but))


def _foundations(case: Case) -> list[Block]:
    """Settings, data and commands, folded: what they are changes nothing in an answer."""
    return [
        Folded(f"{subject.first.task}: settings, data, commands", blocks)
        for subject in case.subjects
        if (blocks := blocks_of(FOUNDATIONS, subject, PAGE))
    ]


FOUNDATIONS: tuple[Part[Subject], ...] = (
    Part(provenance.settings),
    Part(provenance.data),
    Part(provenance.reproduce),
)
AGAIN = Part(_foundations)
NETWORKS = each(provenance.networks)
DRAWN, MORE = pictures("grid"), pictures("grid", but=True)
KEPT = each(shared.kept_in_part)
MEASURES = (each(generators.finding), KEPT, each(shared.measures))
TROUBLE = (each(shared.warnings), each(generators.curves))
FAMILIES = Part[Case](lambda case: generators.families(case.model))
PROBES = each(adaptation.probes)
GUIDANCE = (each(diffusion.skips), each(diffusion.sweeps))
STABILITY = each(generators.stability)
FLOW = Part[Case](lambda case: adaptation.flow(case.subjects[0]))  # of all tasks one
ADAPTED = (
    each(adaptation.pictures, once=True),
    each(adaptation.confusions, once=True),
    each(adaptation.difficulty, once=True),
    each(shared.warnings, once=True),
    each(shared.curves, once=True),
)
TABLE = Part[Case](lambda case: adaptation.published_table(case.subjects, case.model))
DECIDED = Part[Case](lambda case: method_comparison.settings_blocks(settings_tables(case.groups)))

PROBLEMS: tuple[Problem, ...] = (
    Problem("hw2", "gan", (
        Question("P1.1 The two pairs of networks, A and B", (NETWORKS,)),
        Question("P1.2 What A and B draw, and how good it is", (DRAWN, *MEASURES, MORE)),
        Question("P1.3 What keeps the training steady", (STABILITY, *TROUBLE, each(generators.snapshots), AGAIN)),
    )),
    Problem("hw2", "diffusion", (
        Question("P2.1 The network, its training, and how it draws", (each(diffusion.procedure), NETWORKS, *TROUBLE)),
        Question("P2.2 Ten of each digit", (pictures("reverse", but=True), *MEASURES, each(generators.class_by_class))),
        Question("P2.3 From noise to a digit, in six states", (pictures("reverse"), each(generators.snapshots))),
        Question("P2.4 What guidance brings and costs; beside the GANs", (*GUIDANCE, FAMILIES, AGAIN)),
    )),
    Problem("hw2", "adaptation", (
        Question("P3.1 How much adaptation brings, task by task", (TABLE, KEPT, each(adaptation.seeds))),
        Question("P3.2 The latent space, by class and by domain", (each(adaptation.latent_space), PROBES)),
        Question("P3.3 Three networks, and what made the difference", (NETWORKS, DECIDED, *ADAPTED, AGAIN)),
    ), methods=("source", "dann", "target"), asks="dann"),
    Problem("hw3", "vae", (
        Question("P1.1 Encoder and decoder", (NETWORKS,)),
        Question("P1.2 How it learnt", TROUBLE),
        Question("P1.3 Ten pictures, reconstructed, with their errors", (pictures("reconstructions"),)),
        Question("P1.4 What it draws", (pictures("reconstructions", but=True), each(generators.snapshots))),
        Question("P1.5 The latent space at three stages, by sex", (each(generators.latent_space),)),
        Question("P1.6 Blurred or not, diverse or not", (*MEASURES, each(generators.attribute_changes), AGAIN)),
    )),
    Problem("hw3", "gan", (
        Question("P2.1 Generator and discriminator", (NETWORKS,)),
        Question("P2.2 What it draws", (DRAWN, each(generators.snapshots))),
        Question("P2.3 Sharp or distorted, and how they balance", (STABILITY, *TROUBLE, *MEASURES, MORE)),
        Question("P2.4 VAE against GAN", (FAMILIES, AGAIN)),
    )),
    Problem("hw3", "adaptation", (
        Question("P3.1 to P3.3 Source only, DANN, and trained on the target", (TABLE, KEPT, each(adaptation.seeds))),
        Question("P3.4 The latent space of DANN, by class and by domain", (each(adaptation.latent_space), PROBES)),
        Question("P3.5 The networks, with the reversal layer", (NETWORKS,)),
        Question("P3.6 What decides", (DECIDED, *ADAPTED, AGAIN)),
    ), methods=("source", "dann", "target"), asks="dann"),
    Problem("hw3", "adaptation", (
        Question("P4.1 ADDA beside source only", (TABLE, KEPT, each(adaptation.seeds))),
        Question("P4.2 The latent space of ADDA, by class and by domain", (each(adaptation.latent_space), PROBES)),
        Question("P4.3 Four networks in three roles", (FLOW, NETWORKS)),
        Question("P4.4 What decides", (DECIDED, *ADAPTED, AGAIN)),
    ), methods=("source", "dann", "adda"), asks="adda"),
)  # fmt: skip


def problem_sections(model: PageModel) -> tuple[list[Block], list[Section], list[Group]]:
    """What came out, problem by problem; a section a question, in the reports' order, of the problems that the runs are
    about; and the groups that stand in none."""
    findings: list[tuple[str, tuple[str, ...]]] = []
    sections: list[Section] = []
    left = list(model.groups)
    for problem in PROBLEMS:
        known = [group for group in model.groups if problem.of_report(group)]
        if not known or (problem.asks and problem.asks not in {group.method for group in known}):
            continue
        # The sets that the report's own runs are of; in each the report's runs come first. Where all were given other
        # settings than the report's, they are no answer to it.
        subjects, number = [], problem.questions[0].title.partition(".")[0]
        for subject in model.subjects:
            groups = sorted(filter(problem.takes, subject.groups), key=lambda group: not problem.of_report(group))
            own = restricted(subject, [group for group in groups if problem.of_report(group)])
            if own.groups:
                subjects.append(restricted(subject, groups))
                (said,) = adaptation.finding(own) if problem.methods else generators.finding(own)
                findings.append((f"{problem.report} {number}, {subject.first.task}: {said.text}", ()))
        if not subjects:
            continue
        fresh = [restricted(subject, new) for subject in subjects if (new := [g for g in subject.groups if g in left])]
        case = Case(tuple(subjects), tuple(fresh), tuple(known), model)
        placed = {group for subject in subjects for group in subject.groups} | set(known)
        left = [group for group in left if group not in placed]
        for question in problem.questions:
            if blocks := blocks_of(question.parts, case, PAGE):
                sections.append(Section(f"{problem.report} {question.title}", blocks))
    return [Bullets(findings)] if findings else [], sections, left
