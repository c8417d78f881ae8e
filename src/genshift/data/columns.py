"""What the columns of a user's CSV are: which one names pictures, and what parts them. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from genshift.data.formats import ALL_SUFFIXES
from genshift.errors import Refusal

HEADER = ["image_name", "label"]  # of a CSV with labels; further columns are left unread
COMMA = ","
DELIMITERS = {COMMA: "commas", ";": "semicolons", "\t": "tabs"}
LONGEST = 2**16  # characters in which the first line is sought
LOOKED_AT = 100  # rows that tell which of several delimiters is meant


@dataclass(frozen=True)
class Listing:
    """A CSV of pictures, read as (picture, label, …).

    rows: below the header, the picture's name first. first: the line of the first of them. head: the columns' names, as
    written; none where the CSV has none. exact: whether they are HEADER. against: why it lists no pictures, a sentence;
    '' where it does. note: what was read as what, for the user, where that is not written in the header.
    """

    rows: list[list[str]] = field(default_factory=list)
    first: int = 2
    head: tuple[str, ...] = ()
    exact: bool = False
    against: str = ""
    note: str = ""


def delimiter_of(where: object, text: str) -> str:
    """What parts the columns: a comma, semicolon or tab, by the first line, and where that has several, by which of
    them gives a column of pictures' names. Refusal where more than one does."""
    first = next((line for line in text[:LONGEST].splitlines() if line.strip()), "")
    inside = [delimiter for delimiter in DELIMITERS if delimiter in first]
    headed = [delimiter for delimiter in inside if first.split(delimiter)[: len(HEADER)] == HEADER]
    if len(headed or inside) == 1:
        return (headed or inside)[0]
    fitting = [delimiter for delimiter in inside if not listing_of(where, _beginning(text, delimiter)).against]
    if len(fitting) > 1:
        words = " or by ".join(DELIMITERS[delimiter] for delimiter in fitting)
        raise Refusal(
            f"{where} may be parted by {words}: in both cases a column names pictures; give it the header "
            f"'image_name{fitting[0]}label' with what parts its columns, or put quotes around the names."
        )
    return fitting[0] if fitting else COMMA


def _beginning(text: str, delimiter: str) -> list[list[str]]:
    """The first rows, as far as they can be read."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        return [row for row in islice(reader, LOOKED_AT) if row]
    except csv.Error:
        return []


def listing_of(where: object, rows: Sequence[list[str]]) -> Listing:
    """What the rows of a CSV say: by the header `image_name,label`, else as two columns of which one names pictures in
    most of its rows, whatever their header is."""
    head = tuple(cell.strip() for cell in rows[0]) if rows else ()
    if list(head[:2]) == HEADER:
        return Listing(list(rows[1:]), 2, head, exact=True)
    written = ",".join(head)[:60]
    expected = (
        "expected the header 'image_name,label'; add it, or give two columns, a picture's file name with its suffix "
        "and its label"
    )
    if not rows or any(len(row) != 2 for row in rows):
        return Listing(list(rows[1:]), 2, head, against=f"{where} begins with '{written}': {expected}.")
    below = rows[1:] or rows
    naming = [place for place in range(2) if 2 * sum(_is_name(row[place]) for row in below) > len(below)]
    if len(naming) != 1:
        what = "both of its columns name pictures" if naming else "neither of its columns names pictures"
        said = f"{where} begins with '{written}', and {what}: {expected}."
        return Listing(list(rows[1:]), 2, head, against=said)
    picture = naming[0]
    headed = not _is_name(rows[0][picture])
    ordered = [[row[picture], row[1 - picture]] for row in rows[headed:]]
    columns = f"'{head[picture]}' as the pictures and '{head[1 - picture]}' as their labels"
    order = "first" if picture == 0 else "second"
    unheaded = f"without a header, the {order} column as the pictures, the other as their labels"
    note = f"of the CSV {columns if headed else unheaded}: so it is read."
    return Listing(ordered, 1 + headed, head if headed else (), note=note)


def _is_name(cell: str) -> bool:
    return cell.strip().lower().endswith(ALL_SUFFIXES)
