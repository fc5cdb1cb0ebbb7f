"""The bundle on an emulated arm64 processor, in every runtime: `make test-arm64`.

Answers count there; latencies say nothing, and nothing here looks at one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from emulated_arm64 import AbsentError, Arm64

from resnet_edge.ondevice.command.device_result import DeviceResult, read_device_result
from resnet_edge.ondevice.measurements import Verdict

pytestmark = pytest.mark.slow

REQUIRED = "RESNET_EDGE_REQUIRE_ARM64"
"""Set by `make test-arm64`: what is absent then fails instead of being skipped."""

QUICK = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1", "--allow-inconclusive")
PI_4, PI_5 = "cortex-a72", "cortex-a76"  # without and with integer dot products
TFLITE, ONNX = ["fp32.tflite", "int8.tflite"], ["fp32.onnx"]
TFLITE_RUNTIME = ("tflite-runtime==2.14.*", "numpy==1.26.*")
LITERT = ("ai-edge-litert==2.3.*", "numpy>=2")
ONNXRUNTIME = ("onnxruntime", "numpy>=2")


def absent(why: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"no emulated arm64 Python: {why}", pytrace=False)
    pytest.skip(f"no emulated arm64 Python: {why}")


@pytest.fixture(scope="session")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Arm64:
    try:
        return Arm64(tmp_path_factory.mktemp("arm64"))
    except AbsentError as problem:
        absent(str(problem))
        raise


@pytest.fixture
def emulated_run(arm64: Arm64, bundle_path: Path, run_bundle):
    """Run the bundle on that processor with these packages; give the result."""

    def run(cpu: str, *packages: str) -> tuple[DeviceResult, str]:
        try:
            python = arm64.python(cpu, *packages)
        except AbsentError as problem:
            absent(str(problem))
            raise
        out = bundle_path.parent / "arm.json"
        ran = run_bundle(
            bundle_path, "run", *QUICK, "--max-p90-ms", "0.001", "--out", out, python=python
        )
        assert ran.code == 0, ran.err
        assert "this processor is emulated: the latencies say nothing of a real one" in ran.out
        return read_device_result(out), ran.err

    return run


@pytest.mark.parametrize(
    ("cpu", "packages", "runtime", "names"),
    [
        (PI_4, TFLITE_RUNTIME, "tflite-runtime 2.14.0", TFLITE),
        (PI_5, TFLITE_RUNTIME, "tflite-runtime 2.14.0", TFLITE),
        (PI_4, LITERT, "LiteRT 2.3.", TFLITE),
        (PI_5, LITERT, "LiteRT 2.3.", TFLITE),
        (PI_4, ONNXRUNTIME, "onnxruntime ", ONNX),
        (PI_5, ONNXRUNTIME, "onnxruntime ", ONNX),
    ],
)
def test_answers_on_arm(emulated_run, cpu, packages, runtime, names):
    result, _ = emulated_run(cpu, *packages)
    assert result.emulated
    assert result.failed == ()
    assert result.machine.system.endswith(" aarch64")
    assert result.machine.processor == {PI_4: "Arm Cortex-A72", PI_5: "Arm Cortex-A76"}[cpu]
    assert ("asimddp" in result.machine.cpu_features) is (cpu == PI_5)
    parities = {parity.name: parity for parity in result.parity.artifacts}
    assert list(parities) == names
    assert all(parity.runtime.startswith(runtime) for parity in parities.values())
    assert parities[names[0]].agreement == 1.0
    assert parities[names[0]].sqnr_db >= 100
    if "int8.tflite" in parities:
        assert parities["int8.tflite"].agreement >= 0.95
        assert parities["int8.tflite"].sqnr_db >= 10


def test_no_latency_is_judged(emulated_run):
    """Although a limit is set that nothing keeps."""
    result, _ = emulated_run(PI_4, *TFLITE_RUNTIME)
    assert [bench.name for bench in result.bench.artifacts] == TFLITE
    for bench in result.bench.artifacts:
        assert bench.gate.verdict is Verdict.NOT_CHECKED
        assert "the processor is emulated" in bench.gate.reason


def test_arm_beside_x86_in_the_report(
    emulated_run, bundle_path: Path, result_path: Path, build: Path, cli
):
    emulated_run(PI_4, *LITERT)
    for path in (result_path, bundle_path.parent / "arm.json"):
        ran = cli("report", "--out", build, "--device", path, "--allow-inconclusive")
        assert ran.code == 0, ran.err
    devices = json.loads((build / "report.json").read_text())["devices"]
    assert sorted(device["emulated"] for device in devices) == [False, True]
    table = (build / "report.md").read_text().partition("## Devices")[2]
    (row,) = [line for line in table.splitlines() if line.startswith("| fp32.tflite")]
    assert row.count("100 % agree") == 2
    page = (build / "report.html").read_text()
    assert page.count("Another processor does the work: its latencies say nothing of a real") == 1
