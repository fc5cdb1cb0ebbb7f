from __future__ import annotations

import json

import pytest

from resnet_edge.cli.bench_tables import layer_rows, print_profiles
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    ArtifactProfile,
    OperatorProfile,
    OperatorTime,
    ProfileResult,
)
from resnet_edge.steps.bench import Benched
from resnet_edge.steps.profile import Profiled


def make_profile(count: int) -> OperatorProfile:
    """Layers that take 1 ms, 2 ms, …; the first has no Keras name."""
    total = count * (count + 1) / 2
    times = tuple(
        OperatorTime(f"conv{i}" if i > 1 else "", "Conv", f"node{i}", i / 1e3, i / total)
        for i in range(1, count + 1)
    )
    return OperatorProfile("onnxruntime", 1, 64, times)


def make_result(count: int) -> ProfileResult:
    return ProfileResult(
        describe_machine({}),
        (
            ArtifactProfile("fp32.onnx", "ab", (make_profile(count),)),
            ArtifactProfile("fp32.tflite", "cd", (), "no profiler"),
        ),
    )


def test_the_slowest_layers_and_the_rest():
    rows = layer_rows(make_profile(12))
    assert len(rows) == 11
    assert rows[0] == ("conv12", "Conv", "12.0", "15.4 %")
    assert rows[-1] == ("2 others", "", "3.00", "3.8 %")  # 1 ms and 2 ms of 78


def test_a_layer_without_a_name_is_shown_by_its_node():
    assert layer_rows(make_profile(2)) == (
        ("conv2", "Conv", "2.00", "66.7 %"),
        ("(node1)", "Conv", "1.00", "33.3 %"),
    )


def test_what_is_printed(capsys):
    print_profiles(make_result(2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "fp32.onnx, onnxruntime, 1 thread: 2 operators, 3.00 ms in all"
    assert lines[-1].strip() == "fp32.tflite  not profiled: no profiler"


@pytest.fixture
def profiled(monkeypatch, measured_build):
    """`bench` finds its record, `--profile` two operators."""
    from resnet_edge.errors import InferenceError
    from resnet_edge.ondevice.json_records import read_record
    from resnet_edge.ondevice.measurements import BenchResult

    (path,) = measured_build.results.glob("bench-*.json")
    benched = Benched(path, read_record(BenchResult, path, InferenceError), rebuilt=False)
    monkeypatch.setattr("resnet_edge.steps.bench.bench", lambda *_: benched)
    found = Profiled(measured_build.results / "profile-here.json", make_result(2))
    monkeypatch.setattr("resnet_edge.steps.profile.profile_operators", lambda *_: found)
    return measured_build


def test_bench_with_operators(cli, profiled):
    ran = cli("bench", "--out", profiled.out, "--profile")
    assert (ran.code, ran.err) == (0, "")
    assert "int8.onnx         2 threads: p50 29.5 ms" in ran.out
    assert "fp32.onnx, onnxruntime, 1 thread: 2 operators" in ran.out
    assert ran.out.endswith(f"operators: {profiled.results / 'profile-here.json'}\n")
    assert "operators" not in cli("bench", "--out", profiled.out).out


def test_bench_with_operators_as_json(cli, profiled):
    ran = cli("bench", "--out", profiled.out, "--profile", "--json")
    answer = json.loads(ran.out)
    assert list(answer) == ["bench", "profile"]
    assert answer["profile"]["artifacts"][0]["profiles"][0]["operators"][1]["layer"] == "conv2"
    assert answer["profile"]["artifacts"][1]["unavailable"] == "no profiler"
    plain = json.loads(cli("bench", "--out", profiled.out, "--json").out)
    assert plain == answer["bench"]
