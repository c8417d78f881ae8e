"""Refusals: wrong input ends in one sentence and exit status 2, never in a traceback."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

# What moves a terminal's cursor or ends a line: C0 and C1 controls, Unicode's line ends and changes of direction.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
OVERLONG = re.compile(r"([^\s/]{100})[^\s/]{156,}")  # no file's name is as long: nobody need copy it whole
LISTED = 20  # names that a refusal lists


def plain(text: str) -> str:
    """Text on one line that a terminal shows and does not obey: the control characters that names of files and folders
    may hold are escaped."""
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


class Refusal(Exception):
    """Input that genshift will not take.

    The message is one sentence (or two), on one line, that names what was given, what was expected and what to do. The
    command line prints it and leaves with exit status 2; the Python API lets it propagate.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(plain(OVERLONG.sub(r"\1…", sentence)))


class PeerEnded(Refusal):
    """Another of the processes that share a batch has ended: any that is left says so, not the first alone."""


# What the words of an error say of its cause; PyTorch, CUDA and the system's loader have no classes for these.
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|cannot allocate memory|DefaultCPUAllocator|bad_alloc|"
    r"ALLOC_FAILED|failed to map segment|could not create a primitive(?! desc)|"
    r"size calculation overflowed|integer multiplication overflow|"
    r"overflow when unpacking long|int too large to convert",
    re.IGNORECASE,
)
OUT_OF_THREADS = re.compile(r"can't start new thread|resource temporarily unavailable", re.IGNORECASE)
ASKED_FOR = re.compile(r"allocate (\d[\d.]* \w+)")
TOO_MUCH = "memory ran out; take smaller pictures (--size), batches or networks, or a machine or limit with more of it"
TOO_MANY = "the system starts no more threads or processes; give --threads 1, end others, or raise the limit on them"


def nearest(given: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to `given`, or None where none is close."""
    valid = list(valid)
    lowered = {name.lower(): name for name in valid}
    matches = difflib.get_close_matches(given.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None


def unknown(kind: str, given: str, valid: Iterable[str], where: str = "") -> Refusal:
    """The refusal of a name that does not exist, with the nearest one that does.

    `where` says how to list the valid names, e.g. "`genshift ls` lists them".
    """
    valid = list(valid)
    close = nearest(given, valid)
    some = ", ".join(valid[:LISTED]) + f", … ({len(valid):,} in all)" * (len(valid) > LISTED)
    hint = f"did you mean '{close}'?" if close else f"expected one of {some}."
    return Refusal(f"There is no {kind} '{given}': {hint}{' ' + where if where else ''}")


def of_os_error(error: OSError, doing: str) -> Refusal:
    """The sentence for a failed file operation; `doing` is what was under way, e.g. "writing runs/a" or "reading b"."""
    writes = doing.startswith(("writing", "making"))
    denied = f"permission was denied; {'name a folder that you may write to' if writes else 'ask its owner for it'}"
    reasons = {
        errno.ENOSPC: "the disk is full; free some room and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some room and run the same command again",
        errno.EROFS: "the file system is read-only; name another folder",
        errno.EACCES: denied,
        errno.EPERM: denied,
        errno.ENOTDIR: f"a part of the path is a file, not a folder; {'name another' if writes else 'check the path'}",
        errno.EEXIST: "a file stands where a folder is needed; name another folder",
        errno.EISDIR: "a folder stands where a file is needed; name another file",
        errno.ENOENT: "it does not exist; check the path",
        errno.ENOMEM: TOO_MUCH,
        errno.EAGAIN: TOO_MANY,
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return Refusal(f"Stopped while {doing}: {reason}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device."""
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def of_exhaustion(error: BaseException, doing: str = "working") -> BaseException:
    """The Refusal for an end for want of memory or threads; the error itself where it is none. `doing` as in
    `of_os_error`."""
    cause: BaseException | None = error
    while cause is not None:  # a library may have turned it into an error of its own
        if is_out_of_memory(cause):
            asked = ASKED_FOR.search(str(cause))
            return Refusal(f"Stopped while {doing}: {f'{asked[1]} were asked for, and ' if asked else ''}{TOO_MUCH}.")
        if OUT_OF_THREADS.search(str(cause)):
            return Refusal(f"Stopped while {doing}: {TOO_MANY}.")
        cause = cause.__cause__ or cause.__context__
    return error
