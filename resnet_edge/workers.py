"""Run a part of the work in a process of its own and listen to its lines of JSON.

Device-safe: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import resnet_edge
from resnet_edge.errors import ResnetEdgeError

TAIL_LINES = 12


class WorkerError(ResnetEdgeError):
    """A worker process failed; the message has its last words."""


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package: ``python -m module arguments``."""
    return (sys.executable, "-m", module, *arguments)


def run_worker(
    command: Sequence[str],
    title: str,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Iterator[str]:
    """Run a command in a new process and yield its standard output by lines, as they come.

    The process does not outlive the iteration: on Ctrl-C or any error here it is killed.

    Args:
        command: From `module_command`; the process finds this very package.
        title: Names the work in errors.
        environment: Variables set beside this process's own.
        timeout_s: The process is killed after so long.

    Raises:
        WorkerError: The process exited with an error, was killed by a signal, or took too long.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {}), "PYTHONPATH": _python_path()},
        )
        expired = threading.Event()
        alarm = threading.Timer(timeout_s or 0, _expire, (process, expired))
        if timeout_s is not None:
            alarm.start()
        assert process.stdout is not None
        try:
            yield from (line.strip() for line in process.stdout)
            status = process.wait()
        finally:
            alarm.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            process.stdout.close()
        if expired.is_set():
            raise WorkerError(
                f"{title}: no result within {timeout_s:g} s; measure fewer queries or seconds"
            )
        if status:
            log.seek(0)
            raise WorkerError(f"{title}: {_death_words(status)}{_tail(log.read())}")


def _expire(process: subprocess.Popen[str], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _python_path() -> str:
    """A search path with which the worker finds this very package, also inside a zip."""
    home = str(Path(resnet_edge.__file__).parent.parent)
    others = os.environ.get("PYTHONPATH")
    return os.pathsep.join([home, others] if others else [home])


def _death_words(status: int) -> str:
    if status > 0:
        return f"the process ended with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    causes = {
        "SIGKILL": ", most likely because memory ran out",
        "SIGILL": "; the runtime needs processor instructions that are not here",
        "SIGSEGV": "; the runtime crashed",
    }
    return f"the process was killed by {name}{causes.get(name, '')}"


def _tail(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()][-TAIL_LINES:]
    return "; it said last:\n" + "\n".join(lines) if lines else "; it said nothing"
