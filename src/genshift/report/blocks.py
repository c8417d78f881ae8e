"""What a page is made of. Sections build these; the template alone knows how they look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ORIGINS = ("published", "cited source", "ours", "yours")


@dataclass(frozen=True)
class Figure:
    """One plotly drawing: `spec` is its JSON, `alt` says in words what it shows.

    It is `height` pixels high, or as high as wide where `square`. `legend` pairs names and colours.
    """

    spec: str
    title: str
    alt: str
    height: int = 340
    square: bool = False
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Figures:
    """Drawings side by side where there is room. `legend` pairs a class with its colour, for all of them."""

    figures: Sequence[Figure]
    legend: Sequence[tuple[str, str]] = ()
    columns: int = 2
    kind: str = field(default="figures", init=False)


@dataclass(frozen=True)
class Cell:
    """A table cell; `badge` says where a value comes from, `tone` is '', 'good', 'bad' or 'quiet'."""

    text: str
    badge: str = ""
    span: int = 1
    tone: str = ""

    @property
    def kind(self) -> str:
        """The badge's first words: published, cited source, ours or yours; '' for any other."""
        return next((kind for kind in ORIGINS if self.badge.startswith(kind)), "")

    @property
    def reason(self) -> str:
        """What the badge says after its first words, e.g. the source that is cited."""
        said = self.badge.removeprefix(self.kind).strip().removeprefix(":").strip()
        return said[1:-1] if said.startswith("(") and said.endswith(")") else said


@dataclass(frozen=True)
class Table:
    """`bodies` are (heading or '', rows); the first cell of a row is its header."""

    head: Sequence[str]
    bodies: Sequence[tuple[str, Sequence[Sequence[Cell]]]]
    note: str = ""
    prose: bool = False  # words rather than numbers: aligned left
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Heading:
    text: str
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True)
class Prose:
    text: str
    kind: str = field(default="prose", init=False)


@dataclass(frozen=True)
class Notes:
    """What must be read before the figures are trusted."""

    lines: Sequence[str]
    kind: str = field(default="notes", init=False)


@dataclass(frozen=True)
class Printed:
    """Preformatted text; folded away on a screen where `summary` is given."""

    text: str
    summary: str = ""
    kind: str = field(default="printed", init=False)


Block = Figures | Table | Heading | Prose | Notes | Printed


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
