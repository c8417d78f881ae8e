"""How tables and sentences write counts, values and their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genshift.report.model.measures import TARGET_ACCURACY, metric_of, shown
from genshift.report.model.summary import NOT_EVALUATED, Row, why_missing

NONE = "–"  # what a cell says where there is nothing to say


def counted(number: int, word: str) -> str:
    """A number and its noun, e.g. "1 process", "2 processes"."""
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def joined(words: Sequence[str]) -> str:
    """Words as a sentence lists them, e.g. "faces, hw2 and hw3"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def ours_text(row: Row) -> str:
    """The measured value: mean ± sd over seeds, or for one seed ± its own error, marked with what that is."""
    own = row.sd is None and row.standard_error is not None
    return f"{value_text(row)} ({metric_of(row.metric).bar})" if own else value_text(row)


def value_text(row: Row) -> str:
    """The same without the mark. A number that is no percentage has the decimals that give its error two digits."""
    if row.mean is None:
        if not any(run.evaluated for run in row.group.runs):
            return NOT_EVALUATED
        return why_missing(row.group.runs, TARGET_ACCURACY) if row.metric == TARGET_ACCURACY else NONE
    spread = row.standard_error if row.sd is None else row.sd
    if spread is None:
        return shown(row.metric, row.mean)
    if metric_of(row.metric).percent or spread <= 0:
        return f"{shown(row.metric, row.mean)} ± {shown(row.metric, spread)}"
    # Two digits of the error, and no more than it carries of the value.
    places = max(0, 1 - math.floor(math.log10(spread)))
    return f"{row.mean:.{places}f} ± {spread:.{places}f}"


def count_text(count: int | None) -> str:
    return f"{count:,}" if count else NONE


def published_text(row: Row) -> str:
    return NONE if row.published is None else shown(row.metric, row.published)


def floor_text(row: Row) -> str:
    return NONE if row.floor is None else shown(row.metric, row.floor)


def difference_text(row: Row) -> str:
    """Ours minus published, with its sign; points where the values are percentages."""
    if row.difference is None:
        return NONE
    text = f"{100 * row.difference:+.2f}" if metric_of(row.metric).percent else f"{row.difference:+.4g}"
    return text.replace("-", "−")  # the sign that stands as wide as +


def images_text(row: Row) -> str:
    """Images seen, as one number or as the range over seeds."""
    return "–".join(f"{n:,}" for n in sorted({row.images[0], row.images[-1]})) if row.images else NONE


def minutes_text(row: Row) -> str:
    return NONE if row.cpu_minutes is None else f"{row.cpu_minutes:.1f}"


def seeds_text(row: Row) -> str:
    """How many seeds, and which, e.g. "3 (0, 1, 2)"."""
    return f"{len(row.seeds)} ({', '.join(map(str, row.seeds))})" if row.seeds else NONE
