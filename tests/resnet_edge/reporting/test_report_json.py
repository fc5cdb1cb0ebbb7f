import dataclasses
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.latency.cpu_state import CoreClock, MeasuringConditions
from resnet_edge.ondevice.measurements import (
    GateResult,
    Interval,
    Provider,
    Throughput,
    Unmeasured,
    Verdict,
)
from resnet_edge.reporting.content import DeviceSection
from resnet_edge.reporting.report_json import report_json

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
        "sha256", "classes", "image_size", "parameters", "multiply_adds",
        "multiply_adds_before", "weights", "rewrites",
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
    assert int8["latency"]["samples"] == 70
    assert int8["latency"]["p50_ms"] == pytest.approx(2.0)
    assert int8["latency"]["p90_ms"] == pytest.approx(2.0)
    assert int8["latency"]["p90_bound_ms"] == pytest.approx(4.0)
    assert int8["latency"]["p97_ms"] == pytest.approx(4.0)
    assert int8["latency"]["p99_ms"] == pytest.approx(4.0)
    assert int8["latency"]["mean_ms"] == pytest.approx(2.2)
    assert int8["latency"]["reference_ratio"] == pytest.approx(0.25)
    assert int8["verdict"]["interval"] == {"low": -0.002, "high": 0.003, "confidence": 0.95}
    assert int8["verdict"]["latency"] == "not checked"


def test_the_references_device_proof_and_throughput(content):
    assert round_trip(content)["reference"]["throughput"] == []
    reference = dataclasses.replace(
        content.reference,
        details={"driver": "550.54.15"},
        float32="proven",
        throughput=(Throughput(8, (0.02, 0.01, 0.04)),),
        throughput_stopped="batch 32: memory ran out",
        host="gpu-box",
        versions={"jax": "0.10.2"},
    )
    data = round_trip(dataclasses.replace(content, reference=reference))["reference"]
    assert data["details"] == {"driver": "550.54.15"}
    assert data["throughput"] == [
        {"batch": 8, "pictures_per_s": 400.0, "batch_ms": 20.0, "samples": 3}
    ]
    assert (data["float32"], data["host"]) == ("proven", "gpu-box")
    assert data["throughput_stopped"] == "batch 32: memory ran out"
    assert data["versions"] == {"jax": "0.10.2"}


def test_lists_every_thread_count_and_leads_with_the_best(content, row, bench, latency):
    measured = bench("fp32.onnx", latency(8.0, 1), latency(5.0, 2))
    one = dataclasses.replace(row("fp32.onnx"), bench=measured)
    artifact = round_trip(dataclasses.replace(content, artifacts=(one,)))["artifacts"][0]
    assert artifact["latency"]["threads"] == 2
    assert [entry["threads"] for entry in artifact["latencies"]] == [1, 2]


def test_a_latency_of_an_earlier_version_has_no_conditions(content):
    latency = round_trip(content)["artifacts"][0]["latency"]
    assert (latency["provider"], latency["conditions"]) == (None, None)
    assert (latency["drift"], latency["drifting"], latency["doubts"]) == (0, False, [])


def test_conditions_and_doubts(content, row, bench, latency):
    seen = MeasuringConditions(10.0, (0, 1), (CoreClock(0, "", 10**9, 10**9, 0),), other_load=0.5)
    measured = dataclasses.replace(
        latency(8.0),
        samples_s=(0.008,),
        provider=Provider("XNNPACK", "", ("PAD",)),
        conditions=seen,
    )
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", measured))
    data = round_trip(dataclasses.replace(content, artifacts=(one,)))["artifacts"][0]["latency"]
    assert data["p90_bound_ms"] is None
    assert data["provider"] == {"requested": "XNNPACK", "used": None, "left": ["PAD"]}
    assert [each["doubt"] for each in data["doubts"]] == ["few queries", "other load"]
    assert data["doubts"][1]["advice"] == "Stop other programs and measure again."
    assert data["conditions"] == {
        "seconds": 10.0, "cores": [0, 1], "temperatures": [], "throttled": None,
        "clocks": [{"core": 0, "governor": None, "before_hz": 10**9, "after_hz": 10**9,
                    "limit_hz": None}],
        "other_load": 0.5, "stolen_load": None,
    }  # fmt: skip


def test_an_inconclusive_latency_says_how_many_queries_it_needs(content, row, bench):
    gate = GateResult(Verdict.INCONCLUSIVE, "too few", queries_needed=64)
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", gate=gate))
    verdict = round_trip(dataclasses.replace(content, artifacts=(one,)))["artifacts"][0]["verdict"]
    assert (verdict["latency"], verdict["queries_needed"]) == ("inconclusive", 64)


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


def test_quantization_is_null_where_nothing_is_known(content):
    assert round_trip(content)["quantization"] is None


def test_quantization_holds_every_layer_and_trial(content, quantization, layer):
    broken = layer("pool", math.nan, low=-math.inf, logits_sqnr_db=math.inf, agreement=math.nan)
    quantization = dataclasses.replace(quantization, layers=(*quantization.layers, broken))
    data = round_trip(dataclasses.replace(content, quantization=quantization))["quantization"]
    assert data["method"] == "equalized"
    assert data["pictures"] == 200
    assert data["findings"] == {"equalisation": "strength 0.5, 3 groups of tensors"}
    assert [row["layer"] for row in data["layers"]] == ["conv1", "conv2", "head", "pool"]
    assert data["layers"][0] == {
        "layer": "conv1", "kinds": ["CONV_2D"], "low": -1.5, "high": 20.25,
        "output_sqnr_db": 30.04, "output_sqnr_exact": False,
        "logits_sqnr_db": 40.06, "logits_sqnr_exact": False, "agreement": 0.995, "share": 0.25,
    }  # fmt: skip
    unknown = {key: data["layers"][3][key] for key in ("low", "logits_sqnr_db", "agreement")}
    assert set(unknown.values()) == {None}
    assert data["layers"][3]["logits_sqnr_exact"] is True
    first, second = data["trials"]
    assert (first["layer"], first["float_layers"], first["best"]) == ("", [], False)
    assert (second["float_layers"], second["holds"], second["best"]) == (["conv2"], True, True)
    assert second["latency_ms"] == pytest.approx(21.2)


def test_an_artifact_says_what_was_found_of_it(content, row):
    one = row("int8.onnx")
    found = dataclasses.replace(one.sidecar, findings={"processor": "avx2"})
    rows = (row("fp32.onnx"), dataclasses.replace(one, sidecar=found))
    data = round_trip(dataclasses.replace(content, artifacts=rows))
    assert [artifact["findings"] for artifact in data["artifacts"]] == [{}, {"processor": "avx2"}]


LATENCY_KEYS = (
    "runtime threads samples queries_per_sample p50_ms p90_ms p90_bound_ms p97_ms p99_ms mean_ms "
    "first_ms load_ms peak_memory_bytes warmup spread noisy settled drift drifting in_groups "
    "doubts reference_ratio provider conditions"
)
ALL_KEYS = {
    "": "schema made_by verdict model data reference artifacts machine notes quantization devices "
    "failed refused take undecided corruptions findings",
    "model": "name sha256 labels image_size parameters multiply_adds multiply_adds_before weights "
    "rewrites classes",
    "data": "train validation calibration test source skipped split_reason",
    "reference": "device backend dtype top1 top5 latency details float32 throughput "
    "throughput_stopped host versions",
    "artifact": "name format precision quantization bytes sha256 runtime images top1 top5 "
    "agreement sqnr_db sqnr_exact max_abs_logit mean_abs_logit logit_range cosine kl changed "
    "collapse changes latency latencies elsewhere verdict findings",
    "verdict": "overall accuracy latency interval images_needed queries_needed accuracy_reason "
    "latency_reason",
    "elsewhere": "runtime top1 agreement sqnr_db sqnr_exact verdict reason",
    "machine": "host system processor cpu_features cores python runtimes",
    "quantization": "calibration_sha256 pictures method findings layers trials",
    "trial": "layer float_layers agreement sqnr_db sqnr_exact bytes latency_ms holds best",
    "device": "machine emulated bundle_sha256 images reference_top1 failed left_out verdict "
    "artifacts agreement_here browser",
}


def test_every_key(content, row, quantization):
    one = row("int8.onnx")
    one = dataclasses.replace(one, in_further_runtimes=(one.parity,))
    gone = (Unmeasured("fp32.onnx", "killed"),)
    device = DeviceSection(content.machine, False, "ef" * 32, 10, 0.5, (one,), gone, gone)
    data = round_trip(
        dataclasses.replace(content, artifacts=(one,), quantization=quantization, devices=(device,))
    )
    (artifact,), (there,) = data["artifacts"], data["devices"]
    found = {
        "": data,
        **{key: data[key] for key in ("model", "data", "reference", "machine", "quantization")},
        "artifact": artifact,
        "verdict": artifact["verdict"],
        "elsewhere": artifact["elsewhere"][0],
        "trial": data["quantization"]["trials"][0],
        "device": there,
    }
    assert {name: set(part) for name, part in found.items()} == {
        name: set(keys.split()) for name, keys in ALL_KEYS.items()
    }
    for latency in (artifact["latency"], *artifact["latencies"], data["reference"]["latency"]):
        assert set(latency) == set(LATENCY_KEYS.split())
    assert (
        there["failed"]
        == there["left_out"]
        == [{"name": "fp32.onnx", "reason": "killed", "runtime": None}]
    )
    assert set(there["artifacts"][0]) == set(artifact)
