"""recommend, on builds whose measurements were made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from resnet_edge.errors import ArtifactError, InferenceError, OutputError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.latency.bench import bench_path
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    BenchResult,
    Latency,
    ParityResult,
    Unmeasured,
    Verdict,
)
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.runtimes.installed import InstalledRuntime
from resnet_edge.options import BenchOptions, Options
from resnet_edge.recommendation import LeftOut
from resnet_edge.steps import bench as bench_step
from resnet_edge.steps import bench_record
from resnet_edge.steps import recommend as step
from resnet_edge.steps.recommend import recommend

NAMES = ("fp32.tflite", "int8.tflite", "int8_full.tflite", "fp32.onnx", "int8.onnx")


@pytest.fixture
def options(measured_build) -> Options:
    return Options(out=measured_build.out, formats=NAMES)


@pytest.fixture
def measuring(monkeypatch, hand_bench):
    """Measure by hand: 40 ms with 1 thread, 20 with 2; keeps what it was asked for."""
    asked: list[tuple[list[str], tuple[int, ...]]] = []

    def measure(artifacts, spec, gates, *, threads, reference_p50_s, also_in, progress):
        asked.append(([a.name for a in artifacts], threads))
        progress(len(artifacts), len(artifacts), "")
        benches = []
        for artifact in artifacts:
            bench = hand_bench(artifact.name, 94_000_000, 40, 20)
            latencies = tuple(x for x in bench.latencies if x.threads in threads)
            benches.append(replace(bench, latencies=latencies))
        runtimes = {"onnxruntime": "9"}
        return BenchResult(describe_machine(runtimes), tuple(benches), reference_p50_s)

    monkeypatch.setattr(bench_step, "bench_artifacts", measure)
    return asked


def record_of(options: Options) -> BenchResult:
    path = bench_path(options.layout.results, describe_machine({}).host)
    return read_record(BenchResult, path, OutputError)


def test_what_was_measured_is_taken_and_nothing_written(options, measuring):
    before = {p: p.stat().st_mtime_ns for p in options.out.rglob("*")}
    found = recommend(options)
    assert {p: p.stat().st_mtime_ns for p in options.out.rglob("*")} == before
    assert measuring == []
    assert (found.fastest, found.smallest) == ("int8.onnx", "int8.onnx")
    # 59 and 62 ms lie within 5 %: of the two float32 files neither beats the other.
    assert found.front == ("int8.onnx", "fp32.tflite", "fp32.onnx")
    assert found.left_out == (
        LeftOut(
            "int8.tflite",
            "inconclusive: inconclusive by hand; add test pictures, or pass --allow-inconclusive",
        ),
        LeftOut("int8_full.tflite", "fail: fail by hand"),
    )
    # What may not be recommended is compared with all the same.
    assert any("int8.tflite is not faster than fp32.tflite" in why for why in found.reasons)


def test_undecided_artifacts_where_they_are_allowed(options, measuring):
    found = recommend(options, allow_inconclusive=True)
    assert [choice.name for choice in found.choices] == [
        *("int8.onnx", "fp32.tflite", "fp32.onnx", "int8.tflite"),
    ]
    assert found.smallest == "int8.tflite"
    assert [each.name for each in found.left_out] == ["int8_full.tflite"]


def test_one_thread_is_asked_for(options, measuring):
    found = recommend(replace(options, bench=BenchOptions(threads=(1,))))
    assert {choice.threads for choice in found.choices} == {1}
    assert found.choices[0].p50_s == 0.061
    assert not any("2 threads" in why for why in found.reasons)


def test_what_is_missing_is_measured_with_the_threads_of_the_rest(options, measuring, unmeasured):
    unmeasured("fp32.onnx")
    found = recommend(options)
    assert measuring == [(["fp32.onnx"], (1, 2))]
    assert {choice.name: choice.p50_s for choice in found.choices}["fp32.onnx"] == 0.02
    record = record_of(options)
    assert [bench.name for bench in record.artifacts] == list(NAMES)
    assert record.machine.runtimes["onnxruntime"] == "9"
    assert "LiteRT" in record.machine.runtimes


def test_a_thread_count_that_is_missing_joins_the_others(options, measuring):
    recommend(replace(options, bench=BenchOptions(threads=(2, 3)), formats=("fp32.onnx",)))
    assert measuring == [(["fp32.onnx"], (2, 3))]
    (bench,) = (b for b in record_of(options).artifacts if b.name == "fp32.onnx")
    assert [(x.threads, x.p50_s) for x in bench.latencies] == [(1, 0.102), (2, 0.02)]


def test_another_file_is_measured_anew(options, measuring, hand_artifact, hand_parity):
    hand_artifact(options.layout.artifacts, "fp32.onnx", b"other")
    found = recommend(options)
    assert measuring == []
    (out,) = (each for each in found.left_out if each.name == "fp32.onnx")
    assert out.reason.startswith("the file that was compared with the reference had sha256 ")
    assert out.reason.endswith("run `resnet-edge parity` again")
    sha256 = load_artifact(options.layout.artifacts / "fp32.onnx").sidecar.sha256
    result = read_record(ParityResult, options.layout.parity, OutputError)
    again = tuple(
        replace(a, sha256=sha256) if a.name == "fp32.onnx" else a for a in result.artifacts
    )
    write_record(options.layout.parity, replace(result, artifacts=again))
    recommend(options)
    assert measuring == [(["fp32.onnx"], (1, 2))]


@pytest.mark.parametrize("other", [{"processor": "another"}, {"cores": 99}])
def test_a_record_of_another_machine_does_not_count(options, measuring, other):
    record = record_of(options)
    path = bench_path(options.layout.results, record.machine.host)
    write_record(path, replace(record, machine=replace(record.machine, **other)))
    recommend(replace(options, bench=BenchOptions(threads=(1, 2))))
    assert measuring == [(["fp32.tflite", "fp32.onnx", "int8.onnx"], (1, 2))]
    assert len(record_of(options).artifacts) == 3


def test_a_runtime_of_another_version_does_not_count(options, measuring):
    record = record_of(options)
    path = bench_path(options.layout.results, record.machine.host)
    runtimes = {**record.machine.runtimes, "onnxruntime": "0.1"}
    write_record(path, replace(record, machine=replace(record.machine, runtimes=runtimes)))
    recommend(options)
    assert measuring == [(["fp32.onnx", "int8.onnx"], (1, 2))]


def test_a_limit_on_the_latency(options, measuring):
    found = recommend(replace(options, gates=Gates(max_p90_ms=60)))
    assert [(choice.name, choice.threads) for choice in found.choices] == [
        ("int8.onnx", 2),
        ("fp32.tflite", 2),
    ]
    (out,) = (each for each in found.left_out if each.name == "fp32.onnx")
    assert out.reason == (
        "fail: p90 102 ms, bound 102 ms at 99% confidence (at most 60 ms wanted), "
        "with 1 thread; "
        "fail: p90 62 ms, bound 62 ms at 99% confidence (at most 60 ms wanted), with 2 threads"
    )


def test_a_limit_on_a_latency_of_too_few_queries(options, measuring):
    record = record_of(options)
    path = bench_path(options.layout.results, record.machine.host)
    few = tuple(
        replace(bench, latencies=tuple(replace(x, samples_s=(0.02,)) for x in bench.latencies))
        for bench in record.artifacts
    )
    write_record(path, replace(record, artifacts=few))
    limited = replace(options, gates=Gates(max_p90_ms=60))
    found = recommend(limited)
    assert not found
    assert {each.name: each.reason for each in found.left_out}["fp32.onnx"].startswith(
        "inconclusive: p90 20 ms (at most 60 ms wanted), 0 of 1 queries took longer, which does "
        "not decide it: about 64 queries would (--min-queries 64), with 1 thread; inconclusive: p90"
    )
    assert recommend(limited, allow_inconclusive=True).fastest is not None


def test_nothing_holds_its_gates(options, measuring):
    found = recommend(replace(options, formats=("int8.tflite", "int8_full.tflite")))
    assert not found
    assert [each.name for each in found.left_out] == ["int8.tflite", "int8_full.tflite"]
    assert measuring == []


def test_a_runtime_that_is_missing(options, measuring, monkeypatch):
    here = step.installed_runtimes
    for module in (step, bench_record):
        monkeypatch.setattr(
            module,
            "installed_runtimes",
            lambda kind, **_: () if kind is Format.ONNX else here(kind),
        )
    found = recommend(options)
    assert [choice.name for choice in found.choices] == ["fp32.tflite"]
    assert {each.name: each.reason for each in found.left_out}["int8.onnx"] == (
        "no runtime for it is installed here; run `pip install onnxruntime`"
    )


@pytest.fixture
def two_runtimes(options, monkeypatch):
    """OpenVINO, where int8.onnx took 11 ms and fp32.onnx was not asked, beside onnxruntime."""
    here = step.installed_runtimes

    def both(kind: Format, **_: object) -> tuple[InstalledRuntime, ...]:
        return (
            (*here(kind), InstalledRuntime("OpenVINO", "7")) if kind is Format.ONNX else here(kind)
        )

    for module in (step, bench_record):
        monkeypatch.setattr(module, "installed_runtimes", both)
    record = record_of(options)
    benches = tuple(
        replace(b, latencies=(*b.latencies, *_in_openvino(b.latencies)))
        if b.name.endswith("onnx")
        else b
        for b in record.artifacts
    )
    machine = replace(record.machine, runtimes={**record.machine.runtimes, "OpenVINO": "7"})
    path = bench_path(options.layout.results, record.machine.host)
    write_record(path, replace(record, machine=machine, artifacts=benches))
    return options


def _in_openvino(latencies: tuple[Latency, ...]) -> tuple[Latency, ...]:
    return tuple(replace(x, runtime="OpenVINO", samples_s=(0.011,) * 70) for x in latencies)


def answered_in_openvino(options: Options, name: str, verdict: Verdict) -> None:
    result = read_record(ParityResult, options.layout.parity, OutputError)
    (parity,) = (a for a in result.artifacts if a.name == name)
    gate = replace(parity.gate, verdict=verdict, reason="by hand")
    other = replace(parity, runtime="OpenVINO 7", sqnr_db=33.0, gate=gate)
    write_record(options.layout.parity, replace(result, elsewhere=(other,)))


def test_the_faster_of_two_runtimes_is_chosen_where_its_answers_hold(two_runtimes, measuring):
    answered_in_openvino(two_runtimes, "int8.onnx", Verdict.PASS)
    found = recommend(two_runtimes)
    assert measuring == []
    first = found.choices[0]
    assert (first.name, first.runtime, first.threads) == ("int8.onnx", "OpenVINO", 1)
    assert (first.p50_s, first.sqnr_db) == (0.011, 33.0)
    assert found.fastest == "int8.onnx"
    assert (
        "int8.onnx takes 29.5 ms in onnxruntime with 2 threads, 2.68 times as long as in OpenVINO."
    ) in found.reasons
    left_out = {each.name: each.reason for each in found.left_out}
    assert left_out["fp32.onnx in OpenVINO"].startswith("not compared with the reference; run ")
    assert {c.name: c.runtime for c in found.choices}["fp32.onnx"] == "onnxruntime"


def test_a_runtime_that_does_not_hold_a_limit_is_named(two_runtimes, measuring):
    """As each that is refused for its answers is."""
    answered_in_openvino(two_runtimes, "int8.onnx", Verdict.PASS)
    found = recommend(replace(two_runtimes, gates=Gates(max_p90_ms=20), formats=("int8.onnx",)))
    assert [(c.runtime, c.p50_s) for c in found.choices] == [("OpenVINO", 0.011)]
    (out,) = found.left_out
    assert out.name == "int8.onnx in onnxruntime"
    assert out.reason.startswith("fail: p90 61 ms, bound 61 ms at 99% confidence (at most 20 ms")


def test_a_runtime_that_refused_is_named_and_not_asked_again(two_runtimes, measuring):
    """One refused the file, one answered and crashed when it was timed: neither is measured."""
    answered_in_openvino(two_runtimes, "int8.onnx", Verdict.PASS)
    answers = read_record(ParityResult, two_runtimes.layout.parity, OutputError)
    gone = Unmeasured("fp32.onnx", "no kernel for Frobnicate", "OpenVINO")
    write_record(two_runtimes.layout.parity, replace(answers, refused=(gone,)))
    result = record_of(two_runtimes)
    kept = tuple(
        replace(b, latencies=tuple(x for x in b.latencies if x.runtime != "OpenVINO"))
        for b in result.artifacts
    )
    crashed = (replace(gone, name="int8.onnx", reason="killed"), gone)
    path = bench_path(two_runtimes.layout.results, describe_machine({}).host)
    write_record(path, replace(result, artifacts=kept, refused=crashed))
    found = recommend(two_runtimes)
    assert measuring == []
    assert {choice.runtime for choice in found.choices if choice.name.endswith("onnx")} == {
        "onnxruntime"
    }
    left_out = [(each.name, each.reason) for each in found.left_out]
    assert ("fp32.onnx in OpenVINO", "no kernel for Frobnicate") in left_out
    assert ("int8.onnx in OpenVINO", "killed") in left_out


def test_a_fast_runtime_whose_answers_fall_is_not(two_runtimes, measuring):
    answered_in_openvino(two_runtimes, "int8.onnx", Verdict.FAIL)
    found = recommend(two_runtimes)
    assert {c.name: c.runtime for c in found.choices}["int8.onnx"] == "onnxruntime"
    left_out = {each.name: each.reason for each in found.left_out}
    assert left_out["int8.onnx in OpenVINO"] == "fail: by hand"


def test_an_artifact_that_was_not_compared(options, measuring):
    result = read_record(ParityResult, options.layout.parity, OutputError)
    kept = tuple(a for a in result.artifacts if a.name != "int8.onnx")
    write_record(options.layout.parity, replace(result, artifacts=kept))
    found = recommend(options)
    assert found.left_out[-1] == LeftOut(
        "int8.onnx", "not compared with the reference; run `resnet-edge parity` on it"
    )


def test_no_parity_at_all(options, measuring):
    options.layout.parity.unlink()
    with pytest.raises(ArtifactError) as caught:
        recommend(options)
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        f"{options.layout.parity}: no such file, so nothing is known of the answers; run "
        "`resnet-edge reference` and `resnet-edge parity`, then this again"
    )


def test_a_damaged_record_is_named(options):
    path = bench_path(options.layout.results, describe_machine({}).host)
    path.write_text("{")
    with pytest.raises(InferenceError, match=r"not JSON .*; delete it and run again"):
        recommend(options)


def test_neither_tensorflow_nor_keras_is_imported(options):
    code = (
        "import json, sys; from pathlib import Path; sys.modules['openvino'] = None;"
        "import resnet_edge as edge;"
        f"found = edge.recommend(edge.Options(out=Path({str(options.out)!r}), formats={NAMES}));"
        "heavy = ('tensorflow', 'keras', 'jax', 'torch', 'onnx', 'typer', 'pydantic');"
        "print(json.dumps([found.fastest, [m for m in heavy if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["int8.onnx", []]


def test_where_tensorflow_is_not_installed(options):
    """As on a device that has one small runtime."""
    code = (
        "import importlib.abc, importlib.metadata, sys; from pathlib import Path\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('tensorflow', 'keras'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "sys.modules['openvino'] = None\n"
        "import resnet_edge as edge\n"
        f"print(edge.recommend(edge.Options(out=Path({str(options.out)!r}), formats={NAMES}"
        ")).fastest)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "int8.onnx\n"), done.stderr
