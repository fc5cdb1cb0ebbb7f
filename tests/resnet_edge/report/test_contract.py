import dataclasses
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.report import report_json
from resnet_edge.results import GateResult, Interval, Verdict

ARTIFACT_KEYS = {
    "name", "format", "precision", "quantization", "bytes", "sha256", "runtime", "top1", "top5",
    "agreement", "sqnr_db", "max_abs_logit", "latency", "verdict",
}  # fmt: skip


def round_trip(content):
    return json.loads(json.dumps(report_json(content), allow_nan=False))


def test_has_every_key_of_the_contract(content):
    data = round_trip(content)
    assert {"model", "data", "reference", "artifacts", "verdict"} <= set(data)
    assert {
        "sha256", "classes", "image_size", "parameters", "multiply_adds", "weights", "rewrites",
    } <= set(data["model"])  # fmt: skip
    assert {"train", "validation", "calibration", "test"} <= set(data["data"])
    reference = {"device", "backend", "dtype", "top1", "top5", "latency"}
    assert reference <= set(data["reference"])
    for artifact in data["artifacts"]:
        assert set(artifact) >= ARTIFACT_KEYS
        assert {"threads", "samples", "p50_ms", "p90_ms", "p99_ms"} <= set(artifact["latency"])
        assert {"accuracy", "latency", "interval"} <= set(artifact["verdict"])


def test_values(content):
    data = round_trip(content)
    assert data["verdict"] == "pass"
    assert data["model"]["classes"] == 2
    assert data["model"]["image_size"] == [64, 64]
    assert data["data"]["test"] == 20
    assert data["reference"]["latency"]["p50_ms"] == pytest.approx(8.0)
    int8 = next(a for a in data["artifacts"] if a["name"] == "int8.tflite")
    assert int8["format"] == "tflite"
    assert int8["quantization"] == "static: int8 weights and activations, float softmax"
    assert int8["sqnr_db"] == 31.25
    assert int8["sqnr_exact"] is False
    assert int8["latency"]["samples"] == 10
    assert int8["latency"]["p50_ms"] == pytest.approx(2.0)
    assert int8["latency"]["p90_ms"] == pytest.approx(2.0)
    assert int8["latency"]["p99_ms"] == pytest.approx(4.0)
    assert int8["latency"]["mean_ms"] == pytest.approx(2.2)
    assert int8["latency"]["reference_ratio"] == pytest.approx(0.25)
    assert int8["verdict"]["interval"] == {"low": -0.002, "high": 0.003, "confidence": 0.95}
    assert int8["verdict"]["latency"] == "not checked"


def test_lists_every_thread_count_and_leads_with_the_best(content, row, bench, latency):
    measured = bench("fp32.onnx", latency(8.0, 1), latency(5.0, 2))
    one = dataclasses.replace(row("fp32.onnx"), bench=measured)
    artifact = round_trip(dataclasses.replace(content, artifacts=(one,)))["artifacts"][0]
    assert artifact["latency"]["threads"] == 2
    assert [entry["threads"] for entry in artifact["latencies"]] == [1, 2]


def test_exact_sqnr_and_nan_are_null_and_told_apart(content, row):
    rows = (row("fp32.tflite", sqnr_db=math.inf), row("fp16.tflite", sqnr_db=math.nan))
    exact, broken = round_trip(dataclasses.replace(content, artifacts=rows))["artifacts"]
    assert (exact["sqnr_db"], exact["sqnr_exact"]) == (None, True)
    assert (broken["sqnr_db"], broken["sqnr_exact"]) == (None, False)
    assert exact["verdict"]["overall"] == "pass"
    assert broken["verdict"]["overall"] == "fail"
    assert "SQNR not a number" in broken["verdict"]["accuracy_reason"]


def test_nothing_measured_is_null_under_the_same_keys(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), parity=None, bench=None)
    data = round_trip(dataclasses.replace(content, reference=None, artifacts=(bare,), machine=None))
    assert set(data["reference"].values()) == {None}
    artifact = data["artifacts"][0]
    assert set(artifact) >= ARTIFACT_KEYS
    measured = ("top1", "top5", "agreement", "sqnr_db", "latency", "runtime")
    assert all(artifact[key] is None for key in measured)
    assert artifact["verdict"]["accuracy"] == data["verdict"] == "not checked"


def test_no_artifacts(content):
    data = round_trip(dataclasses.replace(content, artifacts=()))
    assert data["artifacts"] == []
    assert data["verdict"] == "not checked"


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.floats(), min_size=4, max_size=4), low=st.floats(), label=st.text())
def test_any_number_and_any_text_make_valid_json(content, row, values, low, label):
    names = ("top1", "sqnr_db", "max_abs_logit", "kl")
    gate = GateResult(Verdict.INCONCLUSIVE, label, Interval(low, 1.0, 0.95))
    one = row("int8.onnx", gate=gate, **dict(zip(names, values, strict=True)))
    data = round_trip(dataclasses.replace(content, artifacts=(one,), notes=(label,)))
    if any(math.isnan(value) for value in values):
        assert data["verdict"] == "fail"
