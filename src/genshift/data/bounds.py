"""Bounds on what a file may claim, so that a damaged or hostile one does not take the machine's memory.

Each is raised by a variable of the environment, which the refusal names. Imports no torch.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from genshift.errors import Refusal

Kind = Literal["pixels", "members", "bytes"]
PIXELS = 178_956_970  # of one picture: where Pillow, too, takes it for a decompression bomb
MEMBERS = 5_000_000  # of one archive
BYTES_A_PIXEL = 8  # 16-bit colours with alpha: no picture's file is larger
GROUPS, GROUP_ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
PIECE = 16 * 2**20  # bytes unpacked at a time


def is_given(kind: Kind) -> bool:
    """Whether the user set this bound."""
    return bool(os.environ.get(_variable(kind)))


def bound(kind: Kind) -> int:
    """The most pixels of one picture, members of one archive, or bytes that one compressed file unpacks to.

    Raises Refusal where the environment's variable is no number.
    """
    text = os.environ.get(_variable(kind), "")
    if not text:
        return {"pixels": PIXELS, "members": MEMBERS}.get(kind) or memory_bytes() // 2
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text)):
        raise Refusal(f"{_variable(kind)} is '{text[:40]}' in the environment: expected a whole number above 0.")
    return int(text)


def check_bound(kind: Kind, count: int, what: object) -> None:
    """Refuses `what` where it has more of a kind than is taken of one file."""
    if count > (most := bound(kind)):
        raise Refusal(
            f"{what} has {count:,} {kind} or more, and at most {most:,} are taken: if you trust it, set "
            f"{_variable(kind)} to as many in the environment."
        )


def check_picture_bytes(size: int, path: object) -> None:
    """Refuses a file of more bytes than the largest picture has."""
    if size > (most := BYTES_A_PIXEL * bound("pixels")):
        raise Refusal(
            f"{path} has {size:,} bytes, and at most {most:,} ({BYTES_A_PIXEL} a pixel) are taken of a picture: if you "
            f"trust it, set {_variable('pixels')} to more than {size // BYTES_A_PIXEL:,} in the environment."
        )


def read_picture(path: Path) -> bytes:
    """A picture's file; raises Refusal where it is larger than any picture, OSError where it cannot be read."""
    check_picture_bytes(path.stat().st_size, path)
    return path.read_bytes()


def read_unpacked(stream: io.BufferedIOBase, path: Path) -> bytes:
    """All that a decompressing stream gives, piece by piece; raises Refusal where that is too much."""
    pieces, count = [], 0
    while piece := stream.read(PIECE):
        count += len(piece)
        check_bound("bytes", count, f"{path}, unpacked,")
        pieces.append(piece)
    return b"".join(pieces)


def memory_bytes() -> int:
    """What this process may use of the machine's memory: all of it, or what its control group leaves (of a container,
    or of a batch system's job); 8 GiB where the system does not tell."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows
        return 8 * 2**30
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_group_limits()])


def _group_limits() -> Iterator[int]:
    """The limits in bytes on this process's control group and those above it, of version 1 or 2 of their files."""
    try:
        groups = [line.split(":", 2) for line in GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:  # no Linux
        return
    for _, controllers, path in groups:
        if controllers not in ("", "memory"):
            continue
        root, name = (GROUP_ROOT, "memory.max") if not controllers else (GROUP_ROOT / "memory", "memory.limit_in_bytes")
        folder = root / path.lstrip("/")
        for place in (folder, *folder.parents):
            with suppress(OSError, ValueError):  # a group of another namespace, or "max"
                yield int((place / name).read_text(encoding="ascii"))
            if place == root:
                break


def _variable(kind: Kind) -> str:
    return f"GENSHIFT_MAX_{kind.upper()}"
