"""Which of several adapted candidates to take, by scores that need no target label; and what a user is told of it.

`checkpoint_selection` computes the scores. Imports no torch, so that help texts and reports can name the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NotRequired, TypedDict

from genshift.errors import unknown
from genshift.selection.verdict import Evidence, Verdict, sentence

# Ours: of source accuracy that may be lost (adversaries take some, collapse takes more), and of agreement with the
# other candidates (docs/results.md).
MARGIN = 0.05
ENOUGH = 100  # held-out source images below which no accuracy is stated, nor that it fell
STRANGE = 0.07  # ours: share of such target images from which on classes that the source lacks are suspected
COLLAPSED = 0.5  # ours: share of the source's effective classes below which target predictions are of few
DEFAULT_RULE = "default"
LAST = "last"


# --- scores, as scores.json has them --------------------------------------------------------------------------------


class ModelScores(TypedDict):
    """Scores of a model that do not depend on the other candidates."""

    source_accuracy: float  # on held-out source images
    source_error: float  # its binomial standard error
    entropy: float  # mean, of target predictions
    diversity: float  # entropy of the mean target prediction
    information: float
    snd: float
    dev_risk: float
    atc: float
    doc: float
    class_entropy: float  # of the held-out source labels
    commonest: float  # the largest share of a class among them
    missed: NotRequired[list[int]]  # classes that hardly any target image is taken for; scores of 0.2 have none
    strange: NotRequired[float]  # share of target images unlike any of the source's, and unsure, above what is usual
    evidence: NotRequired[Evidence]  # of the candidate that was chosen, or stands for its run


class ScoreRow(ModelScores):
    """A candidate's row: which checkpoint it is, and its agreement with the candidates it was scored among."""

    images: int
    checkpoint: str
    agreement: float


EstimateName = Literal["atc", "doc", "agreement"]
THRESHOLDED: Final = "atc"


@dataclass(frozen=True)
class Score:
    """A label-free score: `key` names it in scores.json; `sign` is 1 where larger is better and -1 for a risk."""

    key: Literal["source_accuracy", "information", "snd", "dev_risk", "agreement"]
    head: str
    sign: int
    meaning: str


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
    DEFAULT_RULE: f"the best {SCORES[BEST].head} of those above the floor of source accuracy that have not collapsed "
    "to few classes and agree with the other candidates",
    **{name: score.meaning for name, score in SCORES.items()},
    LAST: "the latest",
}

ESTIMATES: dict[EstimateName, str] = {
    "atc": "average thresholded confidence (arXiv 2201.04234)",
    "doc": "source accuracy less the difference of confidences (arXiv 2107.03315)",
    "agreement": "agreement with the mean prediction of the run's candidates",
}


# --- rules ----------------------------------------------------------------------------------------------------------


def choose(rule: str, rows: Sequence[ScoreRow], source_only: float | None = None) -> int:
    """The place of the row that `rule` takes; the latest, then the last, of those that are equal.

    rows: of scores.json, each with `images` and every score's key. source_only: source accuracy of the run that was
    not adapted. Raises Refusal for an unknown rule.
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    score = SCORES.get(BEST if rule == DEFAULT_RULE else rule)
    places = above_floor(rows, source_only) if rule == DEFAULT_RULE else range(len(rows))

    def worth(place: int) -> tuple[float, int, int]:
        row = rows[place]
        return (score.sign * row[score.key] if score else 0.0), row["images"], place

    return max(places, key=worth)


def above_floor(rows: Sequence[ScoreRow], source_only: float | None = None) -> list[int]:
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


def collapsed(row: ScoreRow) -> bool:
    """Whether target images are taken for few classes."""
    named, there = _effective_classes(row)
    return named < COLLAPSED * there


def _effective_classes(row: ScoreRow) -> tuple[float, float]:
    """How many classes target images are taken for, and how many the source has, by their entropies."""
    return math.exp(row["diversity"]), math.exp(row["class_entropy"])


def _reaches(row: ScoreRow, floor: float) -> bool:
    return bool(row["source_accuracy"] + row["source_error"] >= floor - MARGIN)


def harmed(rows: Sequence[ScoreRow], source_only: float | None) -> bool:
    """Whether every candidate lost too much of the source accuracy that it would have unadapted."""
    return source_only is not None and not any(_reaches(row, source_only) for row in rows)


# --- what a user is told --------------------------------------------------------------------------------------------


class Choice(TypedDict):
    """selection.json: the checkpoint to use for a run, and what speaks for and against it."""

    rule: str
    why: str
    checkpoint: str
    images: int
    candidates: int
    verdict: NotRequired[Verdict]  # choices of earlier versions have none
    among: list[str]
    warnings: list[str]
    source_only_accuracy: NotRequired[float | None]  # of the run that was not adapted, on held-out source images


def choice_lines(choice: Choice, verdict: bool = True) -> list[str]:
    """What a user is told of a choice, a line each: the verdict, where `verdict` asks for it, then warnings. A choice
    of an earlier version, or by few images, has no verdict, which a line says."""
    warnings = [f"warning: {warning}" for warning in choice.get("warnings", [])]
    if not verdict:
        return warnings
    if "verdict" not in choice:
        note = "note: no verdict: fewer than ten images of a kind, or chosen by an earlier version (`genshift select`)."
        return [note, *warnings]
    return [sentence(choice["verdict"]), *warnings]


def doubts(
    rows: Sequence[ScoreRow],
    place: int,
    best: float,
    source_only: float | None = None,
    held_out: int = ENOUGH,
    classes: Sequence[str] = (),
) -> list[str]:
    """Why the candidate at `place` may do worse on the target than a model that was not adapted: sentences.

    rows: of its run, the earliest first. best: the highest source accuracy that its training showed. source_only: as in
    `choose`. held_out: how many source images were held out. classes: their names.
    """
    row, sentences = rows[place], []
    accuracy = row["source_accuracy"]
    # Source accuracy that adaptation has cost.
    if source_only is not None and harmed(rows, source_only):
        sentences.append(
            f"Adaptation probably harms: no checkpoint is within {100 * MARGIN:g} points of source-only's "
            f"{source_only:.2%} on held-out source images."
        )
    elif not _reaches(row, best):
        sentences.append(
            f"Adaptation probably harms: on held-out source images the chosen checkpoint is right on {accuracy:.2%}; "
            f"training had reached {best:.2%}."
        )
    # A source that was never learnt.
    learnt = accuracy > row["commonest"] + row["source_error"]
    if not learnt:
        sentences.append(
            f"The source itself is not learnt: {accuracy:.2%} of its held-out images are right, and naming the "
            f"commonest class for all gives {row['commonest']:.2%}; train longer, or look at the pictures at this "
            "--size."
        )
    # Target predictions of few classes.
    if collapsed(row):
        named, there = _effective_classes(row)
        sentences.append(
            f"Target images are taken for few classes, effectively {named:.1f} of the source's {there:.1f}: unless the "
            "target holds no more, adaptation has collapsed."
        )
    # Classes that do not match: some that the target may lack, some that the source may.
    if (missed := row.get("missed", [])) and held_out >= ENOUGH:
        names = [f"'{classes[number]}'" if number < len(classes) else str(number) for number in missed]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        sentences.append(
            f"Hardly any target image is taken for {', '.join(names[:4])}{more}, which the model knows on the source: "
            "the target may lack them, and then --alignment 0 or --prior source keeps others from getting their names; "
            "or it does not know them again there."
        )
    if learnt and held_out >= ENOUGH and row.get("strange", 0.0) > STRANGE:
        sentences.append(
            f"{row['strange']:.0%} more target images than source ones are unlike any source image, and the model is "
            "unsure of them: they may be of classes that the source lacks, which all get a wrong name; look at those "
            "of the lowest confidence (`genshift predict --least`)."
        )
    # A target accuracy that fell, counted from the first candidate that knows the source: before, what a model says of
    # itself means nothing.
    first = next((earlier for earlier in rows[:place] if _reaches(earlier, best)), row)
    if learnt and held_out >= ENOUGH and row[THRESHOLDED] < first[THRESHOLDED] - MARGIN:
        sentences.append(
            f"Adaptation probably harms: the estimated target accuracy fell from {first[THRESHOLDED]:.2%} at "
            f"{first['images']:,} images to {row[THRESHOLDED]:.2%}."
        )
    return sentences
