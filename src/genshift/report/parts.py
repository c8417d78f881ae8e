"""What sections are made of: functions that are given what their section is about, and return its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from genshift.report.blocks import Block

Document = Literal["page", "results.md"]
PAGE: Document = "page"
RESULTS_MD: Document = "results.md"
About = TypeVar("About")


@dataclass(frozen=True)
class Part(Generic[About]):
    """Some blocks; `only`: the one document that has them; `when`: for which subjects they are made."""

    blocks: Callable[[About], Sequence[Block]]
    only: Document | None = None
    when: Callable[[About], bool] = lambda about: True


@dataclass(frozen=True)
class SectionKind(Generic[About]):
    """A section of what `takes` says it is about; `heading`: its title in results.md, below the study's name."""

    takes: Callable[[About], bool]
    title: Callable[[About], str]
    parts: Sequence[Part[About]]
    heading: Callable[[About], str] | None = None


def blocks_of(parts: Iterable[Part[About]], about: About, document: Document) -> list[Block]:
    """The blocks that some parts have in a document."""
    here = [part for part in parts if part.only in (None, document) and part.when(about)]
    return [block for part in here for block in part.blocks(about)]
