"""What a page is made of. Sections build these; page.html and results_md.py alone know how they look."""

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
class Picture:
    """A picture, which may move, inside the page: `data` is its URI, `size` its width and height in pixels, `width` how
    wide it is shown where there is room. `under` are short texts below equal parts of its width, of a line or
    more each. `missing` says why there is none."""

    title: str
    missing: str = ""
    data: str = ""
    caption: str = ""
    alt: str = ""
    size: tuple[int, int] = (0, 0)
    width: int = 0
    under: Sequence[str] = ()


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side where there is room, at most `columns` of them."""

    pictures: Sequence[Picture]
    columns: int = 2
    kind: str = field(default="pictures", init=False)


@dataclass(frozen=True)
class Terms:
    """Words and what they mean; folded away on a screen where `summary` is given."""

    terms: Sequence[tuple[str, str]]
    summary: str = ""
    kind: str = field(default="terms", init=False)


@dataclass(frozen=True)
class Cell:
    """A table cell; `badge` says where a value comes from, `tone` is '', 'good', 'bad', 'quiet' or 'best'.

    `note` stands below the text, smaller.
    """

    text: str
    badge: str = ""
    span: int = 1
    tone: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        """The badge's first words: published, cited source, ours or yours; '' for any other."""
        return next((kind for kind in ORIGINS if self.badge.startswith(kind)), "")

    @property
    def reason(self) -> str:
        """What the badge says after its first words, e.g. the source that is cited."""
        rest = self.badge.removeprefix(self.kind).strip().removeprefix(":").strip()
        return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


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
class Folded:
    """Blocks that are folded away on a screen, under their `summary`."""

    summary: str
    blocks: Sequence[Block]
    kind: str = field(default="folded", init=False)


@dataclass(frozen=True)
class Notes:
    """What must be read before the figures are trusted."""

    lines: Sequence[str]
    kind: str = field(default="notes", init=False)


@dataclass(frozen=True)
class Bullets:
    """A list: each item, and what stands below it."""

    items: Sequence[tuple[str, Sequence[str]]]
    kind: str = field(default="bullets", init=False)


@dataclass(frozen=True)
class Printed:
    """Preformatted text; folded away on a screen where `summary` is given."""

    text: str
    summary: str = ""
    kind: str = field(default="printed", init=False)


@dataclass(frozen=True)
class Option:
    """One of several things to look at: small pictures tell it at a glance, blocks in full."""

    title: str
    blocks: Sequence[Block]
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Choice:
    """Options of which one is shown in full, on a screen another by a button; `shown` is the place of the first."""

    options: Sequence[Option]
    shown: int = 0
    kind: str = field(default="choice", init=False)


Block = Figures | Pictures | Table | Terms | Heading | Prose | Notes | Bullets | Printed | Choice | Folded


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
