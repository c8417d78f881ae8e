"""Looking at a folder of a user's before anything is made of it: what is there, what is left out, what is broken.

Nothing has to be right for it: pictures of any sizes, labels or none, broken files among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TypedDict

from genshift.data.catalog import lookup
from genshift.data.check import Description, describe
from genshift.data.dataset import Background, Decoding, Fit, ReadOptions
from genshift.data.files import Files
from genshift.data.folders import Found, Layout, layout_of, look_through, name_of, parts_of, set_of, unread_of
from genshift.data.imageset import ImageSet
from genshift.data.packed import is_packed
from genshift.data.parts import WORDS, listed
from genshift.data.pictures import THREADS, Pictures, read_pictures, why_broken
from genshift.data.pixels import BROKEN, Head, check_options, head_of, unheard_pillow
from genshift.data.text import UTF8, check_encoding
from genshift.errors import Refusal
from genshift.paths import given_path

TILE = 64  # pixels of the side to which pictures of several sizes are brought, to be looked at
LOOKED_AT = 200  # pictures whose heads tell how large all are
FIRST = 2**16  # bytes that hold what a picture says of itself, as a rule


class Sizes(TypedDict):
    """Widths and heights in pixels, as pictures are shown; `commonest` is that of `times` pictures."""

    different: int
    smallest: list[int]
    commonest: list[int]
    times: int
    largest: list[int]


class Copies(TypedDict):
    """Pictures whose file is another's, byte for byte: how many too many, and how many of them stand under two labels
    or in two parts."""

    copies: int
    under_two_labels: int
    in_two_parts: int


class Survey(Copies):
    """What lies in a folder, archive or CSV. kinds, colours: pictures by format, and by colours and depth. parts: each
    part as `describe` has it. left_out: what is not read, in words. broken: files that are no whole pictures, each with
    the reason. against: why a training would refuse the folder, sentences.
    """

    name: str
    pictures: int
    kinds: dict[str, int]
    sizes: Sizes | None
    colours: dict[str, int]
    parts: dict[str, Description]
    left_out: str
    broken: dict[str, str]
    against: list[str]


def survey(
    path: Path | str,
    split: str | None = None,
    *,
    size: int | None = None,
    skip_broken: bool = False,
    fit: Fit = "crop",
    background: Background = "white",
    depth: int = 0,
    encoding: str = UTF8,
) -> tuple[dict[str, ImageSet], Survey]:
    """The parts of a folder, archive or CSV ("train" alone where it has none; one of them where `split` names it), and
    what lies there; the other options are those of `load`.

    Pictures of one size are looked at as they are, those of several at TILE pixels, where no size is given. No set
    where none of its pictures can be read. Raises Refusal where there is no picture at all, there is no such part, or
    what holds them cannot be read.
    """
    path, decoding = given_path(path), Decoding(fit, background, depth)
    check_options(size, None, None, decoding)
    check_encoding(encoding)
    wanted = ReadOptions(labels="any", size=size, skip_broken=True, decoding=decoding, encoding=encoding)
    found, listing = look_through(path, wanted)
    heads = _heads(found.files, found.names)
    seen = [head for head in heads.values() if isinstance(head, Head)]
    size = size or (TILE if len({(head.width, head.height) for head in seen}) > 1 else None)
    against: list[str] = []
    sets: dict[str, ImageSet] = {}
    broken = {name: head for name, head in heads.items() if isinstance(head, str)}
    source = ""
    parts = sorted(parts_of(found), key=list(WORDS).index) if listing is None else []
    for part in [split] if split else parts or ["train"]:
        own = replace(found, options=replace(wanted, split=part, size=size))
        try:
            layout = layout_of(own, listing)
        except Refusal as refusal:  # the folder does not tell what is what: all is looked at
            if split:
                raise
            against.append(str(refusal))
            layout = Layout(found.names)
        pictures = _read(own, layout, against)
        source = source or layout.source
        if pictures is not None:
            sets[part] = set_of(path, own, layout, pictures)
            broken |= dict(pictures.broken)
    if broken and not skip_broken:
        against.append(
            f"{len(broken):,} of {len(found.names):,} pictures in {found.files.path} cannot be read "
            f"({listed(broken)}): replace them, move them out of the folder, or give --skip-broken to leave them out."
        )
    parts_told = {part: describe(images) for part, images in sets.items()}
    against += [told["against"] for told in parts_told.values() if "against" in told]
    facts: Survey = {
        "name": name_of(path),
        "pictures": len(found.names),
        "kinds": dict(Counter(head.format for head in seen).most_common()),
        "sizes": _sizes(seen),
        "colours": dict(Counter(head.colours for head in seen).most_common()),
        "parts": parts_told,
        "left_out": unread_of(found.files, found.names, source),
        "broken": dict(sorted(broken.items())),
        **_copies(sets),
        "against": [*dict.fromkeys(against)],
    }
    return sets, facts


def typical_side(path: Path | str) -> int | None:
    """The median of the shorter sides of a folder's, archive's or CSV's pictures, in pixels, by the heads of at most
    LOOKED_AT of them; None of what is no such thing, or where none can be read. Refusal as `survey`."""
    path = given_path(path)
    if lookup(str(path)) is not None or is_packed(path) or is_packed(path / "train") or not path.exists():
        return None
    found, _ = look_through(path, ReadOptions(labels="any", skip_broken=True))
    names = found.names[:: max(1, len(found.names) // LOOKED_AT)]
    sides = [min(head.width, head.height) for head in _heads(found.files, names).values() if isinstance(head, Head)]
    return int(median(sides)) if sides else None


def _heads(files: Files, names: Sequence[str]) -> dict[str, Head | str]:
    """What each picture says of itself, or why it is none."""

    def one(name: str) -> Head | str:
        try:
            return head_of(files.head(name, FIRST))
        except BROKEN:  # it may say it later, or is broken
            try:
                return head_of(files.read(name))
            except BROKEN as error:
                return why_broken(name, error)

    with unheard_pillow(), ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def _read(found: Found, layout: Layout, against: list[str]) -> Pictures | None:
    """The pictures of a part; None where none can be read. A depth that is to be asked for is taken for 16 bits here,
    and `against` gains the question."""
    options = found.options
    for decoding in (options.decoding, replace(options.decoding, depth=options.decoding.depth or 16)):
        try:
            return read_pictures(found.files, layout.names, options.size, None, skip_broken=True, decoding=decoding)
        except Refusal as refusal:
            against.append(str(refusal))
    return None


def _sizes(heads: Sequence[Head]) -> Sizes | None:
    """None where there is no picture."""
    if not heads:
        return None
    counts = Counter((head.width, head.height) for head in heads)
    by_area = sorted(counts, key=lambda size: (size[0] * size[1], size))
    (commonest, times), *_ = counts.most_common(1)
    return {
        "different": len(counts),
        "smallest": list(by_area[0]),
        "commonest": list(commonest),
        "times": times,
        "largest": list(by_area[-1]),
    }


def _copies(sets: Mapping[str, ImageSet]) -> Copies:
    """Which pictures are the same, byte for byte."""
    where: dict[bytes, tuple[set[str], set[str]]] = {}
    count = 0
    for part, images in sets.items():
        assert images.digests is not None  # they are files
        labels = [""] * len(images) if images.labels is None else [images.classes[label] for label in images.labels]
        count += len(images)
        for digest, label in zip(images.digests.numpy(), labels, strict=True):
            parts, classes = where.setdefault(digest.tobytes(), (set(), set()))
            parts.add(part)
            classes.add(label)
    return {
        "copies": count - len(where),
        "under_two_labels": sum(len(classes) > 1 for _, classes in where.values()),
        "in_two_parts": sum(len(parts) > 1 for parts, _ in where.values()),
    }
