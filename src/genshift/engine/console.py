"""What a run says while it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Console:
    """Prints for the leading process; silent in the others."""

    def __init__(self, speaks: bool = True, label: str = "") -> None:
        self.speaks, self.label = speaks, label
        self.rich = RichConsole(file=sys.stderr, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None

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
        else:
            self.say(f"{seen:>11,} of {total:,} images  {seconds:7.1f} s  {text}")

    def validation(self, seen: int, measures: Mapping[str, float]) -> None:
        """The state after a validation."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in measures.items())
        self.say(f"{seen:>11,} images: held-out source {text}")

    def _move_bar(self, seen: int, total: int, text: str) -> None:
        if self.bar is None:
            columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.description}"), console=self.rich)
            self.task = self.bar.add_task("", total=total)
            self.bar.start()
        self.bar.update(self.task, completed=seen, description=text)

    def close(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
