"""A second runtime beside onnxruntime, in which the same file is refused or answered.

It has OpenVINO's name and interface, and computes in onnx's reference implementation.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.command.table import result_lines
from resnet_edge.ondevice.measurements import Verdict

RUN = ("run", "--min-seconds", "0.02", "--min-queries", "4", "--threads", "1", "--out", "r.json")
ONNX = (*RUN, "--artifacts", "fp32.onnx")

ANSWERS = """
from onnx.reference import ReferenceEvaluator

class Core:
    def read_model(self, path):
        return Model(path)
    def compile_model(self, model, device, settings):
        return model

class Model:
    def __init__(self, path):
        self.engine = ReferenceEvaluator(path)
    def reshape(self, shape):
        pass
    def create_infer_request(self):
        return self
    def get_property(self, name):
        return ["CPU"]
    def infer(self, inputs, share_inputs):
        return {0: self.engine.run(None, {self.engine.input_names[0]: inputs[0]})[0]}
"""
REFUSES = "def __getattr__(name): raise RuntimeError('no kernel for Frobnicate')\n"
CRASHES_WHEN_TIMED = """
import os, signal, sys
if ".bench_worker" in " ".join(sys.orig_argv):
    os.kill(os.getpid(), signal.SIGSEGV)
"""

REAL = """
here = sys.path.pop(next(i for i, path in enumerate(sys.path) if __file__.startswith(path)))
mine = sys.modules.pop("onnxruntime")
import onnxruntime
sys.path.insert(0, here)
"""
"""A module that becomes the package of the same name that it hides."""


@pytest.fixture
def fake(tmp_path: Path):
    """Make modules of these names; returns the variables with which Python finds them first."""

    def make(**sources: str) -> dict[str, str]:
        folder = tmp_path / "site"
        folder.mkdir()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        return {"PYTHONPATH": str(folder)}

    return make


def test_a_further_runtime_that_refuses_fails_nothing(run_bundle, bundle_path: Path, fake):
    ran = run_bundle(bundle_path, *ONNX, **fake(openvino=REFUSES))
    assert ran.code == 0
    result = read_device_result(bundle_path.parent / "r.json")
    (failed,) = result.failed
    assert (failed.name, failed.runtime) == ("fp32.onnx", "OpenVINO")
    assert "OpenVINO refuses the file: no kernel for Frobnicate" in failed.reason
    (main,) = result.parity.artifacts
    assert main.runtime_name == "onnxruntime"
    assert result.parity.elsewhere == ()
    assert Verdict.FAIL not in result.verdicts
    assert set(result.machine.runtimes) == {"onnxruntime", "OpenVINO"}
    assert f"fp32.onnx in OpenVINO: failed: {failed.reason}" in ran.err
    lines = result_lines(result)
    assert lines[1].startswith("fp32.onnx              pass  ")
    assert lines[2].split() == ["fp32.onnx", "in", "OpenVINO", "fail", "-", "-", "-", "-"]
    assert lines[3] == f"fp32.onnx in OpenVINO: failed: {failed.reason}"


@pytest.mark.parametrize("crash", ["", CRASHES_WHEN_TIMED])
def test_the_first_runtime_that_comes_through_is_the_preferred_one(
    run_bundle, bundle_path: Path, fake, crash: str
):
    """The one before it refuses the file, or answers and crashes when it is timed."""
    first = crash + REAL if crash else REFUSES
    ran = run_bundle(bundle_path, *ONNX, **fake(onnxruntime=first, openvino=ANSWERS))
    assert ran.code == 0
    result = read_device_result(bundle_path.parent / "r.json")
    (main,), (bench,) = result.parity.artifacts, result.bench.artifacts
    assert [other.runtime_name for other in result.parity.elsewhere] == ["onnxruntime"] * bool(
        crash
    )
    assert (main.runtime_name, main.answers_gate.verdict) == ("OpenVINO", Verdict.PASS)
    assert {latency.runtime for latency in bench.latencies} == {"OpenVINO"}
    assert [(gone.name, gone.runtime) for gone in result.failed] == [("fp32.onnx", "onnxruntime")]


def test_a_runtime_that_answers_and_crashes_when_timed_keeps_its_answers(
    run_bundle, bundle_path: Path, fake
):
    ran = run_bundle(bundle_path, *ONNX, **fake(openvino=CRASHES_WHEN_TIMED + ANSWERS))
    assert ran.code == 0
    result = read_device_result(bundle_path.parent / "r.json")
    assert [a.runtime_name for a in result.parity.artifacts] == ["onnxruntime"]
    assert [a.runtime_name for a in result.parity.elsewhere] == ["OpenVINO"]
    (failed,) = result.failed
    assert failed.runtime == "OpenVINO"
    assert "was killed by SIGSEGV; the runtime crashed" in failed.reason
    lines = result_lines(result)
    assert lines[2].split()[:5] == ["fp32.onnx", "in", "OpenVINO", "fail", "100.00%"]
    assert len([line for line in lines if line.startswith("fp32.onnx in OpenVINO  ")]) == 1


def test_an_artifact_that_every_runtime_refuses_has_failed(run_bundle, bundle_path: Path, fake):
    words = (*RUN, "--allow-inconclusive")
    ran = run_bundle(bundle_path, *words, **fake(onnxruntime=REFUSES, openvino=REFUSES))
    assert ran.code == 1
    result = read_device_result(bundle_path.parent / "r.json")
    assert [a.name for a in result.parity.artifacts] == ["fp32.tflite", "int8.tflite"]
    assert [gone.where for gone in result.failed] == [
        "fp32.onnx in onnxruntime",
        "fp32.onnx in OpenVINO",
    ]
    assert result.verdicts.count(Verdict.FAIL) == 1
