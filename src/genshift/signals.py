"""Signals that ask a process to save and end: Ctrl-C, SIGTERM, and the SIGHUP of a terminal that closes."""

from __future__ import annotations

import os
import signal
import stat


def stop_signals() -> list[int]:
    """Their numbers here. Windows has no SIGHUP, and one that was ignored at the start (nohup) stays ignored."""
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


def leave_closed_terminal() -> None:
    """Lets what is still printed to a terminal that has closed go nowhere: there it would be an error, before the work
    is saved. What goes to a file, a pipe or a terminal that is still there stays."""
    for descriptor in (1, 2):
        try:
            is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        except OSError:  # the caller closed it
            continue
        if is_device and not os.isatty(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
