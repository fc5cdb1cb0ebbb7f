"""`--require-delegate` and `--also-in`, on the host and on a device, with real files."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.measurements import BenchResult, ParityResult, Verdict
from resnet_edge.ondevice.runtimes.kinds import COMPILED_MODEL

QUICK = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1")
REASON = "LiteRT ran QUANTIZE (1) in its own kernels, not in XNNPACK, the interpreter's default"


def test_bench_fails_a_file_of_which_an_operator_fell_back(cli, build: Path) -> None:
    words = ("bench", "--out", build, *QUICK, "--require-delegate")
    ran = cli(*words, "--formats", "int8.tflite")
    assert ran.code == 1
    assert f"int8.tflite fail: {REASON}" in " ".join(ran.out.split())
    assert cli(*words, "--formats", "fp32.tflite,fp32.onnx").code == 0
    ran = cli(*words, "--formats", "int8.tflite", "--delegate-except", "QUANTIZE")
    assert (ran.code, "but for QUANTIZE (1), as allowed" in ran.out) == (0, True)


def test_the_compiled_model_is_asked_and_measured_too(cli, build: Path) -> None:
    words = ("--out", build, "--formats", "fp32.tflite", "--also-in", COMPILED_MODEL)
    assert cli("parity", *words).code == 0
    record = read_record(ParityResult, build / "results" / "parity.json", ArtifactError)
    (other,) = [each for each in record.elsewhere if each.name == "fp32.tflite"]
    (same,) = [each for each in record.artifacts if each.name == "fp32.tflite"]
    assert other.runtime.startswith(COMPILED_MODEL)
    assert (other.max_abs_logit, other.sqnr_db) == (same.max_abs_logit, same.sqnr_db)
    assert cli("bench", *words, *QUICK).code == 0
    (path,) = (build / "results").glob("bench-*.json")
    bench = read_record(BenchResult, path, ArtifactError)
    (timed,) = [each for each in bench.artifacts if each.name == "fp32.tflite"]
    assert [each.runtime for each in timed.latencies] == ["LiteRT", COMPILED_MODEL]


def test_a_device_fails_it_too_also_where_it_is_emulated(run_bundle, bundle_path: Path) -> None:
    words = ("run", *QUICK, "--artifacts", "int8.tflite", "--allow-inconclusive", "--emulated")
    ran = run_bundle(bundle_path, *words, "--require-delegate", "--out", "r.json")
    assert ran.code == 1
    (bench,) = read_device_result(bundle_path.parent / "r.json").bench.artifacts
    assert bench.gate.verdict is Verdict.FAIL
    assert bench.gate.reason.startswith(REASON)
    allowed = ("--require-delegate", "--delegate-except", "QUANTIZE", "--out", "s.json")
    assert run_bundle(bundle_path, *words, *allowed).code == 0


def test_a_device_measures_in_the_compiled_model_where_it_is_asked_for(
    run_bundle, bundle_path: Path
) -> None:
    words = ("run", *QUICK, "--artifacts", "fp32.tflite", "--out", "r.json")
    assert run_bundle(bundle_path, *words, "--also-in", COMPILED_MODEL).code == 0
    (bench,) = read_device_result(bundle_path.parent / "r.json").bench.artifacts
    assert [each.runtime for each in bench.latencies] == ["LiteRT", COMPILED_MODEL]
    ran = run_bundle(bundle_path, *words, "--also-in", "ONE")
    expected = f"error: --also-in: got ONE; expected one of {COMPILED_MODEL}\n"
    assert (ran.code, ran.err) == (2, expected)
