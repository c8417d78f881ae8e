"""A task of adaptation: source-only, adapted and trained-on-target runs side by side; and all tasks in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from genshift.report.blocks import Block, Cell, Choice, Figure, Figures, Heading, Option, Pictures, Prose, Table, Terms
from genshift.report.figures import adaptation as figures
from genshift.report.figures.flows import adda_flow
from genshift.report.figures.pictures import picture
from genshift.report.figures.thumbnails import thumbnails
from genshift.report.model.formatting import (
    NONE,
    count_text,
    difference_text,
    images_text,
    minutes_text,
    ours_text,
    published_text,
    seeds_text,
)
from genshift.report.model.grouping import Group
from genshift.report.model.measures import CLASS_PROBE, DOMAIN_PROBE, TARGET_ACCURACY, metric_of, percent
from genshift.report.model.page_model import PageModel, Subject
from genshift.report.model.summary import T_SNE, Row, row_of, why_missing
from genshift.report.real_pictures import hidden_note
from genshift.report.sections.shared import CURVES

SIDE_BY_SIDE = 4  # methods of one task, drawn large; more of them are chosen from
BOUNDS = ("source", "target")  # these methods learn from one domain alone
GLANCE = (
    "Each way's first seed: t-SNE of its features coloured by class, the same by domain (source blue, target red), and "
    "the confusion matrix on the target's test images (rows are true classes). Press one to see it in full. The oracle "
    "uses target labels: it is shown and never steers training or selection."
)


# --- tables -----------------------------------------------------------------------------------------------------------


def all_tasks(model: PageModel) -> list[Block]:
    """Every task of adaptation in one table and one drawing; other kinds of runs have theirs in their sections."""
    rows = [row for row in model.rows if row.group.first.of_adaptation]
    if not rows:
        return []
    bodies: dict[str, list[list[Cell]]] = {}
    for row in rows:
        counts = map(Cell, (seeds_text(row), count_text(row.n), images_text(row), minutes_text(row)))
        values = [Cell(ours_text(row), tone="quiet" if row.mean is None else ""), Cell(published_text(row))]
        difference = Cell(difference_text(row), tone=_tone(row))
        cells = [Cell(row.label), *values, difference, *counts]
        bodies.setdefault(f"{row.study}: {row.task}", []).append(cells)
    head = ["", "ours", "published", "difference", "seeds", "test images", "images seen", "CPU min"]
    apart = [Heading("By task, with published figures and cost")] if model.matrices or model.settings else []
    drawing = figures.overview(rows)
    shown = [Figures([drawing], columns=1)] if drawing else []
    return [*apart, Table(head, list(bodies.items()), _table_note(rows)), *shown]


def _table_note(rows: Sequence[Row]) -> str:
    note = ["Accuracy on the target's test images, in percent."]
    if any(row.sd is not None for row in rows):
        note.append("± is the standard deviation over the seeds.")
    if any(row.sd is None and row.standard_error is not None for row in rows):
        note.append("± with (se) is one seed's binomial standard error over its test images.")
    if any(row.published is not None for row in rows):
        note.append("Published is the figure of the report that is reproduced.")
    note.append("CPU minutes are the mean a run, all threads together.")
    return " ".join(note)


def published_table(subjects: Sequence[Subject], model: PageModel) -> list[Block]:
    """The report's figures beside ours, task by task, and beside them the best of genshift's on the same work, of the
    runs that the page knows."""
    bodies = []
    for subject in subjects:
        body = []
        for row in subject.rows:
            best = _best_of_ours(row, model.rows)
            ours = Cell(ours_text(row), tone="quiet" if row.mean is None else "")
            beyond = Cell(NONE if best is None else ours_text(best), note="" if best is None else best.label)
            values = [Cell(published_text(row)), ours, Cell(difference_text(row), tone=_tone(row)), beyond]
            counts = map(Cell, (seeds_text(row), images_text(row), minutes_text(row), count_text(row.n)))
            body.append([Cell(row.label), *values, *counts])
        bodies.append((subject.first.task, body))
    head = ["", "published", "ours", "difference", "genshift's best", "seeds", "images seen", "CPU min", "test images"]
    rows = [row for subject in subjects for row in subject.rows]
    beyond_note = "Genshift's best: another backbone and, where it adapts, another method, trained on the same sets."
    drawing = figures.overview(rows)
    table = Table(head, bodies, f"{_table_note(rows)} {beyond_note}")
    return [table, *([Figures([drawing], columns=1)] if drawing else [])]


def _best_of_ours(row: Row, rows: Sequence[Row]) -> Row | None:
    """The best row of the same task and part (a bound, or one that adapts) among the runs of no report."""
    beyond = [
        other for other in rows if other.task == row.task and other.mean is not None and not other.group.first.report
    ]
    same = [other for other in beyond if other.method == row.method or not {other.method, row.method} & set(BOUNDS)]
    return max(same, key=lambda other: other.mean or 0.0, default=None)


def _tone(row: Row) -> str:
    """Green at or above published, red below; a source-only model is a floor, so neither."""
    if row.difference is None or row.method == "source":
        return ""
    return "good" if row.difference >= 0 else "bad"


def task_table(subject: Subject) -> list[Block]:
    """One task's rows, each with the error that another draw of test images would bring."""
    body = []
    for row in subject.rows:
        error = f" ± {percent(row.standard_error)}" if row.n and row.standard_error is not None else ""
        values = [row.label, ours_text(row), published_text(row), difference_text(row), seeds_text(row)]
        values += [f"{count_text(row.n)}{error}", images_text(row), minutes_text(row)]
        body.append([Cell(value) for value in values])
    head = ["method", "ours", "published", "difference", "seeds", "test images (± se)", "images seen", "CPU min"]
    return [Table(head, [("", body)])]


def seeds(subject: Subject) -> list[Block]:
    """Each seed's accuracy with its own binomial error; nothing where there is one seed."""
    known = sorted({seed for row in subject.rows for seed in row.seeds})
    if len(known) < 2:
        return []
    body = []
    for row in subject.rows:
        # Of a seed that was given twice, the first.
        measured = {run.seed: run for run in reversed(row.group.runs) if run.value(row.metric) is not None}
        alone = {seed: row_of(replace(row.group, runs=(run,)), row.metric) for seed, run in measured.items()}
        texts = [ours_text(alone[seed]).replace(" (se)", "") if seed in alone else NONE for seed in known]
        body.append([Cell(row.label), *map(Cell, texts)])
    note = "± is each seed's binomial standard error."
    if any(group.first.evaluation or group.first.metrics for group in subject.groups):
        note += " The figures below are drawn from the first seed."
    return [Table(["", *(f"seed {seed}" for seed in known)], [(subject.first.task, body)], note)]


def probes(subject: Subject) -> list[Block]:
    """How far the domains are mixed and the classes apart in each method's features; nothing where no run says."""
    measured = [
        [row_of(group, metric) for metric in (DOMAIN_PROBE, CLASS_PROBE, TARGET_ACCURACY)] for group in subject.groups
    ]
    known = [rows for rows in measured if any(row.mean is not None for row in rows[:2])]
    if not known:
        return []
    head = ["", *(metric_of(row.metric).head for row in known[0]), "seeds"]
    body = []
    for rows in known:
        texts = [NONE if row.mean is None else ours_text(row) for row in rows]
        seeds = seeds_text(max(rows, key=lambda row: len(row.seeds)))
        body.append([Cell(text) for text in (rows[0].label, *texts, seeds)])
    terms = [(metric_of(row.metric).title, f"{metric_of(row.metric).meaning}.") for row in known[0]]
    taken = dict.fromkeys((row.metric, protocol) for rows in known for row in rows[:2] for protocol in row.protocols)
    measured_as = [(metric_of(metric).title, f"{protocol}.") for metric, protocol in taken]
    folded = Terms(measured_as, "How each was taken")
    return [Heading("Domains mixed, classes apart"), Table(head, [("", body)]), Terms(terms), folded]


def difficulty(subject: Subject) -> list[Block]:
    """Each method's accuracy on thirds of a target of house numbers, hard and easy; nothing where no run says."""
    known = [(group, rows) for group in subject.groups if (rows := group.first.evaluation.get("difficulty"))]
    if not known:
        return []
    head = ["", *(str(row["third"]) for row in known[0][1])]
    body = []
    for group, rows in known:
        texts = [f"{percent(row['accuracy'])} ± {percent(row.get('error') or 0.0)}" for row in rows]
        body.append([Cell(group.label), *map(Cell, texts)])
    note = (
        "Accuracy, in percent, of thirds of the target's test images: by blur (the variance of the Laplacian), then by "
        "what stands beside the digit (the share of edges in the left and the right quarter). ± is the binomial error; "
        "the first seed."
    )
    return [Heading("What is got wrong: blur and neighbouring digits"), Table(head, [("", body)], note)]


def finding(subject: Subject) -> list[Prose]:
    """What this task came to, in a sentence or two."""
    means = [(row, row.mean) for row in subject.rows if row.mean is not None]
    bases, bests = ([(row, mean) for row, mean in means if row.method == bound] for bound in BOUNDS)
    adapted = [(row, mean) for row, mean in means if row.method not in BOUNDS]
    if not bases or not adapted:
        return [
            Prose("Source only learns from labelled source images; adapted models see unlabelled target images too.")
        ]
    base = max(mean for _, mean in bases)
    sentences = [f"{row.label} reaches {percent(mean)} %." for row, mean in bases]
    # All of a few methods; of many the best, for the table above holds the rest.
    named = adapted if len(adapted) < SIDE_BY_SIDE else [max(adapted, key=lambda pair: pair[1])]
    for row, mean in named:
        gain = 100 * (mean - base)
        side = "above" if gain >= 0 else "below"
        sentences.append(f"{row.label} reaches {percent(mean)} %, {abs(gain):.1f} points {side} source only.")
    if bests:
        sentences.append(f"Training on the target's own labels gives {percent(max(mean for _, mean in bests))} %.")
    return [Prose(" ".join(sentences))]


# --- drawings ---------------------------------------------------------------------------------------------------------


def few(subject: Subject) -> bool:
    """Whether the drawings of all methods stand side by side."""
    return len(subject.groups) <= SIDE_BY_SIDE


def many(subject: Subject) -> bool:
    """Whether one method at a time is shown in full."""
    return not few(subject)


def answers(subject: Subject) -> list[Block]:
    """Of a user's own pictures, what each method makes of them: no label is needed."""
    return pictures(subject, ("surest", "least-sure", "contested", "nearest"))


def pictures(subject: Subject, names: Sequence[str] = ("domains", "mistakes")) -> list[Block]:
    """Pictures of both domains, once, and of every method those that it got wrong; or those of other `names`."""
    blocks: list[Block] = []
    for name in names:
        shown = [
            (group, entry)
            for group in subject.groups
            for entry in group.first.evaluation.get("pictures") or []
            if PurePosixPath(entry["file"]).stem == name  # of a record they have another ending
        ]
        if shown:
            title, once = shown[0][1].get("title", name), name == "domains"
            shown = shown[:1] if once else shown
            drawn = [
                picture(group.first, entry["file"], "" if once else group.label, entry.get("caption", ""),
                        f"{title} of {group.label}", entry.get("under", []))
                for group, entry in shown
            ]  # fmt: skip
            notes = dict.fromkeys(hidden_note(group.first, entry) for group, entry in shown)
            blocks += [Heading(title), *(Prose(note) for note in notes if note), Pictures(drawn)]
    return blocks


def latent_space(subject: Subject) -> list[Block]:
    """t-SNE before (source-only) and after adaptation, by class and by domain."""
    shown = [group for group in subject.groups if group.method != "target"]
    drawn = [group for group in shown if group.first.evaluation.get("tsne")]
    blocks: list[Block] = [Heading("Latent space")]
    if drawn:
        pairs = [figure for group in drawn for figure in _tsne_pair(group)]
        blocks += [Prose(_sample_note(drawn)), Figures(pairs, figures.class_legend(drawn[0].first))]
    return blocks + _missing(shown, drawn, T_SNE)


def _tsne_pair(group: Group) -> list[Figure]:
    before = group.label.replace("Source only", "Before adaptation")
    name = before if group.method == "source" else f"After {group.label}"
    return [figures.tsne_by_class(group.first, name), figures.tsne_by_domain(group.first, name)]


def _sample_note(drawn: Sequence[Group]) -> str:
    """Says which images are drawn, and whether they are the same ones in every figure."""
    points = [figures.tsne_points(group.first) for group in drawn]
    count, split = len(points[0].x), (drawn[0].first.evaluation["tsne"] or {}).get("split", "")
    note = f"t-SNE of the feature extractor's output over {count:,} images{f' of {split}' if split else ''}; "
    same = all((p.label, p.domain) == (points[0].label, points[0].domain) for p in points)
    if len(drawn) > 1:
        note += "every figure shows the same images. " if same else "the figures show DIFFERENT images. "
    return note + "Dots are source images, diamonds target images; distances between clusters have no unit."


def flow(subject: Subject) -> list[Block]:
    """How ADDA's networks are joined, where it is among the methods."""
    adapts = any(group.method == "adda" for group in subject.groups)
    return [Heading("How ADDA learns"), Figures([adda_flow()], columns=1)] if adapts else []


def confusions(subject: Subject) -> list[Block]:
    """Of every method that was tested on labels, and why there is none of the others."""
    drawn = [group for group in subject.groups if group.first.evaluation.get("confusion")]
    blocks: list[Block] = [Heading("Confusion on the target's test images")]
    if drawn:
        note = "Rows are true classes with their recall, columns predicted ones; colour is the share of the row."
        drawings = [figures.confusion_matrix(group.first, group.label) for group in drawn]
        blocks += [Prose(note), Figures(drawings, columns=3)]
    return blocks + _missing(subject.groups, drawn, TARGET_ACCURACY)


def _missing(groups: Sequence[Group], drawn: Sequence[Group], measure: str) -> list[Block]:
    """Names the groups that are not drawn, and why."""
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if group not in drawn:
            reasons.setdefault(why_missing(group.runs, measure), []).append(group.label)
    return [Prose(f"{', '.join(names)}: {reason}.") for reason, names in reasons.items()]


def one_by_one(subject: Subject) -> list[Block]:
    """Every method at a glance, and in full the one that is chosen; first the best of those that adapt."""
    groups, options = subject.groups, []
    for group in groups:
        accuracy = group.first.value(TARGET_ACCURACY)
        title = group.label if accuracy is None else f"{group.label}: {percent(accuracy)} %"
        # In full: the latent space in a row of its own, for its legend; below it confusion and curves.
        blocks: list[Block] = []
        if group.method != "target" and group.first.evaluation.get("tsne"):
            blocks.append(Figures(_tsne_pair(group), figures.class_legend(group.first)))
        rest: list[Figure] = []
        if group.first.evaluation.get("confusion"):
            rest.append(figures.confusion_matrix(group.first, group.label))
        rest += [figure for kind in CURVES if (figure := kind(group.first, group.label))]
        blocks += [Figures(rest, columns=3)] if rest else []
        options.append(Option(title, blocks, thumbnails(group.first, group.label)))
    # First in full: the best of those that adapt.
    adapting = [place for place, group in enumerate(groups) if group.method not in BOUNDS]
    shown = max(adapting, key=lambda place: groups[place].first.value(TARGET_ACCURACY) or 0.0, default=0)
    return [Heading("Latent space, confusion and curves"), Prose(GLANCE), Choice(options, shown)]
