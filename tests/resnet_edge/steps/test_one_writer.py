"""Two processes, or two threads, and one build folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_edge.errors import OutputError
from resnet_edge.options import Options
from resnet_edge.steps.one_writer import LOCK, sole_writer, trusted, write_alone

HOLDS = """
import sys, time
from pathlib import Path
from resnet_edge.steps.one_writer import write_alone
sys.argv[1:] = ["export", "a.keras"]
with write_alone(Path({out!r})):
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def holder(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes into a folder."""
    command = [sys.executable, "-c", HOLDS.format(out=str(out))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_writer_is_told_of_the_first(tmp_path: Path, cli):
    out = tmp_path / "build"
    with holder(out) as process:
        expected = (
            rf"^{out}: process {process.pid} on \S+, since \d{{4}}-.*: -c export a.keras writes "
            r"there; expected one writer at a time; wait until it has ended, or choose another "
            r"folder with --out$"
        )
        with pytest.raises(OutputError, match=expected), write_alone(out):
            pass
        ran = cli("export", "a.keras", "--out", out)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith(f"error: {out}: process {process.pid} on ")


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process(tmp_path: Path, signal_):
    out = tmp_path / "build"
    with holder(out) as process:
        os.kill(process.pid, signal_)
        process.wait()
        with write_alone(out):
            assert str(os.getpid()) in (out / LOCK).read_text()
    assert list(out.iterdir()) == []
    out.rmdir()
    with write_alone(out):
        pass
    assert not out.exists()  # a folder that stayed empty is not left


def test_a_step_of_a_step_goes_on_and_another_thread_does_not(tmp_path: Path):
    @sole_writer
    def inner(options: Options, name: str) -> str:
        return f"{name} in {options.out}"

    refused: list[OutputError] = []

    def elsewhere() -> None:
        try:
            inner(Options(tmp_path), "x")
        except OutputError as problem:
            refused.append(problem)

    @sole_writer
    def outer(options: Options) -> str:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return inner(options, name="report")

    assert outer(Options(tmp_path)) == f"report in {tmp_path}"
    assert f"process {os.getpid()} on " in str(refused[0])
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_the_holder_goes_on(tmp_path: Path):
    with holder(tmp_path), trusted(tmp_path), write_alone(tmp_path):
        pass


def test_an_error_ends_the_lock_and_keeps_files(tmp_path: Path):
    out = tmp_path / "new" / "build"

    def fail() -> None:
        with write_alone(out):
            (out / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in out.iterdir()] == ["half"]
    with write_alone(out):
        pass


def test_where_nothing_can_be_locked_nothing_is(tmp_path: Path, monkeypatch):
    import fcntl

    def unsupported(handle: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with write_alone(tmp_path):
        pass
    assert not any(tmp_path.iterdir())
