"""JSON that lies in a folder, read in one way: held against a type before anything of it is used."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from genshift.errors import Refusal, of_os_error

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]  # a whole one too; its square is finite
Scalar = str | Whole | Number | bool | None


def read(path: Path, kind: Any, absent: str, advice: str) -> Any:
    """What the JSON file `path` holds, as plain dicts and lists with all that `kind` does not name.

    kind: what `msgspec.convert` takes, e.g. a TypedDict; bounds stand in it. Raises Refusal where the file is missing
    (`absent` says what to do), no JSON, or holds anything else (`advice` does).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Refusal(f"{path.parent} has no {path.name}: {absent}.") from None
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    try:
        value = parse(content)
    except ValueError as error:
        raise Refusal(f"{path} is not readable JSON ({error}): {advice}.") from None
    check(value, kind, str(path), advice)
    return value


def parse(content: bytes) -> Any:
    """The value that JSON in UTF-8 stands for; ValueError for anything else: NaN and numbers without end too."""
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        if "surrogate" not in str(error):
            raise
        return json.loads(content, parse_constant=_no_number)  # names of files that are no UTF-8 stand so in JSON
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def check(value: Any, kind: Any, origin: str, advice: str, place: str = "") -> None:
    """Refuses a value that is not of `kind`: `origin` names its file, `place` where in it the value stands."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if get_origin(kind) is dict and isinstance(value, dict):  # of whose entries msgspec says no names
            for key, entry in value.items():
                check(entry, get_args(kind)[1], origin, advice, f"{place}{reprlib.repr(key)}")
        wrong, _, where = str(error).partition(" - at `$")
        found = f"{wrong[0].lower()}{wrong[1:]}"
        at = f" at {(place + where.rstrip('`')).lstrip('.')}" if place or where else ""
        raise Refusal(f"{origin} is not what genshift writes ({found}{at}): {advice}.") from None
