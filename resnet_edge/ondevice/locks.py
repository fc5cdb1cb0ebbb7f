"""Locks on files and folders that end with the process that holds them, however it ends.

A file that nobody has locked was left by a process that was killed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def try_lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed.

    Args:
        handle: Its descriptor.

    Returns:
        False if another process holds the lock, or the file system has no locks.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # Windows has none
        return False
    return True


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the context lasts, where the system has such locks."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try_lock(handle)
        yield
    finally:
        os.close(handle)


def is_abandoned(path: Path) -> bool:
    """Return True if no process holds the lock of a file or folder; False where it cannot be told.

    Args:
        path: The file or folder; False as well if it is gone or cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return try_lock(handle)
    finally:
        os.close(handle)
