"""Start and end processes: none outlives its parent, and an error tells how a process ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Callable

import resnet_edge
from resnet_edge.errors import WorkerError
from resnet_edge.ondevice.workers.serving import WATCH_PARENT

TAIL_LINES = 12


@dataclass(frozen=True)
class Crew:
    """Workers that run side by side, each listened to by a thread of ``pool``."""

    pool: ThreadPoolExecutor
    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    dismissed: threading.Event = field(default_factory=threading.Event)
    """Set when the work is given up: no worker is started any more."""

    def dismiss(self) -> None:
        """Kill every worker that still runs, start none any more, and wait until all are gone."""
        self.dismissed.set()
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in tuple(self.processes):
            process.kill()
        self.pool.shutdown()


@contextlib.contextmanager
def crew_of(size: int) -> Iterator[Crew]:
    """Let workers run side by side; kill all of them on any error, Ctrl-C too.

    Ctrl-C reaches the main thread alone, which would otherwise wait for every worker.

    Args:
        size: Number of workers that run at a time.
    """
    crew = Crew(ThreadPoolExecutor(size))
    try:
        yield crew
    except BaseException:
        crew.dismiss()
        raise
    finally:
        crew.pool.shutdown()


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package: ``python -m module arguments``."""
    return (sys.executable, "-m", module, *arguments)


@dataclass(frozen=True)
class RunningProcess:
    """A process that is being listened to."""

    lines: Iterator[str]
    """Its standard output by lines, as they come; raises ``WorkerError`` at the end of a process
    that exited with an error, was killed by a signal, or took too long."""
    send: Callable[[str], None]
    """Writes a line to its standard input; one that has ended is no error here."""


@contextlib.contextmanager
def open_process(
    command: Sequence[str],
    title: str,
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    crew: Crew | None = None,
) -> Iterator[RunningProcess]:
    """Run a command in a new process while the context lasts.

    The process does not outlive the context: on Ctrl-C or any error here it is killed. A worker
    that calls ``serve`` does not outlive this process either.

    Args:
        command: From ``module_command``; the process finds this very package.
        title: Names the work in errors.
        environment: Variables set beside this process's own.
        timeout_s: Seconds after which the process is killed.
        crew: The workers that it belongs to, where several run at a time.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = _start(command, log, environment)
        expired = threading.Event()
        alarm = threading.Timer(timeout_s or 0, _expire, (process, expired))
        alarm.daemon = True  # Ctrl-C while it starts must not wait for it
        if timeout_s is not None:
            alarm.start()

        def lines() -> Iterator[str]:
            assert process.stdout is not None
            yield from (line.strip() for line in process.stdout)
            status = process.wait()
            if expired.is_set():
                raise WorkerError(
                    f"{title}: no result within {timeout_s:g} s; measure fewer queries or seconds"
                )
            if status:
                log.seek(0)
                raise WorkerError(f"{title}: {_death_words(status)}{_tail(log.read())}")

        try:
            _join(crew, process)
            yield RunningProcess(lines(), functools.partial(_send, process))
        finally:
            alarm.cancel()
            _end(process, crew)


def run_process(
    command: Sequence[str],
    title: str,
    *,
    first: str | None = None,
    word: Future[str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    crew: Crew | None = None,
) -> Iterator[str]:
    """Run a command in a new process and yield its standard output by lines, as they come.

    Args:
        command: As all others in ``open_process``.
        title: Names the work in errors.
        first: The first line of its standard input.
        word: The next line, sent as soon as it is there.
        environment: Variables set beside this process's own.
        timeout_s: Seconds after which the process is killed.
        crew: The workers that it belongs to, where several run at a time.

    Raises:
        WorkerError: The process exited with an error, was killed by a signal, or took too long.
    """
    with open_process(
        command, title, environment=environment, timeout_s=timeout_s, crew=crew
    ) as process:
        if first is not None:
            process.send(first)
        if word is not None:
            word.add_done_callback(lambda told: process.send(told.result()))
        yield from process.lines


def _start(
    command: Sequence[str], log: IO[str], environment: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    own = {"PYTHONPATH": _python_path(), "PYTHONUTF8": "1", WATCH_PARENT: "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=log,
        stdin=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(environment or {}), **own},
    )


def _end(process: subprocess.Popen[str], crew: Crew | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not read is lost with it
                stream.close()
    if crew is not None:
        crew.processes.discard(process)


def _join(crew: Crew | None, process: subprocess.Popen[str]) -> None:
    if crew is not None:
        crew.processes.add(process)
        if crew.dismissed.is_set():  # it was started while the others were killed
            process.kill()


def _send(process: subprocess.Popen[str], line: str) -> None:
    """Write a line to a process; one that has ended is no error here."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):  # it is gone, or closed
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def _expire(process: subprocess.Popen[str], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _python_path() -> str:
    """Return a search path with which the worker finds this very package, in a zip too."""
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
        "SIGABRT": "; the runtime gave up",
    }
    return f"the process was killed by {name}{causes.get(name, '')}"


def _tail(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()][-TAIL_LINES:]
    return "; it said last:\n" + "\n".join(lines) if lines else "; it said nothing"
