"""Work in processes of its own, so many at a time, that ends well: by itself, refused, interrupted or killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from genshift.errors import Refusal
from genshift.plugins import PluginsOfThisProcess
from genshift.signals import leave_closed_terminal, stop_signals

STOPPED, REFUSED = 130, 2


Ended = Callable[[Any, Refusal | None], None]


def side_by_side(
    todo: Sequence[Any], work: Callable[[Any], bool], most: int, name: Callable[[Any], str], ended: Ended
) -> bool:
    """Calls `work` on each item in a process of its own, at most `most` at a time; `name` is how messages call it.

    `ended` is called, in this process, with each item that is done, and with the Refusal of one that was refused or
    whose process died; the others go on. Where one stops early (`work` returns False, or a signal comes), no other is
    begun and those under way get SIGTERM, upon which training saves and ends. Returns False then.
    """
    crew = Crew(ended)
    waiting = list(todo)
    with calling_on_stop(crew.stop):
        try:
            while crew.members or (waiting and not crew.stopping):
                while waiting and len(crew.members) < most and not crew.stopping:
                    item = waiting.pop(0)
                    crew.begin(item, work, name(item))
                crew.wait()
        finally:
            crew.kill()
    return not crew.stopping


class Crew:
    """The processes under way."""

    def __init__(self, ended: Ended) -> None:
        self.members: dict[SpawnProcess, tuple[Any, Connection]] = {}
        self.stopping = False
        self.ended = ended

    def begin(self, item: Any, work: Callable[[Any], bool], name: str) -> None:
        """Starts one more. The terminal's signals are kept from it, so that it hears of a stop once, as SIGTERM."""
        hears, tells = get_context("spawn").Pipe(duplex=False)
        # What an item is made of may be a plugin's: arguments are unpickled in their order.
        arguments = (PluginsOfThisProcess(), item, work, tells)
        process = get_context("spawn").Process(target=_work, args=arguments, name=name)
        resource_tracker.ensure_running()  # it would lift the block that the process is to inherit
        _mask_terminal(True)
        try:
            process.start()
            self.members[process] = item, hears
        finally:
            _mask_terminal(False)
            tells.close()
        if self.stopping:  # the signal came meanwhile
            process.terminate()

    def wait(self) -> None:
        """Waits for the next to end; where it was stopped, the others are asked to stop too."""
        ended = wait([process.sentinel for process in self.members])
        for process in [process for process in self.members if process.sentinel in ended]:
            process.join()
            item, hears = self.members.pop(process)
            if process.exitcode == STOPPED:
                self.stop()
            elif (
                not self.stopping or not process.exitcode
            ):  # a second signal may have killed it: it is no fault of its own
                self.ended(item, _reason(process, hears) if process.exitcode else None)
            hears.close()

    def stop(self) -> None:
        """Begins no more and asks those under way to save and end."""
        self.stopping = True
        for process in list(self.members):
            process.terminate()

    def kill(self) -> None:
        """Ends at once what is left after an exception."""
        for process in self.members:
            process.kill()
            process.join()


@contextmanager
def calling_on_stop(stop: Callable[[], None]) -> Iterator[list[int]]:
    """While open, the stop signals call `stop` instead of ending this process, and stand in the list that is yielded; a
    second one ends it as usual."""
    before: dict[int, Any] = {}
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[number])
        leave_closed_terminal()
        came.append(number)
        stop()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in stop_signals()}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _mask_terminal(on: bool) -> None:
    if sys.platform != "win32":  # it has no masks: there, every process of the terminal hears of Ctrl-C by itself
        signal.pthread_sigmask(signal.SIG_BLOCK if on else signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})


def _reason(process: SpawnProcess, hears: Connection) -> Refusal:
    """Why a process did not end well."""
    status = process.exitcode or 0
    if status == REFUSED and hears.poll():
        return Refusal(hears.recv())
    if status < 0:
        cause = f"was ended by signal {-status} (9 is what the system sends where memory runs out)"
        return Refusal(f"The process of {process.name} {cause}: run the same command again, with fewer --jobs.")
    return Refusal(f"The process of {process.name} failed with what stands above: correct it, or report it.")


def _work(plugins: None, item: Any, work: Callable[[Any], bool], tells: Connection) -> None:
    """What runs in the process; `plugins` were loaded when the arguments came."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sys.exit(0 if work(item) else STOPPED)
    except Refusal as refusal:
        tells.send(str(refusal))
        sys.exit(REFUSED)


def _end_with_parent() -> None:
    """SIGTERM to this process when its parent was killed: nobody would wait for it any more."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
