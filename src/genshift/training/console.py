"""What a run says while it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from genshift.errors import Refusal

LINES = 20


class Console:
    """Prints for the leading process; silent in the others."""

    def __init__(self, speaks: bool = True, label: str = "") -> None:
        self.speaks, self.label = speaks, label
        self.rich = RichConsole(file=sys.stderr, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.told = -1

    def say(self, text: str) -> None:
        """One line."""
        if self.speaks:
            self.rich.print(f"{self.label}{text}", markup=False)

    def row(self, seen: int, total: int, seconds: float, means: Mapping[str, float]) -> None:
        """The state after a reading."""
        if not self.speaks:
            return
        text = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        if self.rich.is_terminal:
            self._move_bar(seen, total, text)
        elif seen // max(1, total // LINES) != self.told:
            self.told = seen // max(1, total // LINES)
            self.say(f"{seen:>11,} of {total:,} images  {seconds:7.1f} s  {text}")

    def validation(self, seen: int, measures: Mapping[str, float]) -> None:
        """The state after a validation."""
        values = {name: value for name, value in measures.items() if name != "error"}
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.say(f"{seen:>11,} images: held-out {text} ± {measures.get('error', 0.0):.4f}")

    def _move_bar(self, seen: int, total: int, text: str) -> None:
        if self.bar is None:
            columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.description}"), console=self.rich)
            self.task = self.bar.add_task("", total=total, completed=seen)
            self.bar.start()
        self.bar.update(self.task, completed=seen, description=text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def tensorboard_sink(folder: Path) -> Callable[[Mapping[str, Any]], None]:
    """A function that copies rows of metrics.jsonl into TensorBoard events; Refusal where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise Refusal(
            "TensorBoard is not installed: pip install 'genshift[tensorboard]', or leave the flag out."
        ) from None
    writer = SummaryWriter(str(folder))

    def write(row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "images":
                writer.add_scalar(name, value, row["images"])
        writer.flush()

    return write
