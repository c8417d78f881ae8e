"""From a run's target to a page on which some of it is labelled: drawing, and what is written of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genshift.errors import Refusal
from genshift.evaluation import labels
from genshift.evaluation.labelling_page import ShownPicture, write_labelling_page
from genshift.evaluation.shown_pictures import shown
from genshift.presets import Adaptation
from genshift.runs.files import as_written, csv_text, write_text
from genshift.runs.trained_run import TrainedRun


@dataclass(frozen=True)
class Order:
    """What is to be drawn: so many pictures of a part of the target, by a seed (None: the plan's, else 0); and CSVs
    that hold labels already."""

    count: int
    seed: int | None = None
    split: str = "train"
    ready: Sequence[Path] | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Drawn:
    """What was written: the page, or the CSV of labels that were there already (`found` of them); pictures `first` to
    `last` of the plan's order."""

    plan: Path
    page: Path | None
    csv: Path
    first: int
    last: int
    found: int = 0


def label(
    run: TrainedRun, out: Path, order: Order, data_root: Path | None = None, places: Mapping[str, str] | None = None
) -> Drawn:
    """Draws pictures, or further ones to those of the plan that is there, and writes the plan and the page into `out`;
    Refusal as `genshift.api.label`."""
    queue = queued(run, out, order, data_root, places)
    if order.ready is not None:
        return _take_ready(run, out, order, queue)
    drawing, plan = queue.drawing, queue.plan
    pictures = list(queue.pictures())
    command = shlex.join(["genshift", "evaluate", str(run.folder.path), "--labels", drawing.csv.name])
    labels.write_plan(drawing.plan, plan, run)
    title = f"{Path(queue.preset.target).name}: {len(pictures)} pictures to label"
    assert drawing.page is not None
    write_labelling_page(drawing.page, title, run.classes, pictures, plan.name, drawing.csv.name, command)
    return drawing


@dataclass(frozen=True)
class Queue:
    """Pictures of a run's target to label, in the plan's order; nothing of it is written yet. `drawing` says where what
    is said of them belongs."""

    preset: Adaptation
    target: labels.Target
    plan: labels.Plan
    drawn: list[int]  # rows of the target, those of earlier drawings first
    drawing: Drawn

    def pictures(self) -> Iterator[ShownPicture]:
        """The pictures of the last drawing."""
        for name, data, small in shown(self.preset, self.target, self.drawn[self.plan.before :]):
            yield ShownPicture(name, data, small)


def queued(
    run: TrainedRun, out: Path, order: Order, data_root: Path | None = None, places: Mapping[str, str] | None = None
) -> Queue:
    """Draws pictures, or further ones to those of the plan in `out`; Refusal as `genshift.api.label`."""
    preset = labels.audited_preset(run, places)
    plan = labels.read_plan(out / labels.PLAN)
    split = order.split if plan is None else plan.split
    if plan is not None and (order.seed not in (None, plan.seed) or order.split not in ("train", plan.split)):
        raise Refusal(
            f"{out} holds a plan of seed {plan.seed}, part {plan.split}: leave both out, or name another --out."
        )
    target = labels.target_of(run, preset, split, data_root)
    if plan is None:
        plan = labels.draw(target, preset, split, order.count, order.seed or 0)
        rows = labels.rows_of(plan, target, preset.target)
    else:
        rows = labels.rows_of(plan, target, preset.target)
        plan = labels.lengthened(plan, target, order.count)
    first = plan.before + 1
    page, csv = out / f"label-{first}-{plan.drawn}.html", out / f"labels-{plan.name}-{first}-{plan.drawn}.csv"
    drawing = Drawn(out / labels.PLAN, page, csv, first, plan.drawn)
    return Queue(preset, target, plan, rows[plan.order[: plan.drawn]].tolist(), drawing)


def _take_ready(run: TrainedRun, out: Path, order: Order, queue: Queue) -> Drawn:
    """Writes labels.csv of the drawn pictures that are labelled already; Refusal where none of them is."""
    target, plan = queue.target, queue.plan
    answers = labels.read_answers(order.ready or [], target, queue.preset.target, run.classes, order.encoding)
    given = {answer.row: answer for answer in answers.rows}
    found = [given[row] for row in queue.drawn if row in given]
    if not found:
        raise Refusal(
            f"None of the {len(queue.drawn):,} drawn pictures has a label there: leave --labels out, for a page."
        )
    lines = [
        (as_written(target.names[row]), run.classes[number] if number >= 0 else "", said, plan.name)
        for row, number, said in found
    ]
    drawing = Drawn(out / labels.PLAN, None, out / "labels.csv", 1, plan.drawn, len(found))
    labels.write_plan(drawing.plan, plan, run)
    write_text(drawing.csv, csv_text(labels.ANSWERS, lines, ""))
    return drawing
