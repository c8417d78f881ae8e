"""Model choice without target labels: an adapting run's checkpoints, scored and chosen among.

What it may see is `ScoringData`: labelled source images and bare target images. Files of a run: scores.json (a row a
checkpoint), scores.safetensors (what each checkpoint says of the same target images), selection.json (the choice).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genshift.errors import Refusal, unknown
from genshift.methods import ClassifierMethod, Method
from genshift.metrics.classification import accuracy
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.label_free import (
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
from genshift.presets import Adaptation
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import CHOICE, SCORES, RunFolder, images_of
from genshift.runs.records import SOURCE_ONLY
from genshift.runs.results import value_of
from genshift.runs.trained_run import load_networks, open_run, preset_of
from genshift.selection.rules import (
    ESTIMATE,
    ESTIMATES,
    FEWEST,
    RULES,
    above_floor,
    choose,
    doubts,
    source_only_accuracy,
)
from genshift.training.domains import open_domains
from genshift.training.loop import Observer

IMAGES = 2_000  # of the source's and of the target's training images, the same for every checkpoint and run
SAID = "scores.safetensors"
PARTS = 10  # more candidates cost disk (hw2's networks 15 MB each) and scoring time; averaged, neighbours are alike
SMALLEST = 1e-12  # a probability's, before its logarithm is a loss


@dataclass(frozen=True)
class ScoringData:
    """What scores are computed from, uint8 images `[N, C, H, W]`: held-out source images with labels int64 `[N]`,
    source training images, and target training images, which are nothing but pixels."""

    held_out: Tensor
    labels: Tensor
    source: Tensor
    target: Tensor


@dataclass(frozen=True)
class Candidate:
    """A checkpoint of a run, its row of scores, and its predictions `[N, K]` on target images."""

    run: RunFolder
    row: dict[str, Any]
    said: Tensor


def can_choose(run: RunFolder) -> bool:
    """Whether a run adapts and has held-out source images, so that its checkpoints can be scored."""
    return preset_of(run.config).adapts and run.config["data"]["source"]["held_out"] >= FEWEST


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


def look(preset: Adaptation, data_root: Path | None, skip_broken: bool = False) -> ScoringData:
    """Reads what scores are computed from, the target by the same sealed way as training.

    Raises Refusal where a set is absent, or the source has no held-out images.
    """
    domains = open_domains(preset, data_root, skip_broken)
    held_out = domains.held_out
    if held_out is None or held_out.labels is None or len(held_out) < FEWEST:
        raise Refusal(
            f"{preset.name} was trained with --validation {preset.validation:g}, which holds fewer than {FEWEST} "
            "source images out, and a choice needs them: train with a larger share."
        )
    rows = torch.arange(len(domains.labelled)) if domains.labelled_rows is None else domains.labelled_rows
    shown = (torch.from_numpy(fixed_sample(len(kind), IMAGES, 0)) for kind in (rows, domains.target))
    source, target = next(shown), next(shown)
    return ScoringData(
        held_out.images, held_out.labels, domains.labelled.images[rows[source]], domains.target.images[target]
    )


def scores_of(method: ClassifierMethod, seen: ScoringData) -> tuple[dict[str, float], Tensor]:
    """Every score of a model that does not depend on others (see `rules.SCORES`), and its predictions `[N, K]` on the
    target images. DEV's loss is the cross-entropy: of the few source images that are got wrong, errors alone would
    tell little."""
    known, said = method.predict(seen.held_out, "source"), method.predict(seen.target)
    labels = seen.labels.cpu()
    value, error = accuracy(known.argmax(1), labels)
    losses = -known.gather(1, labels[:, None])[:, 0].double().clamp(min=SMALLEST).log()
    features = method.embed(seen.source, "source"), method.embed(seen.target), method.embed(seen.held_out, "source")
    found = {"source_accuracy": value, "source_error": error, "entropy": entropy(said), "diversity": diversity(said)}
    found["information"] = information(said)
    found["snd"] = soft_neighbourhood_density(said)
    found["dev_risk"] = dev_risk(density_ratio(*features), losses)
    found["atc"] = thresholded_confidence(known, labels, said)
    found["doc"] = difference_of_confidences(known, labels, said)
    shares = torch.bincount(labels, minlength=known.shape[1])[None] / len(labels)
    found |= {"class_entropy": entropy(shares), "commonest": shares.max().item()}
    return found, said


def checkpoints_of(run: RunFolder) -> list[Path]:
    """The checkpoints to choose from, oldest first: those that were kept for it, or else the newest numbered ones.

    Raises Refusal where there is none.
    """
    found = run.candidates() or run.saved()
    if not found:
        raise Refusal(f"{run.path} has no checkpoint yet: let it train, or name another run.")
    return found


def score_run(run: RunFolder, data_root: Path | None = None) -> list[Candidate]:
    """Scores every checkpoint of a run and writes scores.json; agreement is within the run.

    Raises Refusal for a run that adapts nothing, has no checkpoint or held no source images out.
    """
    preset = _adapting(run)
    paths = checkpoints_of(run)
    seen = look(preset, data_root, bool(run.config.get("skip_broken")))
    method = open_run(run, "last").method
    assert isinstance(method, ClassifierMethod)
    found = []
    for path in paths:
        load_networks(method, path)
        scores, said = scores_of(method, seen)
        found.append(Candidate(run, {"images": images_of(path), "checkpoint": path.name, **scores}, said))
    together(found)
    names = [each.row["checkpoint"] for each in found]
    checkpoint.save(run.path / SAID, Checkpoint({"said": torch.stack([c.said for c in found])}, {"of": names}))
    counts = {"held_out": len(seen.labels), "source": len(seen.source), "target": len(seen.target)}
    rows = [each.row for each in found]
    known = {SOURCE_ONLY: source_only_accuracy(run)}
    run.write(SCORES, {"n": counts, "protocol": PROTOCOL, **known, "checkpoints": rows})
    return found


PROTOCOL = (
    "source_accuracy and its binomial standard error on held-out source images, class_entropy and commonest of their "
    "labels (the largest share of a class); entropy, diversity, information and snd of predictions on target training "
    "images; dev_risk from features of all; agreement among these checkpoints; atc and doc, estimates of target "
    "accuracy. No target label was read."
)


def together(candidates: Sequence[Candidate]) -> None:
    """Sets each row's agreement with the ensemble of these candidates (EnsV)."""
    agreement = ensemble_agreement(torch.stack([each.said for each in candidates]))
    for each, value in zip(candidates, agreement.tolist(), strict=True):
        each.row["agreement"] = value


def scored(run: RunFolder, data_root: Path | None = None) -> list[Candidate]:
    """The candidates of a run with their scores: as they were written, or measured now where these are of other
    checkpoints. Refusal as `score_run`."""
    _adapting(run)
    names = [path.name for path in checkpoints_of(run)]
    if not all((run.path / name).is_file() for name in (SCORES, SAID)):
        return score_run(run, data_root)
    rows, said = run.read(SCORES)["checkpoints"], checkpoint.load(run.path / SAID)
    complete = all(set(ESTIMATES) <= set(row) for row in rows)
    if not complete or not [row["checkpoint"] for row in rows] == said.about["of"] == names:
        return score_run(run, data_root)
    return [Candidate(run, row, each) for row, each in zip(rows, said.tensors["said"], strict=True)]


def _adapting(run: RunFolder) -> Adaptation:
    preset = preset_of(run.config)
    if not preset.adapts:
        raise Refusal(f"{run.path} is no adaptation ({preset.summary}): there is no checkpoint to choose for a target.")
    assert isinstance(preset, Adaptation)
    return preset


# --- choosing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Candidates of one or more runs, what each rule takes of them (their places), and by which rule it was chosen.

    `kept` are the places that the default rule chooses among (`rules.above_floor`); `warnings` are sentences.
    """

    candidates: tuple[Candidate, ...]
    choices: dict[str, int]
    rule: str
    kept: tuple[int, ...]
    warnings: tuple[str, ...]

    @property
    def chosen(self) -> Candidate:
        return self.candidates[self.choices[self.rule]]

    def as_json(self) -> dict[str, Any]:
        """What `genshift select --json` prints."""
        rows = [{"run": str(each.run.path), **each.row} for each in self.candidates]
        return {
            "rule": self.rule,
            "run": str(self.chosen.run.path),
            "checkpoint": self.chosen.row["checkpoint"],
            "estimate": estimate_of(self.chosen),
            "choices": self.choices,
            "above_floor": list(self.kept),
            "warnings": list(self.warnings),
            "candidates": rows,
        }


def estimate_of(chosen: Candidate) -> dict[str, Any]:
    """The target accuracy that a user is told to expect of a candidate."""
    value, known = chosen.row[ESTIMATE], chosen.row["source_accuracy"]
    held_out = _held_out(chosen.run)
    return {"value": value, "by": ESTIMATE, "n": len(chosen.said), "source_accuracy": known, "held_out": held_out}


def _held_out(run: RunFolder) -> int:
    """How many source images a run's checkpoints were scored by."""
    return int(run.read(SCORES)["n"]["held_out"])


def select(runs: Sequence[RunFolder], rule: str, data_root: Path | None = None) -> Selection:
    """Chooses one checkpoint among those of `runs` and writes selection.json into its run.

    Raises Refusal for an unknown rule, runs of different tasks, the same run twice, and as `score_run`.
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES, "`genshift select --help` lists them.")
    _check_alike(runs)
    candidates = [each for run in runs for each in scored(run, data_root)]
    together(candidates)
    rows = [each.row for each in candidates]
    found = [value for run in runs if (value := source_only_accuracy(run)) is not None]
    source_only = max(found, default=None)
    choices = {name: choose(name, rows, source_only) for name in RULES}
    warnings = _doubts(candidates, candidates[choices[rule]], source_only)
    selection = Selection(tuple(candidates), choices, rule, tuple(above_floor(rows, source_only)), warnings)
    _write(selection, runs, source_only)
    return selection


def _doubts(candidates: Sequence[Candidate], chosen: Candidate, source_only: float | None) -> tuple[str, ...]:
    """Against the chosen one, by what its own run shows."""
    rows = [each.row for each in candidates if each.run is chosen.run]
    validated = [row["valid/source_accuracy"] for row in chosen.run.rows() if "valid/source_accuracy" in row]
    best = max([*validated, *(row["source_accuracy"] for row in rows)])
    return tuple(doubts(rows, rows.index(chosen.row), best, source_only, _held_out(chosen.run)))


def _write(selection: Selection, runs: Sequence[RunFolder], source_only: float | None) -> None:
    chosen = selection.chosen
    chosen.run.write(
        CHOICE,
        {
            "rule": selection.rule,
            "why": RULES[selection.rule],
            "checkpoint": chosen.row["checkpoint"],
            "images": chosen.row["images"],
            "candidates": len(selection.candidates),
            "estimate": estimate_of(chosen),
            SOURCE_ONLY: source_only,
            "among": [run.path.name for run in runs],
            "warnings": list(selection.warnings),
        },
    )


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
                f"{runs[0].path} is of {_task(first)} and {run.path} of {_task(other)}: candidates of one task are "
                "chosen among; select each by itself."
            )


def _question(run: RunFolder) -> tuple[Any, ...]:
    preset, config = _adapting(run), run.config
    target = config["data"]["target"]
    return preset.source, preset.target, tuple(config["classes"]), target["n"] + target["held_out"]


def _task(question: tuple[Any, ...]) -> str:
    source, target, classes, count = question
    return f"{source}→{target} ({len(classes)} classes, {count:,} target images)"


# --- what evaluation says of it -------------------------------------------------------------------------------------


def estimates_of(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Target accuracies guessed for the checkpoint that stands for the run, as results.json holds them; none where it
    was not scored."""
    if not (run.path / SCORES).exists():
        return {}
    written, path = run.read(SCORES), run.selected() or run.chosen(preset_of(run.config).select)
    images = checkpoint.about(path)["images"]
    row = next((row for row in written["checkpoints"] if row["images"] == images and ESTIMATE in row), None)
    if row is None:
        return {}
    n = written["n"]["target"]
    return {f"estimate/{name}": _guess(row, name, says, n) for name, says in ESTIMATES.items()}


def _guess(row: dict[str, Any], name: str, says: str, n: int) -> dict[str, Any]:
    """The std is that of drawing so many images, no more: how far off it is, only labels can tell."""
    share = row[name]
    protocol = f"{says}; {n:,} target training images, no target label read; std is its sampling error alone"
    return value_of(share, n, protocol, math.sqrt(share * (1 - share) / n + row["source_error"] ** 2))


def warnings_of(run: RunFolder) -> list[str]:
    """What the choice of a checkpoint warns of; none where none was chosen."""
    return run.read(CHOICE)["warnings"] if run.selected() else []
