"""Many pictures from a folder or archive into one tensor, decoded by a pool of threads."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genshift.data.bounds import bound
from genshift.data.dataset import USUAL, Colour, Decoding
from genshift.data.files import Files
from genshift.data.formats import ALL_SUFFIXES, further_pages, lacking
from genshift.data.pixels import BROKEN, Decoded, decode, finish, likely_depth, unheard_pillow
from genshift.data.room import allocate
from genshift.errors import Refusal, of_exhaustion

THREADS = min(8, os.cpu_count() or 1)  # each holds one picture at its full size
GROUP = 8  # pictures a thread takes at a time: handing over small ones singly costs as much as decoding them


DIGEST_BYTES = 16  # of a file's BLAKE2b: no two files of a set will ever share it, and a million take 16 MB
Digested = tuple[bytes, Decoded | Exception]  # a file's digest, and what it shows


@dataclass(frozen=True)
class Pictures:
    """images: uint8 `[M, C, H, W]`; kept: the places, among the names asked for, of the M that were read; digests:
    uint8 `[M, 16]`, their files by content; further: which pages and frames were not read, in words; broken: names of
    those that were left out, each with the reason."""

    images: Tensor
    kept: list[int]
    notes: tuple[str, ...]
    digests: Tensor
    further: str = ""
    broken: tuple[tuple[str, str], ...] = ()


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture in one of the formats of `formats`."""
    return name.lower().endswith(ALL_SUFFIXES)


def read_pictures(
    files: Files,
    names: Sequence[str],
    size: int | None,
    colour: Colour | None,
    *,
    fraction: float = 1.0,
    skip_broken: bool = False,
    decoding: Decoding = USUAL,
) -> Pictures:
    """The named pictures as one tensor; besides it, each thread holds one of them at its full size.

    With `size`, each is cropped to its centred square (`fraction` of the shorter side) or padded, and resized (`decode`
    and `resize` say how); without it, all must have one size already. Without `colour`, the set is grey where every
    picture is, else RGB. A broken picture, or one of more pixels than `bound("pixels")`, is refused by name, or left
    out and counted in a note where `skip_broken` says so. Refused are 16-bit pictures that are all dark, where the
    decoding says nothing of their depth; notes tell of depths side by side, and of transparent parts.
    """
    out: Tensor | None = None
    kept: list[int] = []
    broken: list[tuple[str, str]] = []
    deepest: list[int] = []  # of the 16-bit ones
    clear = 0
    digests: list[bytes] = []
    pages: list[tuple[str, int]] = []
    for place, (digest, decoded) in enumerate(_decoded(files, names, size, fraction, decoding, pages)):
        if isinstance(decoded, Exception):
            if not skip_broken:
                raise _unreadable(files, names[place], decoded) from decoded
            broken.append((names[place], why_broken(names[place], decoded)))
            continue
        image = finish(torch.from_numpy(decoded.pixels)[None], size, colour)[0]
        deepest += [decoded.deepest] if decoded.deepest else []
        clear += decoded.clear

        # Room for all pictures is made at the first; grey ones move over when the first in colour comes.
        if out is None:
            out = allocate((len(names), *image.shape))
        if len(image) > out.shape[1]:
            grey, out = out, allocate((len(names), 3, *out.shape[2:]))
            out[: len(kept)] = grey[: len(kept)]
        if image.shape[1:] != out.shape[2:]:
            raise Refusal(
                f"The pictures in {files.path} differ in size ({names[kept[0]]} is {out.shape[-1]}×{out.shape[-2]}, "
                f"{names[place]} is {image.shape[-1]}×{image.shape[-2]} pixels): give --size to bring them to one."
            )
        out[len(kept)] = image  # a grey one is repeated to three channels
        kept.append(place)
        digests.append(digest)

    if out is None:
        raise Refusal(
            f"{files.path} holds no picture that can be read: expected PNG, JPEG or the like; check the path."
        )
    notes = _depth_notes(files, deepest, len(kept), decoding.depth)
    if clear:
        notes.append(
            f"{clear:,} of {len(kept):,} pictures in {files.path} have transparent parts, laid over "
            f"{decoding.background} (--background)."
        )
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        named = ", ".join(name for name, _ in broken[:3])
        notes.append(f"{len(broken)} broken picture(s) in {files.path} left out: {named}{more}.")
    contents = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(len(kept), DIGEST_BYTES)
    return Pictures(out[: len(kept)], kept, tuple(notes), contents, _told(pages), tuple(broken))


def _told(pages: Sequence[tuple[str, int]]) -> str:
    """How many pages were not read; `pages` are, of each picture with more than one, its format and how many more."""
    files, further = Counter(kind for kind, _ in pages), Counter[str]()
    for kind, count in pages:
        further[kind] += count
    return ", ".join(f"{further[kind]:,} further page(s) in {files[kind]:,} {kind} file(s)" for kind in sorted(files))


def _depth_notes(files: Files, deepest: list[int], count: int, depth: int) -> list[str]:
    """What is to be said of the 16-bit pictures among `count`, by the largest value of each; Refusal where all of them
    use a part of their range alone, and no depth is given."""
    if not deepest:
        return []
    highest, some = max(deepest), f"{len(deepest):,} of {count:,} pictures in {files.path} have 16 bits"
    if not depth and (bits := likely_depth(highest)) < 16:
        raise Refusal(
            f"{some} and reach {highest:,} of 65,535 at most: give --depth {bits} if they hold {bits} bits, or --depth "
            "16 if they are meant to be so dark."
        )
    notes = []
    if len(deepest) < count:
        notes.append(f"{some}, the others 8: their values are brought from 0–{2 ** (depth or 16) - 1:,} to 0–255.")
    if not depth and (dark := sum(value < 2**12 for value in deepest)):
        notes.append(
            f"{dark:,} of {count:,} pictures in {files.path} have 16 bits and reach no more than 4,095, others "
            f"{highest:,}: they are nearly black, or of another depth; if so, bring them to one."
        )
    return notes


def _decoded(
    files: Files,
    names: Sequence[str],
    size: int | None,
    fraction: float,
    decoding: Decoding,
    pages: list[tuple[str, int]],
) -> Iterator[Digested]:
    """Each picture in turn, its file's digest and what `decode` makes of it; what failed stands as its exception.
    `pages` gains, of each that has any, its format and how many further pages."""

    def one(name: str) -> Digested:
        digest = b""
        try:
            data = files.read(name)
            digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
            decoded = decode(data, size, fraction, decoding)
            if (further := further_pages(data))[1]:
                pages.append(further)
            return digest, decoded
        except BROKEN as error:
            return digest, error
        except MemoryError as error:
            raise of_exhaustion(error, f"decoding {files.path / name}") from error

    group = GROUP if size is not None else 1  # without a size what is decoded is as large as the file
    # No more groups are under way than threads, so that what is decoded and not yet taken stays small.
    waiting: deque[Future[list[Digested]]] = deque()
    with unheard_pillow(), ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(names), group):
            waiting.append(pool.submit(lambda part: [one(name) for name in part], names[start : start + group]))
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def why_broken(name: str, error: Exception) -> str:
    """Why a picture cannot be read, in words; `error` is one of `BROKEN`."""
    if missing := lacking(name):
        return f"it needs {missing}"
    if isinstance(error, UnidentifiedImageError):
        return "its format is none that is known"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"it claims more than {bound('pixels'):,} pixels, as a decompression bomb does; GENSHIFT_MAX_PIXELS in the "
            "environment sets another bound"
        )
    return str(error).rstrip(".") or type(error).__name__


def _unreadable(files: Files, name: str, error: Exception) -> Refusal:
    """The sentence for a picture that is broken; `error` is one of `BROKEN`."""
    return Refusal(
        f"{files.path / name} is no picture that can be read ({why_broken(name, error)}): expected a whole PNG, JPEG "
        "or the like; replace it, move it out of the folder, or give --skip-broken to leave such files out."
    )
