import dataclasses
import math

import pytest

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.measurements import GateResult, Verdict

FAILED = GateResult(Verdict.FAIL, "p90 9 ms (at most 5 ms wanted)")


def test_verdict_ignores_a_latency_gate_nobody_asked_for(row):
    assert row("int8.tflite").latency_gate.verdict is Verdict.NOT_CHECKED
    assert row("int8.tflite").verdict is Verdict.PASS


def test_verdict_counts_a_failed_latency_gate(row, bench):
    slow = dataclasses.replace(row("int8.tflite"), bench=bench("int8.tflite", gate=FAILED))
    assert slow.verdict is Verdict.FAIL


def test_without_parity_nothing_passes(row):
    unchecked = dataclasses.replace(row("int8.tflite"), parity=None, bench=None)
    assert unchecked.verdict is Verdict.NOT_CHECKED
    assert unchecked.runtime is None
    assert unchecked.accuracy_gate.reason == "its answers were not compared: no parity results"
    assert unchecked.latency_gate.reason == "it was not timed: no bench results"


@pytest.mark.parametrize("metric", ["top1", "agreement", "sqnr_db", "max_abs_logit", "kl"])
def test_nan_never_passes_whatever_the_gate_said(row, metric):
    broken = row("int8.tflite", **{metric: math.nan})
    assert broken.verdict is Verdict.FAIL
    assert "not a number: the answers are worthless" in broken.accuracy_gate.reason


def test_collapse_never_passes_whatever_the_gate_said(row):
    collapsed = row("int8.tflite", collapse="one class for every picture")
    assert collapsed.verdict is Verdict.FAIL
    assert collapsed.accuracy_gate.reason == "one class for every picture"


def test_infinite_sqnr_is_no_failure(row):
    assert row("fp32.tflite", sqnr_db=math.inf).verdict is Verdict.PASS


def test_latency_is_the_best_thread_count(row, bench, latency):
    measured = bench("fp32.onnx", latency(8.0, 1), latency(5.0, 2), latency(6.0, 4))
    assert dataclasses.replace(row("fp32.onnx"), bench=measured).latency.threads == 2


def test_measurement_of_other_bytes_is_refused(row):
    with pytest.raises(
        ArtifactError, match=r"parity measured sha256 0000.*run `resnet-edge parity`"
    ):
        row("fp32.onnx", sha256="0" * 64)


def test_artifact_of_another_model_is_refused(content):
    other = dataclasses.replace(content.model, sha256="cd" * 32)
    with pytest.raises(ArtifactError, match=r"saved_model: made from model abab.*about cdcd"):
        dataclasses.replace(content, model=other)


def test_a_quantization_of_another_model_is_refused(content, quantization):
    other = dataclasses.replace(quantization, model_sha256="cd" * 32)
    with pytest.raises(ArtifactError, match=r"quantization is of model cdcd.*about abab"):
        dataclasses.replace(content, quantization=other)
