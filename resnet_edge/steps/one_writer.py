"""One build folder, one writer: a second process that would write into it is refused.

The lock is the system's (``flock``), so it ends with the process that holds it, however it ends.
Over NFS, Linux turns it into a lock of the server's. The file beside it only names the holder.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar, cast

from resnet_edge.errors import OutputError
from resnet_edge.options import Options

LOCK = ".writer.lock"
"""The name of the lock file in a build folder, while a process writes there."""

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""The build folders that this thread's caller has locked already: a step of a step may go on."""

Step = TypeVar("Step", bound=Callable[..., object])


def sole_writer(step: Step) -> Step:
    """Let a step run only while nobody else writes into its build folder."""

    @functools.wraps(step)
    def locked(options: Options, *others: object, **named: object) -> object:
        with write_alone(options.out):
            return step(options, *others, **named)

    return cast(Step, locked)


@contextlib.contextmanager
def write_alone(out: Path) -> Iterator[None]:
    """Hold the lock of a build folder.

    Where the folder cannot be written to, or the file system has no locks, nothing is locked.

    Args:
        out: The folder; it is made where it is missing, and removed again if it stays empty.

    Raises:
        OutputError: Another process holds the lock; the message names it.
    """
    if out.resolve() in _held.get():
        yield
        return
    with trusted(out), _locked(out):
        yield


@contextlib.contextmanager
def trusted(out: Path) -> Iterator[None]:
    """Take a build folder as locked: by this process, or by the one that waits for it."""
    token = _held.set(_held.get() | {out.resolve()})
    try:
        yield
    finally:
        _held.reset(token)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    made = _missing_folders(out)
    path = out / LOCK
    try:
        handle = _lock(path)
    except (OSError, ImportError):  # read-only, no locks there, or Windows
        handle = None
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is locked: whoever waits for it notices
            os.close(handle)
        for folder in made:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def _missing_folders(out: Path) -> list[Path]:
    """Return the folder and those above it that do not exist, the innermost first."""
    return [folder for folder in (out, *out.parents) if not folder.exists()]


def _lock(path: Path) -> int:
    """Lock a file and write this process into it.

    Returns:
        The open file's descriptor; closing it ends the lock.
    """
    import fcntl

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its last holder removed the folder, which was empty
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 4096, 0)
            os.close(handle)
            raise OutputError(_refusal(path.parent, holder)) from None
        except OSError:  # no locks in this file system
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        if _is_same(handle, path):
            break
        os.close(handle)  # its last holder removed it after it was opened here
    os.ftruncate(handle, 0)
    os.pwrite(handle, _this_process(), 0)
    return handle


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> bytes:
    started = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:500]
    record = {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "words": words}
    return json.dumps(record).encode()


def _refusal(out: Path, holder: bytes) -> str:
    try:
        record = json.loads(holder)
        who = (
            f"process {record['pid']} on {record['host']}, since {record['started']}: "
            f"{record['words']}"
        )
    except (ValueError, KeyError, TypeError):  # it was locked a moment ago
        who = "another process"
    return (
        f"{out}: {who} writes there; expected one writer at a time; wait until it has ended, or "
        "choose another folder with --out"
    )
