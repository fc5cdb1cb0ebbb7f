"""Signals that end a program, and the end of a worker with its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of Linux' ``prctl``."""


def interrupt_on_termination() -> None:
    """Let SIGTERM, and SIGHUP where it is not ignored, raise KeyboardInterrupt as Ctrl-C does.

    So ``kill``, a closed terminal and a lost connection remove what was begun and end the workers.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # nohup lets a program ignore SIGHUP; that stays.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, also in the middle of native code.

    Linux alone can; elsewhere the worker's standard input tells it, as soon as Python runs again.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os._exit(1)
