"""Files that are whole or absent: written under another name, synced, then renamed."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from genshift import typed_json
from genshift.errors import Refusal, of_os_error
from genshift.runs.forms import Logged, LogRow
from genshift.temporary import remove_litter_of, temporary_name
from genshift.typed_json import Number

UNENCODABLE = "backslashreplace"  # of what UTF-8 cannot hold: Python reads bytes of such names as \udc80 to \udcff


def write_whole(path: Path, write: Callable[[Path], None], *, among_many: bool = False) -> None:
    """Calls `write` with a temporary path beside `path`, syncs it to disk and renames it to `path`.

    The file's mode is what the umask makes it, whatever `write` does. among_many: do not look through the folder for
    what a killed process left of this very file. Raises Refusal where the file system will not take it (full disk,
    read-only, …); nothing half-written stays.
    """
    temporary = temporary_name(path, "part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not among_many:
            remove_litter_of(path, "part")
        temporary.open("wb").close()
        mode = temporary.stat().st_mode
        write(temporary)
        if temporary.stat().st_mode != mode:  # safetensors makes a file that its owner alone may read
            temporary.chmod(mode)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise of_os_error(error, f"writing {path}") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    windows = sys.platform == "win32"
    if windows and path.is_dir():  # it opens no folder, and syncs what is open for writing alone
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole, in UTF-8; bytes XX of names that are none as `\\udcXX`, as JSON would."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors=UNENCODABLE)

    write_whole(path, write)


def as_written(text: str) -> str:
    """Text as `write_text` puts it into a file."""
    return text.encode("utf-8", UNENCODABLE).decode("utf-8")


def csv_text(header: Iterable[str], rows: Iterable[Sequence[Any]], floats: str) -> str:
    """A CSV file's text; `floats` is how its floats are formatted, e.g. ".6f"."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([format(cell, floats) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole, indented, with no NaN (which JSON has not)."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str, kind: Any = Any, advice: str = "restore it, or train into another folder") -> Any:
    """A JSON file as `typed_json.read` reads it; where it is missing, `what` says what to do."""
    return typed_json.read(path, kind, what, advice)


def read_jsonl(path: Path) -> list[LogRow]:
    """The rows of a .jsonl file, one a line: `forms.Logged`, and numbers; none where there is no file.

    One torn last line is left out: a killed process leaves one, and so does one that is writing just now. Refusal for
    any other line that is no such row.
    """
    try:
        content = path.read_bytes()
        # Not final: a character of which the last bytes are missing belongs to a torn line and is no error.
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not text: expected JSON that genshift wrote.") from error
    advice = "restore the file, or train again"
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    rows: list[LogRow] = []
    for number, line in enumerate(lines, start=1):
        origin = f"Line {number} of {path}"
        try:
            row = typed_json.parse(line)
        except ValueError as error:
            if number < len(lines):
                raise Refusal(f"{origin} is not readable JSON ({error}): {advice}.") from None
            continue
        typed_json.check(row, Logged, origin, advice)
        numbers = {key: value for key, value in row.items() if key not in Logged.__annotations__}
        typed_json.check(numbers, dict[str, Number], origin, advice)
        rows.append(row)
    return rows
