"""Writing a text file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from genshift.errors import of_os_error


def write_whole(out: Path, text: str) -> None:
    """Writes beside `out` and renames, so that it is whole or absent; Refusal where that cannot be done."""
    name = ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, out)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise of_os_error(error, f"writing {out}") from error
