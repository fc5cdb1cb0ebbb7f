from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from resnet_edge.errors import WorkerError
from resnet_edge.ondevice.workers.process import crew_of, module_command, run_process

REPOSITORY = Path(__file__).resolve().parents[4]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def vanishes(pid: int, within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while is_alive(pid):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.02)
    return True


def test_lines_come_as_they_are_printed():
    code = "import sys; print('a ', flush=True); sys.stdin.read(); print('b')"
    lines: Iterator[str] = run_process(python(code), "it")
    assert next(lines) == "a"  # while the worker still waits
    lines.close()


def test_a_worker_finds_this_very_package_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import resnet_edge, os; print(resnet_edge.__file__, os.environ['X'], sep='|')"
    (line,) = run_process(python(code), "it", environment={"X": "1"})
    assert line == f"{REPOSITORY / 'resnet_edge' / '__init__.py'}|1"


def test_what_it_prints_is_no_obstacle():
    code = "import os; os.write(2, b'\\xff' * 200_000); print('done')"
    assert list(run_process(python(code), "it")) == ["done"]


def test_failure_is_quoted():
    with pytest.raises(WorkerError) as caught:
        list(run_process(python("import sys; print('no!', file=sys.stderr); sys.exit(7)"), "it"))
    assert str(caught.value) == "it: the process ended with exit code 7; it said last:\nno!"
    assert caught.value.exit_code == 1


def test_an_iteration_that_ends_early_kills_the_worker():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    lines = run_process(python(code), "it")
    pid = int(next(lines))
    assert is_alive(pid)
    lines.close()
    assert vanishes(pid)


def test_one_that_fails_takes_the_crew_with_it():
    pids: list[int] = []

    def listen() -> None:
        code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
        for line in run_process(python(code), "it", crew=crew):
            pids.append(int(line))

    try:
        with crew_of(2) as crew:
            running = [crew.pool.submit(listen) for _ in range(3)]
            while len(pids) < 2:
                time.sleep(0.01)
            raise KeyboardInterrupt  # the main thread alone gets Ctrl-C
    except KeyboardInterrupt:
        assert all(vanishes(pid) for pid in pids)
    assert len(pids) == 2  # the third never started
    assert [future.cancelled() for future in running] == [False, False, True]


def test_a_worker_started_too_late_is_killed_at_once():
    with crew_of(1) as crew:
        crew.dismissed.set()
        with pytest.raises(WorkerError, match="SIGKILL"):
            list(run_process(python("import time; time.sleep(600)"), "it", crew=crew))


PARENT = """
import json, sys
from resnet_edge.ondevice.workers.process import run_process
code = (
    "import os, time; from resnet_edge.ondevice.workers.serving import serve;"
    "from resnet_edge.ondevice.workers.events import WorkerEvent as Record;"
    "serve(Record, lambda job, tell: [tell.say(str(os.getpid())), time.sleep(600)])"
)
for line in run_process((sys.executable, "-c", code), "it", first='{"kind": "say"}'):
    print(json.loads(line)["text"], flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_a_parent_that_is_killed(number):
    parent = subprocess.Popen(
        python(PARENT),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    with parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
    assert vanishes(pid)


STUCK = """
import sys
from resnet_edge.ondevice.workers.process import run_process
code = (
    "import ctypes, os; from resnet_edge.ondevice.workers.serving import serve;"
    "from resnet_edge.ondevice.workers.events import WorkerEvent as Record;"
    "serve(Record, lambda job, tell: [tell.say(str(os.getpid())), ctypes.PyDLL(None).sleep(600)])"
)
for line in run_process((sys.executable, "-c", code), "it", first='{"kind": "say"}'):
    print(line, flush=True)
"""
"""The worker sleeps in native code that lets no other thread of Python run."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux' kernel does that")
def test_a_worker_in_native_code_does_not_outlive_its_parent():
    parent = subprocess.Popen(
        python(STUCK),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    with parent:
        pid = int(json.loads(parent.stdout.readline())["text"])
        parent.kill()
    assert vanishes(pid)


def test_module_command():
    assert module_command("a.b", "x") == (sys.executable, "-m", "a.b", "x")


def test_lines_reach_standard_input_and_a_process_that_ends_early_is_no_obstacle():
    code = "import sys; print(sys.stdin.readline().strip(), sys.stdin.readline().strip())"
    word: Future[str] = Future()
    word.set_result("later")
    assert list(run_process(python(code), "it", first="now", word=word)) == ["now later"]
    assert list(run_process(python("print('done')"), "it", first="x" * 200_000)) == ["done"]
