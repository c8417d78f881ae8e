"""What a data set is: its declaration, what a reader is asked for, and the register of the sets. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from genshift.errors import Refusal
from genshift.papers import Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet

Colour = Literal["rgb", "grey"]
Fit = Literal["crop", "pad"]
Background = Literal["white", "black", "grey"]
Labels = bool | Literal["any"]  # whether labels are read; "any": where there are some

DIGITS = tuple(str(digit) for digit in range(10))
RESIZED = "resized to a square with bilinear interpolation and antialiasing"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # no path, no suffix, nothing that a task's name is made with


@dataclass(frozen=True)
class DataFile:
    """One published file.

    split: which it belongs to; None: it serves every split.
    md5: the published checksum, or None where none is known to be published.
    size: bytes, or None where it is not known.
    urls: where `genshift data get` looks, in order; empty where the host lets no program fetch it.
    unpacked: what stands for it where a user unpacked it: names of files or folders beside it, in order.
    holds: labels are read where labels are asked for; a list, where it lies beside the images.
    on_request: whether it is fetched only where its split is named.
    """

    name: str
    split: str | None
    md5: str | None
    size: int | None
    urls: tuple[str, ...] = ()
    unpacked: tuple[str, ...] = ()
    holds: Literal["images", "labels", "list"] = "images"
    on_request: bool = False


@dataclass(frozen=True)
class Location:
    """Where a split of a set lies on this machine.

    path: what its images are read from, a file or a folder. files: published name → path of all that lies there.
    built: whether it is a set that `genshift data build` wrote.
    """

    path: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    built: bool = False


@dataclass(frozen=True)
class Decoding:
    """What a picture's file leaves open, and its user answers.

    fit: of a rectangle the centred square is cut out (crop), or all of it is set on a black square (pad).
    background: what lies under its transparent parts.
    depth: bits that 16-bit values hold, 1 to 16; 0: 16, but refused where that would leave every picture dark.
    """

    fit: Fit = "crop"
    background: Background = "white"
    depth: int = 0


USUAL = Decoding()


@dataclass(frozen=True)
class ReadOptions:
    """What of a set is wanted; `genshift.data.load` says what each means."""

    split: str = "train"
    size: int | None = None
    colour: Colour | None = None
    labels: Labels = True
    limit: int | None = None
    skip_broken: bool = False
    decoding: Decoding = USUAL
    encoding: str = "utf-8"


Reader = Callable[[Location, ReadOptions], "ImageSet"]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """All that is known of a data set. Whoever loads it needs a name, who cites it its papers, who shares it its terms.

    published_counts: images in each split; of a set that genshift builds, as it builds it.
    folders: where it may lie below a data root, the first being where downloads go; none: it needs no files.
    read: from its location to its images; None: pictures in class folders (`CLASS/picture`, with or without `train/`
    and `test/` above) in one of `folders`, or in an archive that is its first file.
    by_hand: how to place the set where no program can fetch it, or how else to get it.
    side: height and width as published; None: pictures of many sizes. classes: empty where folders name them.
    rule: how an image comes to the side that `size` asks for.
    built: whether `genshift data build` makes it.
    fills_frame: whether digits touch the rim of their picture, where MNIST's have a margin.
    redistributable: whether its licence lets single pictures be passed on, as in a record of runs that is published.
    """

    name: str
    title: str
    published_counts: Mapping[str, int]
    licence: str
    terms: str
    read: Reader | None = None
    files: tuple[DataFile, ...] = ()
    folders: tuple[str, ...] = ()
    by_hand: str = ""
    side: tuple[int, int] | None = None
    channels: int = 3
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = field(default=(), repr=False)
    rule: str = f"cropped to its centred square, then {RESIZED}"
    built: bool = False
    fills_frame: bool = False
    redistributable: bool = False
    papers: tuple[Paper, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "published_counts", MappingProxyType(dict(self.published_counts)))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.published_counts)

    @property
    def embedded(self) -> bool:
        """True where the set comes with scikit-learn and needs no download."""
        return not self.folders

    @property
    def size(self) -> int | None:
        """Bytes of all files together, or None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


_sets: dict[str, DataSet] = {}
SETS: Mapping[str, DataSet] = MappingProxyType(_sets)  # a view: it shows what is registered later, too


def register(data: DataSet) -> DataSet:
    """Makes a data set known by its name: to `load`, to every flag that takes a set, to `genshift ls` and the page.

    The files of `genshift.data.sets` call it, and so does a file of a user's. Raises Refusal where the name is taken,
    is no name, or the declaration says of no place where its images come from.
    """
    if not NAME.fullmatch(data.name):
        raise Refusal(f"'{data.name}' cannot name a data set: expected letters, digits, '_' and '-'.")
    if data.name in _sets:
        raise Refusal(f"There is a data set '{data.name}' already ({_sets[data.name].title}): give yours another name.")
    if "train" not in data.published_counts:
        raise Refusal(f"The data set '{data.name}' has no split 'train': count its images in published_counts.")
    if data.read is None and not data.folders:
        raise Refusal(f"The data set '{data.name}' says of no place where it lies: name folders, or give a reader.")
    _sets[data.name] = data
    return data
