"""Which of several adapted candidates to take, by scores that need no target label. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genshift.errors import Refusal, unknown
from genshift.runs.folder import RunFolder

# Ours: of source accuracy that may be lost (adversaries take some, collapse takes more), and of agreement with the
# other candidates (docs/results.md).
MARGIN = 0.05
FEWEST = 2  # held-out source images that a variance can be taken of
ENOUGH = 100  # held-out source images below which no accuracy is told, nor that it fell
DEFAULT = "default"
LAST = "last"


@dataclass(frozen=True)
class Score:
    """A label-free score: `key` names it in scores.json; `sign` is 1 where larger is better and -1 for a risk."""

    key: str
    head: str
    sign: int
    says: str


SCORES = {
    "source": Score("source_accuracy", "source acc", 1, "accuracy on held-out source images"),
    "im": Score(
        "information", "IM", 1, "information maximisation: the diversity of target predictions less their entropy"
    ),
    "snd": Score("snd", "SND", 1, "soft neighbourhood density: how close target predictions stand to one another"),
    "dev": Score("dev_risk", "DEV", -1, "deep embedded validation: source loss, weighted to look like the target's"),
    "ensv": Score("agreement", "EnsV", 1, "agreement with the mean prediction of all candidates"),
}
BEST = "im"  # whose best the default rule takes, among candidates above the floor
RULES = {
    DEFAULT: f"the best {SCORES[BEST].head} of those above the floor of source accuracy that have not collapsed to few "
    "classes and agree with the other candidates",
    **{name: score.says for name, score in SCORES.items()},
    LAST: "the latest",
}

ESTIMATES = {
    "atc": "average thresholded confidence (arXiv 2201.04234)",
    "doc": "source accuracy less the difference of confidences (arXiv 2107.03315)",
    "agreement": "agreement with the mean prediction of the run's candidates",
}
ESTIMATE = "atc"  # the one that a user is told; how far each is off is measured in the report
# As docs/results.md has it; a test compares.
OFF = "where the truth is known it was off by 13 points on average, by 37 at most, mostly too hopeful: docs/results.md"
COLLAPSED = 0.5  # ours: share of the source's effective classes below which target predictions are of few

Row = Mapping[str, Any]


def choose(rule: str, rows: Sequence[Row], source_only: float | None = None) -> int:
    """The place of the row that `rule` takes; the latest, then the last, of those that are equal.

    rows: of scores.json, each with `images` and every score's key. source_only: source accuracy of the run that was
    not adapted. Raises Refusal for an unknown rule.
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    score = SCORES.get(BEST if rule == DEFAULT else rule)
    places = above_floor(rows, source_only) if rule == DEFAULT else range(len(rows))

    def worth(place: int) -> tuple[float, int, int]:
        row = rows[place]
        return (score.sign * row[score.key] if score else 0.0), row["images"], place

    return max(places, key=worth)


def above_floor(rows: Sequence[Row], source_only: float | None = None) -> list[int]:
    """The places of the rows whose source accuracy is not below the best row's, nor source-only's, by more than MARGIN
    and a standard error of its own, that have not `collapsed`, and whose agreement with the mean prediction of all
    (EnsV) is not below the most such by more than MARGIN.

    Where all are below source-only's (see `harmed`), the best row's counts alone; where all have collapsed, all count.
    Candidates that collapsed are sure and agree with each other, and a source extractor that rests knows nothing of it.
    One that is sure of what none of the others says has drifted: IM rises with it.
    """
    best = max(row["source_accuracy"] for row in rows)
    floor = best if source_only is None or harmed(rows, source_only) else max(best, source_only)
    reach = [place for place, row in enumerate(rows) if _reaches(row, floor)]
    kept = [place for place in reach if not collapsed(rows[place])] or reach
    most = max(rows[place]["agreement"] for place in kept)
    return [place for place in kept if rows[place]["agreement"] >= most - MARGIN]


def collapsed(row: Row) -> bool:
    """Whether target images are taken for few classes."""
    named, there = _effective_classes(row)
    return named < COLLAPSED * there


def _effective_classes(row: Row) -> tuple[float, float]:
    """How many classes target images are taken for, and how many the source has, by their entropies."""
    return math.exp(row["diversity"]), math.exp(row["class_entropy"])


def _reaches(row: Row, floor: float) -> bool:
    return bool(row["source_accuracy"] + row["source_error"] >= floor - MARGIN)


def harmed(rows: Sequence[Row], source_only: float | None) -> bool:
    """Whether every candidate lost too much of the source accuracy that it would have unadapted."""
    return source_only is not None and not any(_reaches(row, source_only) for row in rows)


def told(choice: Mapping[str, Any], estimate: bool = True) -> list[str]:
    """What a run's selection.json tells a user of the checkpoint to use, a line each: the `estimate` where it is asked
    for, then warnings; nothing of an older one."""
    if "estimate" not in choice:
        return []
    found, warnings = choice["estimate"], [f"warning: {warning}" for warning in choice["warnings"]]
    if not estimate:
        return warnings
    if (held_out := found.get("held_out", ENOUGH)) < ENOUGH:
        few = f"The accuracy on the run's target cannot be told from {held_out} held-out source images"
        return [f"{few}: hold {ENOUGH} or more out (--validation).", *warnings]
    by = f"{ESTIMATES[found['by']]}, of {found['n']:,} unlabelled images"
    known = f"; {found['source_accuracy']:.1%} on held-out source images" if "source_accuracy" in found else ""
    guess = f"Estimated accuracy on the run's target: about {found['value']:.1%} ({by}{known}); {OFF}."
    return [guess, *warnings]


def doubts(
    rows: Sequence[Row], place: int, best: float, source_only: float | None = None, held_out: int = ENOUGH
) -> list[str]:
    """Why the candidate at `place` may do worse on the target than a model that was not adapted: sentences.

    rows: of its run, the earliest first. best: the highest source accuracy that its training showed. source_only: as in
    `choose`. held_out: how many source images were held out.
    """
    row, found = rows[place], []
    known = row["source_accuracy"]
    # The first that knows the source: before, what a model says of itself means nothing.
    first = next((each for each in rows[:place] if _reaches(each, best)), row)
    if source_only is not None and harmed(rows, source_only):
        found.append(
            f"Adaptation probably harms: no checkpoint is within {100 * MARGIN:g} points of source-only's "
            f"{source_only:.2%} on held-out source images."
        )
    elif not _reaches(row, best):
        found.append(
            f"Adaptation probably harms: on held-out source images the chosen checkpoint is right on {known:.2%}; "
            f"training had reached {best:.2%}."
        )
    if not (learnt := known > row["commonest"] + row["source_error"]):
        found.append(
            f"The source itself is not learnt: {known:.2%} of its held-out images are right, and naming the commonest "
            f"class for all gives {row['commonest']:.2%}; train longer, or look at the pictures at this --size."
        )
    if collapsed(row):
        named, there = _effective_classes(row)
        found.append(
            f"Target images are taken for few classes, effectively {named:.1f} of the source's {there:.1f}: unless the "
            "target holds no more, adaptation has collapsed."
        )
    if learnt and held_out >= ENOUGH and row[ESTIMATE] < first[ESTIMATE] - MARGIN:
        found.append(
            f"Adaptation probably harms: the estimated target accuracy fell from {first[ESTIMATE]:.2%} at "
            f"{first['images']:,} images to {row[ESTIMATE]:.2%}."
        )
    return found


def unadapted(run: RunFolder) -> list[RunFolder]:
    """The source-only runs of the same study, sets and seed in the same parent folder."""
    config = run.config
    return [other for other in _neighbours(run) if _is_unadapted(other.config, config)]


def _neighbours(run: RunFolder) -> list[RunFolder]:
    """The readable runs beside this one: a broken neighbour is no reason to refuse a run."""
    found = []
    for path in sorted(run.path.resolve().parent.iterdir()):
        other = RunFolder(path)
        try:
            if other.exists() and other.config:
                found.append(other)
        except Refusal:
            continue
    return found


def _is_unadapted(other: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    one, two = ({**config["preset"], **config["preset"]["fields"]} for config in (other, ours))
    alike = all(one.get(key) == two.get(key) for key in ("study", "source", "target"))
    return alike and other["seed"] == ours["seed"] and one.get("role") == "source"


def source_only_accuracy(run: RunFolder) -> float | None:
    """The last held-out source accuracy of the run that was not adapted, beside this one; None where there is none."""
    for other in unadapted(run):
        values = [row["valid/source_accuracy"] for row in other.rows() if "valid/source_accuracy" in row]
        if values:
            return float(values[-1])
    return None
