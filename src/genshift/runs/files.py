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

from genshift.errors import Refusal, of_os_error

UNENCODABLE = "backslashreplace"  # of what UTF-8 cannot hold: Python reads bytes of such names as \udc80 to \udcff


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path beside `path`, syncs it to disk and renames it to `path`.

    Raises Refusal where the file system will not take it (full disk, read-only, …); nothing half-written stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
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


def read_json(path: Path, what: str) -> Any:
    """Reads a JSON file; Refusal where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path.parent} has no {path.name}: {what}.") from None
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} is not readable JSON ({error}): restore it, or train into another folder.") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file, one a line; none where there is no file.

    One torn last line is left out: a killed process leaves one, and so does one that is writing just now. Refusal for
    any other broken line.
    """
    try:
        # Not final: a character of which the last bytes are missing belongs to a torn line and is no error.
        text = codecs.getincrementaldecoder("utf-8")().decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not text: expected JSON that genshift wrote.") from error
    lines = text.removesuffix("\n").split("\n") if text else []  # JSON may hold other signs that end a line
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):
            raise Refusal(f"Line {number} of {path} is no JSON object: restore the file or train again.")
    return rows
