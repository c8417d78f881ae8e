"""Tables of what was measured, and a document that holds them between two markers.

Imports nothing but the standard library.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

OURS = "genshift"
Found = Mapping[str, Any]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The median, and the range in brackets where there are several values."""
    if not values:
        return "–"
    median = number(statistics.median(values), digits)
    if len(values) == 1:
        return median
    return f"{median} ({number(min(values), digits)} to {number(max(values), digits)})"


def number(value: float, digits: int = 3) -> str:
    """A number to so many digits, whole where it is large."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def ratios(found: Iterable[Found], task: str, arm: str, key: str, more_is_better: bool) -> list[float]:
    """How many times better genshift was than an arm, of each round in which both were measured."""
    rows = [row for row in found if row["task"] == task and key in row]
    ours = {row["round"]: row[key] for row in rows if row["arm"] == OURS}
    theirs = {row["round"]: row[key] for row in rows if row["arm"] == arm}
    both = sorted(ours.keys() & theirs.keys())
    return [ours[n] / theirs[n] if more_is_better else theirs[n] / ours[n] for n in both]


def values(found: Iterable[Found], task: str, arm: str, key: str) -> list[float]:
    """An arm's values of a measure, round by round."""
    return [row[key] for row in found if (row["task"], row["arm"]) == (task, arm) and key in row]


def errors(found: Iterable[Found]) -> list[str]:
    """What could not be measured, each once."""
    lines = [f"{row['task']}, {row['arm']}, {row['measurement']}: {row['error']}" for row in found if "error" in row]
    return list(dict.fromkeys(lines))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first two are numbers."""
    rule = ["---" if place < 2 else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def training_table(found: Sequence[Found], tasks: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """Training throughput, epochs, drawing, start and memory of each task's arms."""
    head = (
        "task", "arm", "images/s", "genshift is faster, times", "epoch of files: first, then (s)",
        "draws a picture (s)", "genshift draws faster, times", "start (s)", "memory (MiB)",
    )  # fmt: skip
    rows = []
    for task, (title, arms) in tasks.items():
        for place, arm in enumerate(arms):
            speed = values(found, task, arm, "images_per_second")
            if not speed:
                continue
            epochs = [
                number(statistics.median(values(found, task, arm, key))) if values(found, task, arm, key) else "–"
                for key in ("first_epoch_seconds", "epoch_seconds")
            ]
            rows.append(
                (
                    title if place == 0 else "",
                    arm,
                    spread(speed),
                    _times(found, task, arm, "images_per_second", True),
                    ", ".join(epochs),
                    spread(values(found, task, arm, "seconds_a_picture")),
                    _times(found, task, arm, "seconds_a_picture", False),
                    spread(values(found, task, arm, "start_seconds")),
                    spread(_of_training(found, task, arm), 4),
                )
            )
    return markdown(head, rows)


def _of_training(found: Sequence[Found], task: str, arm: str) -> list[float]:
    """The memory of the processes that trained from memory, which all arms do alike."""
    return values([row for row in found if row.get("measurement") == "train"], task, arm, "peak_mib")


def _times(found: Sequence[Found], task: str, arm: str, key: str, more_is_better: bool) -> str:
    return "1" if arm == OURS else spread(ratios(found, task, arm, key, more_is_better))


def measures_table(found: Sequence[Found], tasks: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """Seconds of each measure of given features, and its value."""
    head = ("measure", "arm", "n", "seconds", "genshift is faster, times", "value")
    rows = []
    for task, (title, arms) in tasks.items():
        for place, arm in enumerate(arms):
            own = [row for row in found if (row["task"], row["arm"]) == (task, arm) and "seconds" in row]
            if own:
                told = ", ".join(f"{name} {number(value, 5)}" for name, value in own[0]["values"].items())
                seconds = spread([row["seconds"] for row in own])
                first = title if place == 0 else ""
                rows.append((first, arm, f"{own[0]['n']:,}", seconds, _times(found, task, arm, "seconds", False), told))
    return markdown(head, rows)


def curve_table(curves: Mapping[str, Sequence[Found]], measure: str, unit: float = 1.0) -> str:
    """A measure over minutes, an arm a row; a cell is `value @ minutes`."""
    most = max((len(points) for points in curves.values()), default=0)
    head = ("arm", "", *(f"point {place}" for place in range(1, most + 1)))
    rows = []
    for arm, points in curves.items():
        cells = [f"{number(point[measure] * unit, 4)} @ {point['minutes']:.1f}" for point in points if measure in point]
        rows.append((arm, "", *cells, *([""] * (most - len(cells)))))
    return markdown(head, rows)


# --- a document -------------------------------------------------------------------------------------------------------


def marker(name: str, end: bool = False) -> str:
    """A line that a reader of the document does not see."""
    return f"<!-- {'end of ' if end else ''}{name}: written by benchmarks/{name}.py -->"


def write_between(document: Path, name: str, text: str) -> None:
    """Puts `text` between the markers of that name in the place of what stood there, and touches nothing else.

    Raises SystemExit where the document has not both markers, once each and in order.
    """
    whole = document.read_text(encoding="utf-8")
    begin, end = marker(name), marker(name, end=True)
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise SystemExit(f"{document} needs the lines '{begin}' and '{end}', once each and in this order.")
    before, rest = whole.split(begin)
    after = rest.split(end)[1]
    written = document.with_name(f".{document.name}.part")
    written.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
    written.replace(document)
