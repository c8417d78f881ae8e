"""The queue of target pictures to label: the same plan, records and estimate as `genshift label`'s.

This alone writes into a run: the plan when pictures are drawn, a CSV when labels are saved, and what `genshift evaluate
--labels` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from genshift.errors import Refusal
from genshift.evaluation import evaluate as evaluating
from genshift.evaluation import labelling, labels
from genshift.evaluation.labelling import Order, Queue
from genshift.evaluation.labelling_page import keys_of
from genshift.evaluation.options import EvaluationOptions
from genshift.paths import output_folder
from genshift.runs.files import as_written, csv_text, write_text
from genshift.runs.folder import RunFolder
from genshift.runs.forms import AUDIT
from genshift.runs.owner import MEASURING, owned
from genshift.studio.diffusion import OfRun
from genshift.studio.workshop import Workshop
from genshift.training.console import Console

COMMAND = "genshift studio"


class DrawQueue(Struct, forbid_unknown_fields=True):
    """Pictures to label, `count` in all."""

    run: str
    count: Annotated[int, Meta(ge=1, le=1_000)] = 50


class Said(Struct, forbid_unknown_fields=True):
    """What was answered: a class's place, or −1 and why there is none."""

    label: int
    said: Literal["", "none of these", "skipped"] = ""


class SaveLabels(Struct, forbid_unknown_fields=True):
    """Answers to the pictures of the last drawing, by their places in it; those that were not answered are left out."""

    run: str
    plan: str
    first: int
    answers: dict[int, Said]


def known(workshop: Workshop, asked: OfRun) -> dict[str, Any]:
    """What was drawn and labelled before, and what it says of the run's accuracy."""
    folder = workshop.path(asked.run)
    labels.audited_preset(workshop.open(asked.run).model.run)
    plan = labels.read_plan(folder / labels.FOLDER / labels.PLAN)
    audit = RunFolder(folder).read_if_there(AUDIT)
    files = [] if plan is None else [file.name for file in _saved(folder, plan)]
    return {
        "drawn": 0 if plan is None else plan.drawn,
        "files": files,
        "lines": labels.sentences(audit) if audit else [],
    }


def draw_queue(workshop: Workshop, asked: DrawQueue) -> dict[str, Any]:
    """Draws, writes the plan, and shows the pictures; nothing says what the run takes them for."""
    queue = _queue(workshop, asked.run, asked.count)
    run = workshop.open(asked.run).model.run
    shown = [
        {"name": as_written(one.name), "source": one.source, "small": one.small, "place": place}
        for place, one in enumerate(queue.pictures())
    ]
    output_folder(queue.drawing.plan.parent)
    with owned(run.folder, MEASURING, command=COMMAND, say=Console().say):
        labels.write_plan(queue.drawing.plan, queue.plan, run)
    return {
        "plan": queue.plan.name,
        "first": queue.drawing.first,
        "last": queue.drawing.last,
        "file": str(queue.drawing.csv.name),
        "pictures": shown,
        "classes": [as_written(name) for name in run.classes],
        "keys": keys_of(run.classes),
    }


def save_labels(workshop: Workshop, asked: SaveLabels) -> dict[str, Any]:
    """Writes the CSV that the page of `genshift label` would have saved, and tells the accuracy by all labels of the
    plan. Refusal where it is there already, or something else was drawn meanwhile."""
    run = workshop.open(asked.run).model.run
    folder = run.folder.path / labels.FOLDER
    plan = labels.read_plan(folder / labels.PLAN)
    if plan is None or plan.name != asked.plan or plan.before + 1 != asked.first:
        raise Refusal("Other pictures were drawn meanwhile: draw again, and label those.")
    queue = _queue(workshop, asked.run, plan.drawn)
    names = [queue.target.names[row] for row in queue.drawn[plan.before :]]
    lines = []
    for place, answer in sorted(asked.answers.items()):
        if (
            not 0 <= place < len(names)
            or not -1 <= answer.label < len(run.classes)
            or (answer.label < 0) != bool(answer.said)
        ):
            raise Refusal("An answer names no picture or no class of this run: reload the page.")
        label = run.classes[answer.label] if answer.label >= 0 else ""
        lines.append((as_written(names[place]), label, answer.said, plan.name))
    if not any(line[1] for line in lines):
        raise Refusal("No picture was given a class: label some first.")
    with owned(run.folder, MEASURING, command=COMMAND, say=Console().say):
        if queue.drawing.csv.exists():
            raise Refusal(f"{queue.drawing.csv.name} is saved already: draw more pictures, or move it away.")
        write_text(queue.drawing.csv, csv_text(labels.ANSWERS, lines, ""))
        options = EvaluationOptions(workshop.data_root, device=workshop.device, threads=workshop.threads)
        with workshop.computing:
            found = evaluating.audit(run.folder.path, _saved(run.folder.path, plan), options)
    more = found.get("more_to_halve", 0)
    halved = [f"About {more:,} more labels would halve the interval."] if more else []
    return {"file": queue.drawing.csv.name, "n": found["n"], "more": more, "lines": [*labels.sentences(found), *halved]}


def _queue(workshop: Workshop, name: str, count: int) -> Queue:
    opened = workshop.open(name)
    run = opened.model.run
    with workshop.computing:
        return labelling.queued(run, run.folder.path / labels.FOLDER, Order(count), workshop.data_root)


def _saved(run: Path, plan: labels.Plan) -> list[Path]:
    """The CSVs of a plan's labels in a run."""
    return sorted((run / labels.FOLDER).glob(f"labels-{plan.name}-*.csv"))
