"""What a run says while it runs: a bar on a terminal, one line that changes in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from genshift.device import leads_processes
from genshift.errors import Refusal, of_os_error, plain
from genshift.runs.owner import trained_by

if TYPE_CHECKING:
    from genshift.runs.trained_run import TrainedRun

LINES = 20  # of progress in a training, where each stays to be read
SILENT = 2.0  # seconds after which a user wonders what goes on
T = TypeVar("T")
_logs: list[TextIO] = []  # the files that get every line too


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """While open, whatever any console says is added to this file too; None for none."""
    if path is None:
        yield
        return
    try:
        if path.is_fifo():
            raise Refusal(f"--log {path} is a pipe, which would wait for somebody to read it: name a file.")
        file = path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise of_os_error(error, f"writing the log {path}") from error
    _logs.append(file)
    try:
        yield
    finally:
        _logs.remove(file)
        file.close()


def say_training(opened: TrainedRun) -> None:
    """Where another process trains the run just now, says so, and with which checkpoint it answers."""
    owner = trained_by(opened.folder)
    if owner is not None:
        answers = f"note: {opened.folder.path} is being trained by {owner}; {opened.checkpoint.name} answers."
        Console(leads_processes()).say(answers)


class Console:
    """Prints for the leading process; silent in the others."""

    def __init__(self, speaks: bool = True, label: str = "") -> None:
        self.speaks, self.label = speaks, label
        self.rich = RichConsole(file=sys.stderr, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.display: Any = None  # a notebook's, which changes
        self.displayed = {"training": "", "held-out": ""}
        self.shown = -1  # the last twentieth of the training that has a line

    def say(self, text: str) -> None:
        """One line."""
        if not self.speaks:
            return
        text = plain(text)
        self._log(text)
        if self.rich.is_jupyter:  # rich would make an HTML block of each
            print(f"{self.label}{text}", file=sys.stderr)
        else:
            self.rich.print(f"{self.label}{text}", markup=False)

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """A step that says nothing itself: has a line where it takes over SILENT seconds, none where it is quick."""
        timer = Timer(SILENT, self.say, [f"{text} …"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def track(self, items: Sequence[T], text: str) -> Iterator[T]:
        """The items, one after the other; where that takes over SILENT seconds a line, and on a terminal a bar."""
        begun = time.monotonic()
        with self, self.phase(f"{text} ({len(items)})"):
            for number, item in enumerate(items):
                if self.rich.is_terminal and time.monotonic() - begun > SILENT:
                    self._move_bar(number, len(items), text)
                yield item

    def row(self, seen: int, total: int, seconds: float, means: Mapping[str, float]) -> None:
        """The state after a reading."""
        if not self.speaks:
            return
        values = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        line = f"{seen:>11,} of {total:,} images  {seconds:7.1f} s  {values}"
        part = seen // max(1, total // LINES)
        is_new, self.shown = part != self.shown, part
        if self.rich.is_jupyter:
            self._show_in_notebook("training", line)
        elif self.rich.is_terminal:
            self._move_bar(seen, total, values)
        elif is_new:
            self.say(line)
            return
        if is_new:
            self._log(line)

    def validation(self, seen: int, measures: Mapping[str, float]) -> None:
        """The state after a validation."""
        if not self.speaks:
            return
        values = {name: value for name, value in measures.items() if name != "error"}
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        line = f"{seen:>11,} images: held-out {text} ± {measures.get('error', 0.0):.4f}"
        if self.rich.is_jupyter:
            self._log(line)
            self._show_in_notebook("held-out", line)
        else:
            self.say(line)

    def _log(self, text: str) -> None:
        for file in _logs:
            print(f"{self.label}{text}", file=file, flush=True)

    def _move_bar(self, seen: int, total: int, text: str) -> None:
        if self.bar is None:
            columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.description}"), console=self.rich)
            self.task = self.bar.add_task("", total=total, completed=seen)
            self.bar.start()
        self.bar.update(self.task, completed=seen, description=text)

    def _show_in_notebook(self, part: str, text: str) -> None:
        from IPython.display import display  # there, since a notebook runs this

        self.displayed[part] = text
        shown = {"text/plain": "\n".join(filter(None, self.displayed.values()))}
        if self.display is None:
            self.display = display(shown, raw=True, display_id=True)
        else:
            self.display.update(shown, raw=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
