from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hand_made import hand_sidecar

from resnet_edge.errors import (
    ArtifactError,
    InferenceError,
    OutputError,
    UsageError,
    WorkerError,
)
from resnet_edge.ondevice.cores import usable_cores
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact, write_sidecar
from resnet_edge.ondevice.json_records import from_json, read_record, to_json, write_record
from resnet_edge.ondevice.latency import bench, bench_worker
from resnet_edge.ondevice.latency.bench import (
    bench_artifacts,
    bench_path,
    default_threads,
    run_bench_worker,
    time_limit_s,
)
from resnet_edge.ondevice.latency.bench_worker import (
    BenchJob,
    BenchJobResult,
    measure_job,
    peak_memory_bytes,
)
from resnet_edge.ondevice.latency.spec import MLPERF, LatencySpec
from resnet_edge.ondevice.measurements import BenchResult, Provider, Verdict
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.runtimes.installed import InstalledRuntime

SPEC = LatencySpec(min_seconds=0, min_queries=3, max_warmup_s=0)

FAKE_RUNTIME = """
import os, sys, time
from resnet_edge.ondevice.latency import bench_worker
from resnet_edge.ondevice.measurements import Provider

class Fake:
    name, version = "fake", "1.2"
    provider = Provider("fast", "slow")

    def __init__(self, artifact, threads, runtime):
        self.name = runtime or self.name
        os.write(1, b"INFO: Created a delegate\\n")
        assert artifact.path.is_absolute()

    def prepare(self, picture):
        self.total = int(picture.sum())
        return lambda: time.sleep(0.001)

bench_worker.open_runtime = Fake
sys.exit(bench_worker.main())
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return _make_artifact(tmp_path / "int8.tflite")


def _make_artifact(path: Path) -> Artifact:
    path.write_bytes(b"model")
    sidecar = hand_sidecar(
        path.name,
        input_name="images",
        input_shape=(1, 4, 6, 3),
        sha256="9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        model_name="model",
        model_sha256="cd" * 32,
    )
    write_sidecar(path, sidecar)
    return load_artifact(path)


def _command(tmp_path: Path, script: str) -> tuple[str, ...]:
    path = tmp_path / "worker.py"
    path.write_text(script)
    return (sys.executable, str(path))


def _run(tmp_path: Path, script: str, timeout_s: float = 60) -> BenchJobResult:
    job = BenchJob(tmp_path / "int8.tflite", 2, SPEC, None)
    return run_bench_worker("int8.tflite", job, timeout_s, _command(tmp_path, script))


def test_every_artifact_is_measured_in_its_own_process(artifact, tmp_path, monkeypatch):
    other = _make_artifact(tmp_path / "fp32.tflite")
    monkeypatch.chdir(tmp_path)  # the worker finds the package all the same
    told: list[tuple[int, int, str]] = []
    result = bench_artifacts(
        [Artifact(Path("int8.tflite"), artifact.sidecar), other],
        SPEC,
        Gates(max_p90_ms=10_000),
        threads=(1, 2, 2),
        progress=lambda *step: told.append(step),
        worker=_command(tmp_path, FAKE_RUNTIME),
    )
    assert [(b.name, b.bytes, b.sha256) for b in result.artifacts] == [
        ("int8.tflite", 5, artifact.sidecar.sha256),
        ("fp32.tflite", 5, artifact.sidecar.sha256),
    ]
    latencies = [latency for b in result.artifacts for latency in b.latencies]
    assert [latency.threads for latency in latencies] == [1, 2, 1, 2]
    assert {latency.runtime for latency in latencies} == {"fake"}
    assert {len(latency.samples_s) for latency in latencies} == {3}
    assert all(latency.peak_memory_bytes > 10**6 for latency in latencies)
    assert {latency.provider for latency in latencies} == {Provider("fast", "slow")}
    for latency in latencies:
        assert latency.conditions.cores == usable_cores()
        assert latency.conditions.seconds >= sum(latency.samples_s)
    gate = result.artifacts[0].gate  # three queries decide nothing
    assert (gate.verdict, gate.queries_needed) == (Verdict.INCONCLUSIVE, 64)
    assert result.machine.runtimes == {"fake": "1.2"}
    assert told == [
        (0, 4, "int8.tflite, 1 thread"),
        (1, 4, "int8.tflite, 2 threads"),
        (2, 4, "fp32.tflite, 1 thread"),
        (3, 4, "fp32.tflite, 2 threads"),
        (4, 4, ""),
    ]
    write_record(bench_path(tmp_path, "host"), result)
    assert read_record(BenchResult, tmp_path / "bench-host.json", OutputError) == result


def test_every_runtime_is_measured_and_the_preferred_one_judged(artifact, tmp_path, monkeypatch):
    both = (InstalledRuntime("fake", "1.2"), InstalledRuntime("other", "1.2"))
    monkeypatch.setattr(bench, "installed_runtimes", lambda kind, **_: both)
    told: list[str] = []
    result = bench_artifacts(
        [artifact],
        SPEC,
        Gates(max_p90_ms=10_000),
        threads=(1, 2),
        progress=lambda done, total, words: told.append(words),
        worker=_command(tmp_path, FAKE_RUNTIME),
    )
    (measured,) = result.artifacts
    order = [(latency.runtime, latency.threads) for latency in measured.latencies]
    assert order == [("fake", 1), ("fake", 2), ("other", 1), ("other", 2)]
    assert measured.preferred == measured.latencies[:2]
    assert result.machine.runtimes == {"fake": "1.2", "other": "1.2"}
    assert told[2] == "int8.tflite in other, 1 thread"


REFUSING = FAKE_RUNTIME.replace(
    "        self.name = runtime or self.name\n",
    "        self.name = runtime or self.name\n"
    "        if self.name == 'other' and threads == 2: os.abort()\n",
)


def test_a_further_runtime_that_crashes_is_named_and_fails_nothing(artifact, tmp_path, monkeypatch):
    three = tuple(InstalledRuntime(name, "1.2") for name in ("fake", "other", "third"))
    monkeypatch.setattr(bench, "installed_runtimes", lambda kind, **_: three)
    command = _command(tmp_path, REFUSING)
    told: list[int] = []
    result = bench_artifacts(
        [artifact],
        SPEC,
        Gates(),
        threads=(1, 2),
        progress=lambda done, total, words: told.append(done),
        worker=command,
    )
    (measured,) = result.artifacts
    assert {latency.runtime for latency in measured.latencies} == {"fake", "third"}
    (gone,) = result.refused
    assert (gone.name, gone.runtime) == ("int8.tflite", "other")
    assert "int8.tflite in other, 2 threads: the process was killed by SIGABRT" in gone.reason
    assert result.machine.runtimes == {"fake": "1.2", "other": "1.2", "third": "1.2"}
    assert told == [0, 1, 2, 3, 4, 5, 6]
    write_record(tmp_path / "r.json", result)
    assert read_record(BenchResult, tmp_path / "r.json", OutputError) == result

    only = bench_artifacts([artifact], SPEC, Gates(), runtime="third", threads=(1,), worker=command)
    assert [latency.runtime for latency in only.artifacts[0].latencies] == ["third"]
    with pytest.raises(WorkerError, match=r"^int8.tflite in other, 2 threads: "):
        bench_artifacts([artifact], SPEC, Gates(), runtime="other", threads=(2,), worker=command)


def test_a_given_picture_reaches_the_worker(artifact, tmp_path):
    picture = np.zeros((9, 9, 3), np.uint8)
    expected = r"the picture to measure with is uint8 \(9, 9, 3\); expected uint8 \(4, 6, 3\)"
    with pytest.raises(InferenceError, match=expected):
        bench_artifacts(
            [artifact],
            SPEC,
            Gates(),
            picture=picture,
            worker=_command(tmp_path, FAKE_RUNTIME),
        )


@pytest.mark.parametrize("threads", [(), (0,), (1, -2)])
def test_thread_counts_are_validated(artifact, threads):
    with pytest.raises(UsageError, match="expected numbers from 1, for instance"):
        bench_artifacts([artifact], SPEC, Gates(), threads=threads)


def test_one_core_is_measured_once(monkeypatch):
    monkeypatch.setattr(bench, "available_cores", lambda: 1)
    assert default_threads() == (1,)
    monkeypatch.setattr(bench, "available_cores", lambda: 4)
    assert default_threads() == (1, 4)


def test_the_time_limit_grows_with_what_is_asked():
    assert time_limit_s(LatencySpec()) == 1800
    assert time_limit_s(MLPERF) == 1.5 * (1024 * 5 + 10)
    assert time_limit_s(LatencySpec(min_seconds=7200)) == 1.5 * 7210


def test_a_worker_that_fails_is_quoted(tmp_path):
    script = "import sys; print('first\\nthe file is damaged', file=sys.stderr); sys.exit(3)"
    with pytest.raises(WorkerError) as caught:
        _run(tmp_path, script)
    assert str(caught.value) == (
        "int8.tflite, 2 threads: the process ended with exit code 3; "
        "it said last:\nfirst\nthe file is damaged"
    )


def test_only_the_end_of_what_it_said_is_quoted(tmp_path):
    script = "import sys\nfor i in range(99): print('line', i, file=sys.stderr)\nsys.exit(1)"
    with pytest.raises(WorkerError) as caught:
        _run(tmp_path, script)
    assert str(caught.value).splitlines()[1:] == [f"line {i}" for i in range(87, 99)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SIGKILL", "SIGKILL, most likely because memory ran out; it said nothing"),
        ("SIGSEGV", "SIGSEGV; the runtime crashed; it said nothing"),
        ("SIGILL", "SIGILL; the runtime needs processor instructions that are not here; it said"),
        ("SIGTERM", "SIGTERM; it said nothing"),
    ],
)
def test_a_worker_that_is_killed_is_named_with_its_signal(tmp_path, name, words):
    script = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    with pytest.raises(WorkerError, match=rf"int8.tflite, 2 threads: .* was killed by {words}"):
        _run(tmp_path, script)


def test_a_worker_that_hangs_is_killed(tmp_path):
    with pytest.raises(WorkerError, match=r"no result within 0.5 s; measure fewer queries"):
        _run(tmp_path, "import time; time.sleep(60)", timeout_s=0.5)


def test_a_worker_that_answers_nonsense_is_quoted(tmp_path):
    with pytest.raises(WorkerError, match=r"answered 'hello'; expected an event as JSON"):
        _run(tmp_path, "print('hello')")
    with pytest.raises(WorkerError, match=r"int8.tflite, 2 threads: key 'kind' is missing"):
        _run(tmp_path, "print('{}')")
    event = '{"kind": "result", "text": "{}"}'
    with pytest.raises(WorkerError, match=r"int8.tflite, 2 threads: key 'latency' is missing"):
        _run(tmp_path, f"print({event!r})")


def test_a_worker_without_its_artifact_says_so(tmp_path):
    job = BenchJob(tmp_path / "gone.tflite", 1, SPEC, None)
    with pytest.raises(ArtifactError, match=r"^gone.tflite, 1 thread: .*no such artifact"):
        run_bench_worker("gone.tflite", job, 60, bench.WORKER)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("edge-7.local", "bench-edge-7.local.json"),
        ("../../etc/passwd", "bench-etc-passwd.json"),
        ("a b\\c:d", "bench-a-b-c-d.json"),
        ("", "bench-unknown.json"),
        ("..", "bench-unknown.json"),
        ("x" * 300, f"bench-{'x' * 64}.json"),
    ],
)
def test_host_names_become_file_names(tmp_path, host, name):
    assert bench_path(tmp_path, host) == tmp_path / name


class _FakeRuntime:
    name, version = "fake", "1"
    provider = Provider("", "")

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.pictures: list[np.ndarray] = []
        self.queries = 0
        self.threads = threads

    def prepare(self, picture: np.ndarray):
        self.pictures.append(picture)
        return self._query

    def _query(self) -> None:
        self.queries += 1


def test_job_measures_prepared_queries_on_one_picture(artifact, monkeypatch):
    opened: list[_FakeRuntime] = []

    def load(found: Artifact, threads: int, runtime: str | None) -> _FakeRuntime:
        opened.append(_FakeRuntime(found, threads))
        return opened[-1]

    monkeypatch.setattr(bench_worker, "open_runtime", load)
    for _ in range(2):
        result = measure_job(BenchJob(artifact.path, 3, SPEC, None))
    assert (result.latency.runtime, result.latency.threads, result.runtime_version) == (
        "fake",
        3,
        "1",
    )
    assert [runtime.queries for runtime in opened] == [1 + 3, 1 + 3]
    pictures = [runtime.pictures[0] for runtime in opened]
    assert (pictures[0].shape, pictures[0].dtype) == ((4, 6, 3), np.uint8)
    assert (pictures[0] == pictures[1]).all()
    assert len(np.unique(pictures[0])) > 30


def test_job_takes_a_picture(artifact, tmp_path, monkeypatch):
    picture = np.full((4, 6, 3), 7, np.uint8)
    np.save(tmp_path / "p.npy", picture)
    runtime = _FakeRuntime(artifact, 1)
    monkeypatch.setattr(bench_worker, "open_runtime", lambda *_: runtime)
    measure_job(BenchJob(artifact.path, 1, SPEC, tmp_path / "p.npy"))
    assert (runtime.pictures[0] == picture).all()


def test_peak_memory_is_this_process_alone(tmp_path):
    (tmp_path / "status").write_text("VmPeak:\t9 kB\nVmHWM:\t  1234 kB\n")
    assert peak_memory_bytes(tmp_path / "status") == 1234 * 1024
    assert peak_memory_bytes(tmp_path / "none") > 10**6


def test_the_peak_of_the_parent_is_not_counted(artifact, tmp_path):
    ballast = np.ones(300_000_000, np.uint8)
    result = bench_artifacts(
        [artifact], SPEC, Gates(), threads=(1,), worker=_command(tmp_path, FAKE_RUNTIME)
    )
    assert result.artifacts[0].latencies[0].peak_memory_bytes < ballast.nbytes


def test_job_travels_as_json():
    job = BenchJob(Path("/a b/ü.tflite"), 1, SPEC, None)
    text = json.dumps(to_json(job))
    assert from_json(BenchJob, json.loads(text), "job", InferenceError) == job
