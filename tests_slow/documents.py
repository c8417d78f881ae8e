"""Tutorials as they stand in docs/tutorials: their blocks of code, a terminal for them, and what they quote."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
BLOCK = re.compile(r"(?:`([\w/.-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
END = "--- the end of a block ---"
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
PLAN = re.compile(r"labels-[0-9a-f]{8}-")
SKIP = "…"


@dataclass(frozen=True)
class Block:
    """A block of code. `file`: the name that the words before it end with, where a reader is to save it."""

    file: str
    language: str
    text: str


def blocks_of(tutorial: str) -> list[Block]:
    """The blocks of a tutorial in their order: `sh` to type, `text` as it is printed, files of any other language."""
    document = (TUTORIALS / f"{tutorial}.md").read_text(encoding="utf-8")
    return [Block(file or "", language, text) for file, language, text in BLOCK.findall(document)]


def reader(**more: str) -> dict[str, str]:
    """The environment of somebody who has set nothing up for genshift or for Python."""
    own = ("GENSHIFT_DATA", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in own} | more


class Shell:
    """A terminal: a bash that lives on from block to block, and ends where a command fails."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def run(self, commands: str) -> str:
        """What the commands print; an AssertionError with that where one of them fails."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{{\n{commands}\n}} </dev/null\necho; echo '{END}'\n")
        self.process.stdin.flush()
        printed: list[str] = []
        for line in self.process.stdout:
            if line.strip() == END:
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"status {self.process.wait()} of\n{commands}\n{''.join(printed)}")


def check_quoted(quoted: str, printed: str) -> None:
    """Every quoted line was printed, in that order, with other numbers perhaps; "…" stands for whatever lies there."""
    lines = iter([_shape(line) for line in printed.splitlines()])
    for line in filter(None, map(_shape, quoted.splitlines())):
        pattern = ".*".join(map(re.escape, line.split(SKIP)))
        assert any(re.fullmatch(pattern, other) for other in lines), f"not printed: {line}\n\n{printed}"


def _shape(line: str) -> str:
    """A line without its spaces, its numbers and the name of a plan."""
    return re.sub(r"\s+", " ", NUMBER.sub("0", PLAN.sub("labels-PLAN-", line))).strip()
