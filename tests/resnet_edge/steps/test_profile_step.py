from __future__ import annotations

import sys
from pathlib import Path

import pytest

from resnet_edge.errors import ArtifactError, OutputError, WorkerError
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.measurements import ProfileResult
from resnet_edge.options import BenchOptions, Options
from resnet_edge.steps.profile import profile_operators

FAKE = """
import json, sys
job = json.loads(sys.stdin.readline())
operator = {"layer": "conv1", "operator": "Conv", "node": "n", "median_s": 0.002, "share": 1.0}
answer = {"runtime": "fake", "threads": job["threads"], "queries": job["spec"]["min_queries"]}
result = json.dumps({**answer, "operators": [operator]})
print(json.dumps({"kind": "result", "text": result}))
"""


@pytest.fixture
def options(tmp_path, hand_artifact) -> Options:
    out = tmp_path / "build"
    for name in ("fp32.tflite", "fp32.onnx"):
        hand_artifact(out / "artifacts", name)
    return Options(out=out, formats=("fp32.tflite", "fp32.onnx"))


def command(tmp_path: Path, script: str) -> tuple[str, ...]:
    (tmp_path / "worker.py").write_text(script)
    return sys.executable, str(tmp_path / "worker.py")


def test_one_thread_and_a_reason_for_what_is_not_profiled(options, tmp_path):
    done = profile_operators(options, worker=command(tmp_path, FAKE))
    tflite, onnx = done.result.artifacts
    assert (tflite.name, tflite.profiles) == ("fp32.tflite", ())
    assert tflite.unavailable.startswith(
        "the Python packages of TFLite's runtimes have no profiler"
    )
    assert (onnx.name, onnx.unavailable) == ("fp32.onnx", None)
    (profile,) = onnx.profiles
    assert (profile.threads, profile.queries, profile.total_s) == (1, 64, 0.002)
    assert list(done.result.machine.runtimes) == ["onnxruntime"]
    assert done.path.name.startswith("profile-")
    assert read_record(ProfileResult, done.path, OutputError) == done.result


def test_the_thread_counts_that_are_asked_for(options, tmp_path):
    asked = Options(out=options.out, formats=("fp32.onnx",), bench=BenchOptions(threads=(1, 2)))
    done = profile_operators(asked, worker=command(tmp_path, FAKE))
    assert [profile.threads for profile in done.result.artifacts[0].profiles] == [1, 2]


def test_a_worker_that_fails_is_quoted_and_nothing_written(options, tmp_path):
    worker = command(tmp_path, "import sys; sys.exit('the file is damaged')")
    with pytest.raises(WorkerError) as caught:
        profile_operators(options, worker=worker)
    assert str(caught.value) == (
        "fp32.onnx, 1 thread, profile: the process ended with exit code 1; it said last:\n"
        "the file is damaged"
    )
    assert not options.layout.results.exists()


def test_a_damaged_artifact_is_not_profiled(options, tmp_path):
    (options.layout.artifacts / "fp32.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="the file was changed or damaged after export"):
        profile_operators(options, worker=command(tmp_path, FAKE))
