"""Model choice without target labels: an adapting run's checkpoints, scored and chosen among.

What it may see is `ScoringData`: labelled source images and bare target images. Files of a run: scores.json (a row a
checkpoint), scores.safetensors (what each checkpoint predicts of the same target images), selection.json (the choice).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.data.manifest import NEW, Memory
from genshift.errors import Refusal, unknown
from genshift.methods import ClassifierMethod, Method
from genshift.metrics.binomial import NORMAL_95
from genshift.metrics.calibration import temperature_of_mean
from genshift.metrics.classification import accuracy
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.label_free import (
    are_probabilities,
    density_ratio,
    dev_risk,
    difference_of_confidences,
    diversity,
    ensemble_agreement,
    entropy,
    information,
    soft_neighbourhood_density,
    thresholded_confidence,
)
from genshift.metrics.neighbours import nearest_of
from genshift.presets import Adaptation
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.find import source_only_accuracy
from genshift.runs.folder import CHOICE, SCORES, RunFolder, images_of
from genshift.runs.manifest import placed, remembered
from genshift.runs.records import SOURCE_ONLY
from genshift.runs.results import Measure, Results
from genshift.runs.trained_run import load_networks, open_run, preset_of
from genshift.selection.evidence import evidence_of
from genshift.selection.rules import (
    ESTIMATES,
    RULES,
    Choice,
    ModelScores,
    ScoreRow,
    above_floor,
    choose,
    doubts,
)
from genshift.selection.verdict import ESTIMATE, Verdict, verdict_of
from genshift.temporary import remove_litter
from genshift.training.console import Console
from genshift.training.domains import FEWEST_HELD_OUT, open_domains
from genshift.training.loop import Observer

IMAGES = 2_000  # of the source's and of the target's training images, the same for every checkpoint and run
JUDGED, FEWEST_JUDGED = 1_000, 10  # of each kind that a verdict's evidence is taken from
PREDICTIONS = "scores.safetensors"
PARTS = 10  # more candidates cost disk (hw2's networks 15 MB each) and scoring time; averaged, neighbours are alike
SCARCE, KNOWN, FEWEST = 0.1, 0.8, 20  # ours: of expected images, of a class's source images, images
TAIL = 0.95  # of held-out source images: what lies beyond is far, or unsure
SMALLEST = 1e-12  # a probability's, before its logarithm is a loss
PROTOCOL = (
    "source_accuracy and its binomial standard error on held-out source images, class_entropy and commonest of their "
    "labels (the largest share of a class); missed, classes by number that hardly any target image is taken for; "
    "strange, the share of target images that are far from the source's and unsure, less that of held-out ones; "
    "entropy, diversity, information and snd of predictions on target training images; dev_risk from features of all; "
    "agreement among these checkpoints; atc and doc, estimates of target accuracy. No target label was read."
)


@dataclass(frozen=True)
class ScoringData:
    """What scores are computed from, uint8 images `[N, C, H, W]`: held-out source images and source training images,
    both with labels int64 `[N]`, and target training images, which are nothing but pixels."""

    held_out: Tensor
    labels: Tensor
    source: Tensor
    source_labels: Tensor
    target: Tensor


@dataclass(frozen=True)
class Candidate:
    """A checkpoint of a run, its row of scores, and its predictions `[N, K]` on target images."""

    run: RunFolder
    row: ScoreRow
    predictions: Tensor


# --- keeping candidates while a run trains --------------------------------------------------------------------------


def keeper(run: RunFolder) -> Observer:
    """Who keeps the averaged networks at the first check after each of PARTS parts of a training, and after each
    doubling of a later phase, to choose from."""

    def observe(images: int, method: Method) -> None:
        kept, total = run.candidates(), run.config["images"]
        before = images_of(kept[-1]) if kept else 0
        if _part(images, total, method.phases) > _part(before, total, method.phases):
            run.keep_candidate(Checkpoint(checkpoint.pack_networks(method.networks), {"images": images}))

    return observe


def _part(images: int, total: int, phases: Sequence[float]) -> int:
    doublings = (max(1, images - int(phase * total)).bit_length() for phase in phases[1:] if images >= phase * total)
    return images * PARTS // total + sum(doublings)


# --- scoring --------------------------------------------------------------------------------------------------------


def can_choose(run: RunFolder) -> bool:
    """Whether a run adapts and has held-out source images, so that its checkpoints can be scored."""
    config = run.whole_config
    return preset_of(config).adapts and config["data"]["source"].get("held_out", 0) >= FEWEST_HELD_OUT


def open_scoring_data(
    preset: Adaptation, data_root: Path | None, skip_broken: bool = False, memory: Memory = NEW
) -> ScoringData:
    """Reads what scores are computed from, the target by the same sealed way as training.

    Raises Refusal where a set is absent, or the source has no held-out images.
    """
    domains = open_domains(preset, data_root, skip_broken, memory)
    held_out = domains.held_out
    if held_out is None or held_out.labels is None or len(held_out) < FEWEST_HELD_OUT:
        raise Refusal(
            f"{preset.name} was trained with --validation {preset.validation:g}, which holds fewer than "
            f"{FEWEST_HELD_OUT} source images out, and a choice needs them: train with a larger share."
        )
    labelled = domains.labelled
    assert labelled.labels is not None  # `open_domains` refuses a source without
    rows = torch.arange(len(labelled)) if domains.labelled_rows is None else domains.labelled_rows
    source, target = (torch.from_numpy(fixed_sample(len(part), IMAGES, 0)) for part in (rows, domains.target))
    of_source = rows[source]
    return ScoringData(
        held_out.images,
        held_out.labels,
        labelled.images[of_source],
        labelled.labels[of_source],
        domains.target.images[target],
    )


Reading = Callable[[], ScoringData]


def reading(run: RunFolder, data_root: Path | None = None, places: Mapping[str, str] | None = None) -> Reading:
    """What a run's scores are computed from, read once, when it is first asked for. Refusal now for a run that adapts
    nothing, or places of sets that it has not."""
    preset = placed(run, _adapting(run), places)
    skip_broken = bool(run.config.get("skip_broken"))
    return functools.cache(lambda: open_scoring_data(preset, data_root, skip_broken, Memory(remembered(run))))


def scores_of(method: ClassifierMethod, data: ScoringData) -> tuple[ModelScores, Tensor]:
    """Every score of a model that does not depend on others (see `rules.SCORES`), and its predictions `[N, K]` on the
    target images."""
    on_source, on_target = method.predict(data.held_out, "source"), method.predict(data.target)
    labels = data.labels.cpu()
    value, error = accuracy(on_source.argmax(1), labels)
    # DEV's loss is the cross-entropy: of the few source images that are got wrong, errors alone would tell little.
    losses = -on_source.gather(1, labels[:, None])[:, 0].double().clamp(min=SMALLEST).log()
    learnt, seen = method.embed(data.source, "source"), method.embed(data.held_out, "source")
    of_target = method.embed(data.target)
    ratio = density_ratio(learnt, of_target, seen)
    class_shares = torch.bincount(labels, minlength=on_source.shape[1])[None] / len(labels)
    scores: ModelScores = {
        "source_accuracy": value,
        "source_error": error,
        "entropy": entropy(on_target),
        "diversity": diversity(on_target),
        "information": information(on_target),
        "snd": soft_neighbourhood_density(on_target),
        "dev_risk": dev_risk(ratio, losses),
        "atc": thresholded_confidence(on_source, labels, on_target),
        "doc": difference_of_confidences(on_source, labels, on_target),
        "class_entropy": entropy(class_shares),
        "commonest": class_shares.max().item(),
        "missed": _missed(on_source, labels, on_target),
        "strange": _strange(nearest_of(seen, learnt, 1)[0], on_source, nearest_of(of_target, learnt, 1)[0], on_target),
    }
    return scores, on_target


def _missed(on_source: Tensor, labels: Tensor, on_target: Tensor) -> list[int]:
    """The classes that hardly any target image is taken for, although the model knows them on the source: fewer than
    SCARCE of what the source's shares would give, where that is FEWEST images or more."""
    classes = on_source.shape[1]
    said = on_source.argmax(1).cpu()
    counts, right = (part.bincount(minlength=classes) for part in (labels, labels[said == labels]))
    expected = counts.double() / len(labels) * len(on_target)
    found = on_target.argmax(1).cpu().bincount(minlength=classes)
    missed = (found < SCARCE * expected) & (expected >= FEWEST) & (right >= KNOWN * counts)
    return [int(place) for place in missed.nonzero().flatten()]


def _strange(far_source: Tensor, on_source: Tensor, far_target: Tensor, on_target: Tensor) -> float:
    """The share of target images that lie farther from every source training image than TAIL of the held-out ones do,
    and of which the model is less sure than of TAIL of these; less the share of held-out ones of which both is so."""

    def share(far: Tensor, said: Tensor) -> float:
        return ((far[:, 0] > reach) & (said.amax(1).cpu() < sure)).double().mean().item()

    reach, sure = far_source[:, 0].quantile(TAIL), on_source.amax(1).cpu().quantile(1 - TAIL)
    return share(far_target, on_target) - share(far_source, on_source)


def checkpoints_of(run: RunFolder) -> list[Path]:
    """The checkpoints to choose from, oldest first: those that were kept for it, or else the newest numbered ones.

    Raises Refusal where there is none.
    """
    paths = run.candidates() or run.saved()
    if not paths:
        raise Refusal(f"{run.path} has no checkpoint yet: let it train, or name another run.")
    return paths


def score_run(run: RunFolder, read: Reading) -> list[Candidate]:
    """Scores every checkpoint of a run and writes scores.json; agreement is within the run.

    Raises Refusal for a run that has no checkpoint or held no source images out.
    """
    paths, data = checkpoints_of(run), read()
    method: Any = open_run(run, "last").method  # of an adapting preset: it classifies
    # Every checkpoint's networks in turn, in the same method.
    scored = []
    for path in Console().track(paths, "Scoring checkpoints without target labels"):
        load_networks(method, path, run.config["images"])
        scored.append(scores_of(method, data))
    predictions = torch.stack([on_target for _, on_target in scored])
    agreement = ensemble_agreement(predictions).tolist()
    rows: list[ScoreRow] = [
        {"images": images_of(path), "checkpoint": path.name, **scores, "agreement": agreed}
        for path, (scores, _), agreed in zip(paths, scored, agreement, strict=True)
    ]
    names = [path.name for path in paths]
    checkpoint.save(run.path / PREDICTIONS, Checkpoint({"said": predictions}, {"of": names}))
    counts = {"held_out": len(data.labels), "source": len(data.source), "target": len(data.target)}
    known = {SOURCE_ONLY: source_only_accuracy(run)}
    run.write(SCORES, {"n": counts, "protocol": PROTOCOL, **known, "checkpoints": rows})
    return [Candidate(run, row, on_target) for row, (_, on_target) in zip(rows, scored, strict=True)]


def scored(run: RunFolder, read: Reading) -> list[Candidate]:
    """The candidates of a run with their scores: as they were written, or measured now where these are of other
    checkpoints. Refusal as `score_run`."""
    remove_litter(run.path)
    names = [path.name for path in checkpoints_of(run)]
    if not all((run.path / name).is_file() for name in (SCORES, PREDICTIONS)):
        return score_run(run, read)
    written = run.read(SCORES)
    rows: list[ScoreRow] = written["checkpoints"]
    stored = checkpoint.load(run.path / PREDICTIONS)
    complete = all(set(ESTIMATES) <= set(row) for row in rows) and bool(rows)  # earlier versions took no estimates
    if not complete or not [row["checkpoint"] for row in rows] == stored.about.get("of") == names:
        return score_run(run, read)
    shape = len(rows), written["n"].get("target", 0), len(run.config["classes"])
    said = torch.empty(shape, device="meta")
    checkpoint.check_tensors(stored.tensors, {"said": said}, run.path / PREDICTIONS)
    if not are_probabilities(stored.tensors["said"]):
        raise Refusal(f"{run.path / PREDICTIONS} holds what are no probabilities: move it away and select again.")
    return [Candidate(run, row, on_target) for row, on_target in zip(rows, stored.tensors["said"], strict=True)]


def with_evidence(candidate: Candidate, read: Reading) -> Candidate:
    """The candidate with the evidence of its verdict in its row: as it was written, or taken now and written; without
    where fewer than FEWEST_JUDGED images of a kind are there."""
    if "evidence" in candidate.row:
        return candidate
    run, name, data = candidate.run, candidate.row["checkpoint"], read()
    if min(len(data.held_out), len(data.source), len(data.target)) < FEWEST_JUDGED:
        return candidate
    method: Any = open_run(run, "last").method
    (path,) = (path for path in checkpoints_of(run) if path.name == name)
    load_networks(method, path, run.config["images"])
    held_out, source, target = (
        torch.from_numpy(fixed_sample(len(part), JUDGED, 0)) for part in (data.held_out, data.source, data.target)
    )
    evidence = evidence_of(
        method, data.held_out[held_out], data.labels[held_out], data.source[source], data.source_labels[source],
        data.target[target],
    )  # fmt: skip
    written = run.read(SCORES)
    for row in written["checkpoints"]:
        if row["checkpoint"] == name:
            row["evidence"] = evidence
    run.write(SCORES, written)
    return replace(candidate, row={**candidate.row, "evidence": evidence})


def score(run: RunFolder, data_root: Path | None = None) -> None:
    """Scores a run's checkpoints, and takes the evidence of the one that stands for it, each where it is not done."""
    read = reading(run, data_root)
    images = _standing(run)[1]
    for candidate in scored(run, read):
        if candidate.row["images"] == images:
            with_evidence(candidate, read)


def _standing(run: RunFolder) -> tuple[Path, int]:
    """The checkpoint that stands for a run, and after how many images it was written."""
    path = run.selected() or run.chosen(preset_of(run.config).select)
    return path, checkpoint.images_seen(checkpoint.about(path), path)


def _adapting(run: RunFolder) -> Adaptation:
    """The preset of a run that adapts; Refusal for another."""
    preset = preset_of(run.config)
    if not preset.adapts or not isinstance(preset, Adaptation):
        raise Refusal(f"{run.path} is no adaptation ({preset.summary}): there is no checkpoint to choose for a target.")
    return preset


# --- choosing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Candidates of one or more runs, what each rule takes of them (their places), and by which rule it was chosen.

    `kept` are the places that the default rule chooses among (`rules.above_floor`); `warnings` are sentences; `verdict`
    is on the chosen one, None where there are too few images for one.
    """

    candidates: tuple[Candidate, ...]
    choices: dict[str, int]
    rule: str
    kept: tuple[int, ...]
    warnings: tuple[str, ...]
    verdict: Verdict | None

    @property
    def chosen(self) -> Candidate:
        return self.candidates[self.choices[self.rule]]

    def as_json(self) -> dict[str, Any]:
        """What `genshift select --json` prints."""
        rows = [{"run": str(candidate.run.path), **candidate.row} for candidate in self.candidates]
        return {
            "rule": self.rule,
            "run": str(self.chosen.run.path),
            "checkpoint": self.chosen.row["checkpoint"],
            "verdict": self.verdict,
            "choices": self.choices,
            "above_floor": list(self.kept),
            "warnings": list(self.warnings),
            "candidates": rows,
        }


def select(
    runs: Sequence[RunFolder],
    rule: str,
    data_root: Path | None = None,
    places: Mapping[str, str] | None = None,
) -> Selection:
    """Chooses one checkpoint among those of `runs` and writes selection.json into its run.

    Raises Refusal for an unknown rule, runs of different tasks, the same run twice, and as `score_run`.
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES, "`genshift select --help` lists them.")
    _check_alike(runs)
    # Scores, with the agreement among the candidates of all runs.
    reads = [reading(run, data_root, places) for run in runs]
    candidates = together([candidate for run, read in zip(runs, reads, strict=True) for candidate in scored(run, read)])
    rows = [candidate.row for candidate in candidates]
    accuracies = [value for run in runs if (value := source_only_accuracy(run)) is not None]
    source_only = max(accuracies, default=None)
    # What every rule takes of them, and what its own run says against the chosen one.
    choices = {name: choose(name, rows, source_only) for name in RULES}
    chosen = candidates[choices[rule]]
    warnings = _doubts(candidates, chosen, source_only)
    read = next(read for run, read in zip(runs, reads, strict=True) if run is chosen.run)
    candidates[choices[rule]] = chosen = with_evidence(chosen, read)
    kept = tuple(above_floor(rows, source_only))
    selection = Selection(tuple(candidates), choices, rule, kept, warnings, verdict_on(chosen, warnings))
    _write(selection, runs, source_only)
    return selection


def together(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with their agreement with the ensemble of all of them (EnsV)."""
    agreement = ensemble_agreement(torch.stack([candidate.predictions for candidate in candidates])).tolist()
    rows: list[ScoreRow] = [
        {**candidate.row, "agreement": agreed} for candidate, agreed in zip(candidates, agreement, strict=True)
    ]
    return [replace(candidate, row=row) for candidate, row in zip(candidates, rows, strict=True)]


def _doubts(candidates: Sequence[Candidate], chosen: Candidate, source_only: float | None) -> tuple[str, ...]:
    """Against the chosen one, by what its own run shows."""
    rows = [candidate.row for candidate in candidates if candidate.run is chosen.run]
    validated = [row["valid/source_accuracy"] for row in chosen.run.rows() if "valid/source_accuracy" in row]
    best = max([*validated, *(row["source_accuracy"] for row in rows)])
    return tuple(
        doubts(rows, rows.index(chosen.row), best, source_only, _held_out(chosen.run), chosen.run.config["classes"])
    )


def verdict_on(candidate: Candidate, warnings: Sequence[str]) -> Verdict | None:
    """The verdict on a candidate; None where its evidence was not taken."""
    if "evidence" not in candidate.row:
        return None
    verdict = verdict_of(candidate.row["evidence"], warnings)
    return {**verdict, "temperature": temperature_of_mean(candidate.predictions, verdict["value"])}


def _held_out(run: RunFolder) -> int:
    """How many source images a run's checkpoints were scored by."""
    return int(run.read(SCORES)["n"].get("held_out", 0))


def _write(selection: Selection, runs: Sequence[RunFolder], source_only: float | None) -> None:
    """Writes the choice into the run of the chosen checkpoint."""
    chosen = selection.chosen
    choice: Choice = {
        "rule": selection.rule,
        "why": RULES[selection.rule],
        "checkpoint": chosen.row["checkpoint"],
        "images": chosen.row["images"],
        "candidates": len(selection.candidates),
        "among": [run.path.name for run in runs],
        "warnings": list(selection.warnings),
        "source_only_accuracy": source_only,
    }
    if selection.verdict is not None:
        choice["verdict"] = selection.verdict
    chosen.run.write(CHOICE, choice)


def _check_alike(runs: Sequence[RunFolder]) -> None:
    """Refuses runs whose candidates do not answer the same question on the same images."""
    if not runs:
        raise Refusal("No run was named: name one adapted run, or several of one task.")
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise Refusal("A run was named twice: name each once.")
    first = _question(runs[0])
    for run in runs[1:]:
        if (other := _question(run)) != first:
            raise Refusal(
                f"{runs[0].path} is of {_in_words(*first)} and {run.path} of {_in_words(*other)}: candidates of one "
                "task are chosen among; select each by itself."
            )


def _question(run: RunFolder) -> tuple[str, str, tuple[str, ...], int]:
    """Source and target, the classes, and how many target images there are."""
    preset, config = _adapting(run), run.whole_config
    target = config["data"]["target"]
    return preset.source, preset.target, tuple(config["classes"]), target["n"] + target["held_out"]


def _in_words(source: str, target: str, classes: tuple[str, ...], count: int) -> str:
    return f"{source}→{target} ({len(classes)} classes, {count:,} target images)"


# --- what evaluation says of it -------------------------------------------------------------------------------------


def verdict_of_run(run: RunFolder) -> Verdict | None:
    """The verdict on the checkpoint that stands for a run: that of its choice, or of its scores; None without."""
    if run.selected() is not None:
        choice: Choice = run.read(CHOICE)
        return choice.get("verdict")
    if not (run.path / SCORES).exists():
        return None
    _, images = _standing(run)
    rows: list[ScoreRow] = run.read(SCORES)["checkpoints"]
    stored = checkpoint.load(run.path / PREDICTIONS)
    for row, said in zip(rows, stored.tensors["said"], strict=True):
        if row["images"] == images:
            return verdict_on(Candidate(run, row, said), [])
    return None


def estimate_of_run(run: RunFolder) -> Results:
    """The verdict's estimate of the target accuracy, as a measure; none where there is no verdict."""
    verdict = verdict_of_run(run)
    if verdict is None:
        return {}
    words = f"verdict: {verdict['word']}; 95% interval {verdict['low']:.4f} to {verdict['high']:.4f}, of which std is "
    words += f"the half over 1.96; {verdict['n']:,} target training images, no target label read"
    error = (verdict["high"] - verdict["low"]) / (2 * NORMAL_95)
    data = run.config["data"]["target"].get("manifest", "")  # of images alone: no label of theirs moves it
    measured = _standing(run)[0].name
    return {ESTIMATE: Measure(verdict["value"], verdict["n"], words, error, data=data, checkpoint=measured)}


def warnings_of(run: RunFolder) -> list[str]:
    """What the choice of a checkpoint warns of; none where none was chosen."""
    if run.selected() is None:
        return []
    choice: Choice = run.read(CHOICE)
    return choice["warnings"]
