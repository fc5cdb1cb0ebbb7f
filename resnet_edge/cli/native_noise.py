"""A filter that keeps the log lines of native libraries off the terminal.

TensorFlow's C++ part logs ``I0000 …`` lines to file descriptor 2 before any switch of its own is
read. This module puts a filter between that descriptor and the terminal; Python's ``sys.stderr``
writes past it, so bars and messages are drawn at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator

from resnet_edge.ondevice.terminal import ESCAPED

_NOISE = re.compile(
    rb"[IWE]0000 \d\d:\d\d:|[IWE]\d{4} \d\d:\d\d:\d\d|WARNING: All log messages before absl"
    rb"|To enable the following instructions|INFO: Created TensorFlow Lite"
)


@contextlib.contextmanager
def native_noise_filtered() -> Iterator[None]:
    """Drop the known log lines from descriptor 2 while the context lasts; all else passes."""
    terminal = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    python_stderr = sys.stderr
    sys.stderr = io.TextIOWrapper(
        os.fdopen(os.dup(terminal), "wb", 0),
        encoding=python_stderr.encoding,
        errors=ESCAPED,
        write_through=True,
    )
    thread = threading.Thread(target=_forward, args=(reader, terminal), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python_stderr
        os.dup2(terminal, 2)  # closes the pipe's last writing end, which ends the thread
        thread.join(timeout=1.0)
        os.close(terminal)


def _forward(reader: int, terminal: int) -> None:
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            if not _NOISE.match(line):
                os.write(terminal, line)
