"""A few labels of a run's target, drawn at random within strata of confidence, and what they say of the run.

They are an audit set: nothing that trains reads them, and of what chooses `audited_choice` alone, where a user asks for
it by name. A plan
(`plan.safetensors`) keeps what was drawn, so that labels that come later can be told from others: the target's content,
each picture's stratum, and one order of all pictures, of which the first `drawn` are to be labelled. Strata are of
equal size and take turns in that order, so that the first pictures of it, however many, are a proportional stratified
sample: who stops early has one, and more labels later lengthen the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genshift.data.columns import HEADER, listing_of
from genshift.data.dataset import ReadOptions
from genshift.data.folders import check_uncut, csv_rows, label_in
from genshift.data.imageset import ImageSet
from genshift.data.manifest import SetManifest, manifest_of
from genshift.data.text import UTF8, check_encoding, composed
from genshift.errors import Refusal, of_os_error, unknown
from genshift.methods import ClassifierMethod
from genshift.metrics.binomial import NORMAL_95
from genshift.metrics.labelled_share import balanced_share, labelled_share
from genshift.presets import Adaptation
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.files import as_written
from genshift.runs.folder import RunFolder
from genshift.runs.forms import AUDIT, CHOICE, Audit
from genshift.runs.manifest import placed, remembered
from genshift.runs.results import Measure, Results
from genshift.runs.trained_run import TrainedRun
from genshift.training.domains import open_set

PLAN, FOLDER = (
    "plan.safetensors",
    "labels",
)  # the plan's file, and the folder of a run that holds it unless one is named
STRATA = 10  # of confidence; fewer where that would leave a stratum fewer than five labels
OF_STRATUM = 5
ANSWERS = [*HEADER, "answer", "plan"]  # the page's columns; another CSV has the first two
NONE, SKIPPED = "none of these", "skipped"  # answers that are no class
BY_LABELS = "labels"  # the rule of a choice that looked at labels: `audited_choice`
FEW = 20  # labels below which an accuracy is hardly worth its interval


@dataclass(frozen=True)
class Target:
    """The pictures of a run's target, without a label, and what the run says of them.

    names: one a picture. predicted: int64 `[N]`. confidence: float32 `[N]`, in [0, 1]. score: float64 `[N]`, the
    log-odds of it, which tell apart what confidence rounds to 1.
    """

    images: ImageSet
    names: list[str]
    predicted: Tensor
    confidence: Tensor
    score: Tensor


@dataclass(frozen=True)
class Plan:
    """What was drawn. target: the pictures that it is of, by content. stratum: int64 `[N]`, the least confident first.
    order: int64 `[N]`, all pictures, those to be labelled first. drawn: how many these are. before: how many were drawn
    before the last of them."""

    target: SetManifest
    split: str
    stratum: Tensor
    order: Tensor
    seed: int
    drawn: int
    before: int = 0

    @property
    def name(self) -> str:
        """Eight hex digits that no other plan has; more labels do not change them."""
        content = hashlib.sha256(f"{self.target.digest()} {self.split} {self.seed}".encode())
        for rows in (self.stratum, self.order):
            content.update(rows.numpy().tobytes())
        return content.hexdigest()[:8]

    def strata(self) -> list[dict[str, float]]:
        """Of each stratum its pictures, those that were drawn, and with which probability each of them was."""
        sizes = self.stratum.bincount()
        drawn = self.stratum[self.order[: self.drawn]].bincount(minlength=len(sizes))
        rows = zip(sizes.tolist(), drawn.tolist(), strict=True)
        return [{"size": size, "drawn": count, "probability": count / size} for size, count in rows]


# --- the target -----------------------------------------------------------------------------------------------------


def audited_preset(run: TrainedRun, places: Mapping[str, str] | None = None) -> Adaptation:
    """The preset of a run with a target to label, its sets where they lie; Refusal for another run."""
    if not isinstance(run.preset, Adaptation) or not isinstance(run.method, ClassifierMethod):
        raise Refusal(f"{run.folder.path} is {run.preset.summary}, which has no target to label: name an adapted run.")
    return placed(run.folder, run.preset, places)


def target_of(run: TrainedRun, preset: Adaptation, split: str, data_root: Path | None) -> Target:
    """The target's pictures as the run remembers them, and its predictions; Refusal where some are not there."""
    options: dict[str, Any] = {"data_root": data_root, "skip_broken": bool(run.folder.config.get("skip_broken"))}
    images, names = open_set(preset.target, split, preset, labels=False, **options)
    known = (remembered(run.folder) or {}).get("target")
    if known is not None and split == "train":
        names = [names[row] for row in known.rows_in(images).clamp(min=0).tolist()]
        images = known.arranged(images, preset.target)
    method: Any = run.method
    probabilities = method.predict(images.images).double()
    confidence, predicted = probabilities.max(1)
    others = probabilities.scatter(1, predicted[:, None], 0.0).sum(1)
    score = confidence.log() - others.clamp(min=1e-300).log()
    if not bool(confidence.isfinite().all()):
        raise Refusal(f"{run.folder.path} answers with values that are not finite: train with a lower --lr.")
    return Target(images, names, predicted.cpu(), confidence.float().cpu(), score.cpu())


# --- drawing --------------------------------------------------------------------------------------------------------


def strata_of(score: Tensor, count: int) -> Tensor:
    """int64 `[N]`: equal strata of N scores, the lowest first, for so many labels."""
    strata = max(1, min(STRATA, count // OF_STRATUM))
    stratum = torch.empty(len(score), dtype=torch.int64)
    stratum[score.argsort(stable=True)] = torch.arange(len(score)) * strata // len(score)
    return stratum


def drawing_order(stratum: Tensor, seed: int) -> Tensor:
    """int64 `[N]`: all pictures in an order in which strata take turns, each once a round, which strata first and which
    of their pictures by chance alone."""
    random = np.random.default_rng(seed)
    of, shuffled = stratum.numpy(), random.permutation(len(stratum))
    by_stratum = shuffled[np.argsort(of[shuffled], kind="stable")]
    sizes = np.bincount(of)
    rounds = np.arange(len(of)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return torch.from_numpy(by_stratum[np.lexsort((random.random(len(of)), rounds))])


def draw(target: Target, preset: Adaptation, split: str, count: int, seed: int) -> Plan:
    """A plan of `count` pictures; Refusal where there are not so many."""
    _check_count(count, target)
    stratum = strata_of(target.score, count)
    order = drawing_order(stratum, seed)
    return Plan(manifest_of(preset.target, target.images, None), split, stratum, order, seed, count)


def lengthened(plan: Plan, target: Target, count: int) -> Plan:
    """The plan with the next pictures of its order; the same where `count` are drawn already."""
    _check_count(count, target)
    if count < plan.drawn:
        raise Refusal(
            f"{plan.drawn:,} pictures were drawn already: give a --count from {plan.drawn:,}, or another --out."
        )
    return plan if count == plan.drawn else replace(plan, drawn=count, before=plan.drawn)


def _check_count(count: int, target: Target) -> None:
    if not 0 < count <= len(target.names):
        raise Refusal(f"--count {count:,} cannot be drawn of {len(target.names):,} target pictures: give 1 to as many.")


def write_plan(path: Path, plan: Plan, run: TrainedRun) -> None:
    """Writes plan.safetensors whole."""
    known = plan.target
    about = {"plan": plan.name, "split": plan.split, "seed": plan.seed, "drawn": plan.drawn, "before": plan.before}
    about |= {"place": known.place, "count": known.count, "content": known.content, "strata": plan.strata()}
    about |= {"run": run.folder.path.name, "checkpoint": run.checkpoint.name, "classes": list(run.classes)}
    tensors = {"stratum": plan.stratum, "order": plan.order}
    tensors |= {} if known.digests is None else {"digests": known.digests}
    checkpoint.save(path, Checkpoint(tensors, about))


def read_plan(path: Path) -> Plan | None:
    """A plan, or None where there is no such file; Refusal where it is damaged or something else."""
    if not path.exists():
        return None
    stored = checkpoint.load(path)
    about, tensors = stored.about, stored.tensors
    try:
        count, empty = int(about["count"]), torch.empty(0, dtype=torch.int64)
        known = SetManifest(about["place"], count, about["content"], tensors.get("digests"), empty)
        numbers = (int(about[name]) for name in ("seed", "drawn", "before"))
        plan = Plan(known, str(about["split"]), tensors["stratum"], tensors["order"], *numbers)
        whole = torch.equal(plan.order.sort().values, torch.arange(count)) and plan.stratum.shape == (count,)
        if whole and plan.name == about["plan"] and 0 < plan.drawn <= count:
            return plan
    except (KeyError, TypeError, ValueError, RuntimeError):
        pass
    raise Refusal(f"{path} is no plan that `genshift label` wrote: restore it, or draw anew into another --out.")


def rows_of(plan: Plan, target: Target, place: str) -> Tensor:
    """int64 `[N]`: where each picture of the plan stands in the target; Refusal where one is not there."""
    rows = plan.target.rows_in(target.images)
    if missing := int((rows < 0).sum()):
        raise Refusal(
            f"The plan was drawn of {len(rows):,} pictures, and {place} holds {len(rows) - missing:,} of them: name "
            "the run of that target, or by --target the place where all lie."
        )
    return rows


# --- labels ---------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """One line of a CSV: the picture's row in the target; its class, or −1; what was said instead of one."""

    row: int
    label: int
    said: str = ""


@dataclass(frozen=True)
class Answers:
    """What CSVs say. plans: the names of the plans that their lines were drawn by."""

    rows: list[Answer]
    plans: set[str]


def read_answers(
    files: Sequence[Path], target: Target, place: str, classes: Sequence[str], encoding: str = UTF8
) -> Answers:
    """Labels of target pictures from CSVs, `image_name,label`, with the page's further columns or without.

    Refusal for a file that is no such CSV, is empty or no text, and for a line that names no picture of the target, one
    that was labelled before, or no class.
    """
    check_encoding(encoding)
    row_of = {composed(name): row for row, name in enumerate(target.names)}
    row_of |= {written: row for row, name in enumerate(target.names) for written in (as_written(name), name)}
    number_of = {composed(name): number for number, name in enumerate(classes)}
    found: dict[int, Answer] = {}
    plans: set[str] = set()
    for file in files:
        for number, line in _lines(file, encoding):
            row = next(
                (row_of[name] for name in (line[0], line[0].strip(), composed(line[0].strip())) if name in row_of), -1
            )
            where = f"{file} names '{line[0].strip()[:60]}'"
            if row < 0:
                raise Refusal(
                    f"{where} in line {number}, which is no picture of {place}: give labels of the run's own target, "
                    "by the names that `genshift predict` writes."
                )
            if row in found:
                raise Refusal(f"{where} twice, again in line {number}: expected one label a picture; remove one line.")
            found[row] = _answer(file, number, line, row, number_of, classes)
            plans |= {line[3]} if len(line) > 3 and line[3] else set()
    if not any(answer.said != SKIPPED for answer in found.values()):
        raise Refusal(f"{files[0]} holds no label: expected lines 'image_name,label' below that header.")
    return Answers(list(found.values()), plans)


def _lines(file: Path, encoding: str) -> list[tuple[int, list[str]]]:
    """The lines below a CSV's header, with their numbers; Refusal where it is empty or has another header."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise of_os_error(error, f"reading {file}") from error
    rows = csv_rows(file, data, ReadOptions(encoding=encoding))
    if not rows:
        raise Refusal(f"{file} is empty: expected the header 'image_name,label' and a line a picture.")
    head = [cell.strip() for cell in rows[0]]
    listing = listing_of(file, rows)
    if listing.against or (len(head) > 2 and head != ANSWERS):
        raise Refusal(f"{file} begins with '{','.join(head)[:60]}': expected the header 'image_name,label'.")
    if not listing.rows:
        raise Refusal(f"{file} names no picture: expected lines 'image_name,label'.")
    for number, row in enumerate(listing.rows, listing.first):
        check_uncut(str(file), number, row, max(len(HEADER), len(listing.head)))
    return list(enumerate(listing.rows, listing.first))


def _answer(
    file: Path, number: int, line: Sequence[str], row: int, number_of: Mapping[str, int], classes: Sequence[str]
) -> Answer:
    said = line[2].strip() if len(line) > 2 else ""
    if said in (NONE, SKIPPED):
        return Answer(row, -1, said)
    label = label_in(str(file), number, line)
    if label not in number_of:
        named = f"{file} has it in line {number}; a picture of no class is answered by '{NONE}' on the page."
        raise unknown("class", label, classes, named)
    return Answer(row, number_of[label])


# --- what they say --------------------------------------------------------------------------------------------------


def audit(
    run: TrainedRun,
    files: Sequence[Path],
    data_root: Path | None = None,
    places: Mapping[str, str] | None = None,
    encoding: str = UTF8,
    say: Callable[[str], None] = lambda line: None,
) -> Audit:
    """The run's accuracy by the labels of a few target pictures, overall and balanced over classes; audit.json keeps
    it. Refusal as `read_answers`, and where the labels were drawn by a plan that is not there."""
    preset = audited_preset(run, places)
    plan = find_plan(run.folder, files)
    split = "train" if plan is None else plan.split
    target = target_of(run, preset, split, data_root)
    place = Path(preset.target).name
    answers = read_answers(files, target, preset.target, run.classes, encoding)
    if plan is not None:
        say(f"The labels are taken as drawn by plan {plan.name}.")
    found = _measured(run, target, answers, plan, preset.target)
    found |= {"target": place, "files": [file.name for file in files]}
    run.folder.write(AUDIT, found)
    return found


def find_plan(run: RunFolder, files: Sequence[Path]) -> Plan | None:
    """The plan beside the first CSV, or in the run; None where there is none."""
    places = (files[0].absolute().parent / PLAN, run.path / FOLDER / PLAN)
    return next((plan for place in places if (plan := read_plan(place)) is not None), None)


def _measured(run: TrainedRun, target: Target, answers: Answers, plan: Plan | None, place: str) -> Audit:
    """audit.json, but for the names of target and files."""
    given = {answer.row: answer for answer in answers.rows}
    stratum, planned, warnings = _sample(target, given, answers.plans, plan, place)
    named = [answer for answer in answers.rows if answer.label >= 0]
    foreign = [answer.row for answer in answers.rows if answer.said == NONE]
    if not named:
        raise Refusal("No labelled picture shows one of the run's classes: nothing can be said of its accuracy.")
    rows, labels = (torch.tensor(values) for values in zip(*((a.row, a.label) for a in named), strict=True))
    right = target.predicted[rows] == labels
    share = labelled_share(right.numpy(), rows.numpy(), stratum.numpy(), target.confidence.numpy())
    value, low, high = balanced_share(right.numpy(), labels.numpy(), len(target.names))
    unseen = [name for number, name in enumerate(run.classes) if number not in set(labels.tolist())]
    if len(named) < FEW:
        warnings.append(f"{len(named)} labels say little: {FEW} or more make the interval worth reading.")
    if (choice := run.folder.read_if_there(CHOICE)).get("rule") == BY_LABELS:
        warnings += choice["warnings"]
    found: Audit = {
        "images": checkpoint.images_seen(checkpoint.about(run.checkpoint), run.checkpoint),
        "checkpoint": run.checkpoint.name,
        "plan": None if plan is None or not planned else plan.name,
        "n": len(named),
        "of": len(target.names),
        "drawn": plan.drawn if plan is not None and planned else len(given),
        "foreign": len(foreign),
        "accuracy": _as_entry(share.value, share.low, share.high),
        "plain": share.plain,
        "weight": share.weight,
        "balanced_accuracy": _as_entry(value, low, high),
        "unseen_classes": unseen,
        "more_to_halve": share.more_to_halve(),
        "warnings": warnings,
    }
    if foreign:  # they are right under no class
        every = np.concatenate([right.numpy(), np.zeros(len(foreign), dtype=bool)])
        among = labelled_share(every, [*rows.tolist(), *foreign], stratum.numpy(), target.confidence.numpy())
        found["accuracy_of_all"] = _as_entry(among.value, among.low, among.high)
    return found


def _sample(
    target: Target, given: Mapping[int, Answer], plans: set[str], plan: Plan | None, place: str
) -> tuple[Tensor, bool, list[str]]:
    """The stratum of every target picture, int64 `[N]`, whether the labels were drawn by the plan, and warnings.

    Refusal where they were drawn by another plan than the one that is there."""
    if plans and (plan is None or plans != {plan.name}):
        missing = sorted(plans - ({plan.name} if plan is not None else set()))[0]
        raise Refusal(
            f"These labels were drawn by plan {missing}, which is not there: put its {PLAN} beside them; without it "
            "nobody knows how they were drawn."
        )
    if plan is not None and (plans or bool((plan.target.rows_in(target.images) >= 0).all())):
        rows = rows_of(plan, target, place)
        drawn = rows[plan.order[: plan.drawn]].tolist()
        if set(given) <= set(drawn):
            stratum = torch.zeros(len(target.names), dtype=torch.int64)
            stratum[rows] = plan.stratum
            answered = [row in given and given[row].said != SKIPPED for row in drawn]
            # Who stops early, or gives a later page alone, has a sample of fewer; who passes some over chooses.
            first, last = answered.index(True), len(answered) - answered[::-1].index(True)
            passed = answered[first:last].count(False)
            words = f"{passed:,} of the drawn pictures were passed over: if they are harder than the others, the "
            return stratum, True, [f"{words}accuracy is too high."] if passed else []
    words = "No plan says how these pictures were drawn: the interval holds if they were chosen at random."
    return strata_of(target.score, len(given)), False, [words] if len(given) < len(target.names) else []


def _as_entry(value: float, low: float, high: float) -> Any:
    return {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}


def audited(run: RunFolder, path: Path) -> Results:
    """The measures of an audit of the checkpoint `path`, for results.json; none where there was none."""
    if not (run.path / AUDIT).exists():
        return {}
    found: Audit = run.read(AUDIT)
    images = checkpoint.images_seen(checkpoint.about(path), path)
    if (found["checkpoint"], found["images"]) != (path.name, images):
        return {}
    drawn = "drawn within strata of confidence" if found["plan"] else "taken as chosen at random"
    results: Results = {}
    for name in ("accuracy", "balanced_accuracy"):
        entry = found[name]
        error = (entry["high"] - entry["low"]) / (2 * NORMAL_95)
        words = f"{found['n']:,} labels of {found['of']:,} target pictures, {drawn}; 95% interval "
        words += f"{entry['low']:.4f} to {entry['high']:.4f}, of which std is the half over 1.96"
        results[f"audit/{name}"] = Measure(entry["value"], found["n"], words, error, checkpoint=path.name)
    return results


def sentences(found: Audit) -> list[str]:
    """What a user is told of an audit."""

    def told(entry: Any) -> str:
        return f"{entry['value']:.1%} (95% interval {entry['low']:.1%} to {entry['high']:.1%})"

    kinds = "pictures that show one of its classes" if found["foreign"] else "pictures"
    by = f"by {found['n']:,} labels of {found['of']:,} {kinds}"
    lines = [f"Accuracy on {found['target']}: {told(found['accuracy'])}, {by}."]
    lost = found["unseen_classes"]
    without = f", without {', '.join(lost[:3])}{' …' * (len(lost) > 3)}, which no label names" if lost else ""
    lines.append(f"Balanced over the classes: {told(found['balanced_accuracy'])}{without}.")
    if found["foreign"]:
        share = found["foreign"] / (found["foreign"] + found["n"])
        wrong = f"counted as wrong: {told(found['accuracy_of_all'])}"
        lines.append(f"{share:.0%} of the labelled pictures show no class of the run; {wrong}.")
    lines += [f"warning: {warning}" for warning in found["warnings"]]
    return lines
