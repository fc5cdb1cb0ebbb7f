"""The protocol between a worker and its parent, spoken by real processes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from resnet_edge import errors
from resnet_edge.errors import (
    InternalError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    StoppedError,
    UsageError,
    WorkerError,
)
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent

REPOSITORY = Path(__file__).resolve().parents[4]

WORKER = """
import os, sys
from dataclasses import dataclass
from pathlib import Path
from resnet_edge.ondevice.workers.serving import serve

@dataclass(frozen=True)
class Job:
    path: Path
    text: str

@dataclass(frozen=True)
class Result:
    text: str

def work(job, reporter):
    {work}
    return Result(job.text.upper())

sys.exit(serve(Job, work))
"""


@dataclass(frozen=True)
class Job:
    path: Path = Path("/a b")
    text: str = "grün"


@dataclass(frozen=True)
class Result:
    text: str


def worker(work: str) -> tuple[str, ...]:
    return (sys.executable, "-c", WORKER.replace("{work}", work))


def call(work: str, **options: object) -> Result:
    return run_worker(worker(work), Job(), Result, "it", **options)  # type: ignore[arg-type]


def test_the_job_arrives_and_the_result_comes_back():
    assert call("assert job.path == Path('/a b')") == Result("GRÜN")


def test_a_long_job_arrives():
    job = Job(text="x" * 1_000_000)
    assert run_worker(worker("pass"), job, Result, "it") == Result("X" * 1_000_000)


def test_progress_is_shown_in_order_and_prints_are_no_part_of_it():
    work = (
        "print('hello'); os.write(1, b'from C'); reporter.say('a'); reporter.warn('b')\n"
        "    with reporter.bar('c') as advance: advance(1, 2, 'half')\n"
        "    reporter.made('d')"
    )
    seen: list[WorkerEvent] = []
    call(work, show=seen.append)
    assert seen == [
        WorkerEvent(EventKind.SAY, "a"),
        WorkerEvent(EventKind.WARN, "b"),
        WorkerEvent(EventKind.BAR, "c"),
        WorkerEvent(EventKind.ADVANCE, "half", 1, 2),
        WorkerEvent(EventKind.END),
        WorkerEvent(EventKind.MADE, "d"),
    ]


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (
            "from resnet_edge.errors import UsageError; raise UsageError('--x: no')",
            UsageError,
            "--x: no",
        ),
        (
            "from converters.errors import RequestError; raise RequestError('--y: no')",
            UsageError,
            "--y: no",
        ),
        (
            "from converters.errors import ConversionError; raise ConversionError('no')",
            ModelError,
            "no",
        ),
        (
            "open('/dev/full', 'w').write('x' * 100_000)",
            OutputError,
            "No space left on device; free some space or choose another folder with --out",
        ),
        ("raise MemoryError", OutOfMemoryError, "memory ran out; end other programs, or train a"),
        ("raise KeyboardInterrupt", StoppedError, "interrupted; run the same command again to go"),
        (
            "1 / 0",
            InternalError,
            "internal error: ZeroDivisionError: division by zero; run again with --debug",
        ),
    ],
)
def test_an_error_keeps_its_class(work, kind, message):
    with pytest.raises(kind) as caught:
        call(work)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message)
    assert 'File "<string>"' in str(caught.value.__cause__)  # the worker's own traceback
    with pytest.raises(kind, match=r"^it: "):
        call(work, failures_named=True)


def test_every_class_of_the_tree_comes_back():
    names = [name for name, kind in vars(errors).items() if isinstance(kind, type)]
    assert len(names) > 12
    for name in names:
        assert errors.error_class(name) is getattr(errors, name)


def test_a_worker_that_ends_without_a_result():
    with pytest.raises(WorkerError, match=r"^it: the process ended without a result; run it again"):
        call("os._exit(0)")
    with pytest.raises(WorkerError, match=r"^it: the process ended with exit code 3; it said noth"):
        call("os._exit(3)")


def test_a_result_of_another_shape():
    with pytest.raises(WorkerError, match=r"^it: unknown key 'path'"):
        call("return job")


def test_a_word_reaches_a_worker_that_waits():
    word: Future[str] = Future()

    def show(event: WorkerEvent) -> None:
        word.set_result("ready")

    work = "reporter.say('waiting')\n    return Result(reporter.wait())"
    assert call(work, show=show, word=word) == Result("ready")
    assert call("return Result(reporter.wait())", word=word) == Result("ready")  # known before


def test_started_by_hand_a_worker_reads_a_file_and_has_no_parent_to_watch():
    job = json.dumps({"path": "/x", "text": "a"})
    done = subprocess.run(
        worker("job = Job(job.path, job.text + reporter.wait())"),
        input=job,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    event = json.loads(done.stdout)
    assert (event["kind"], json.loads(event["text"])) == ("result", {"text": "A"})


def test_a_job_that_is_none():
    with pytest.raises(WorkerError, match=r"^job: key 'path' is missing; make the file again$"):
        run_worker(worker("pass"), Result("a"), Result, "it")


WORKERS = (
    "ondevice/latency/bench_worker.py",
    "ondevice/latency/profile_worker.py",
    "ondevice/parity/answer_worker.py",
    "exporting/worker.py",
    "steps/step_worker.py",
)


@pytest.mark.parametrize("name", WORKERS)
def test_every_worker_serves(name):
    source = (REPOSITORY / "resnet_edge" / name).read_text()
    assert "    return serve(" in source


def test_nothing_else_speaks_to_a_parent():
    package = REPOSITORY / "resnet_edge"
    home = package / "ondevice" / "workers"
    for path in package.rglob("*.py"):
        if home in path.parents:
            continue
        calls = [
            ast.unparse(n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
        ]
        assert not any(call.startswith("os.dup2(2") for call in calls), path
        assert not any(call.startswith("run_process(") for call in calls), path
