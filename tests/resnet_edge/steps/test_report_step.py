from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hand_made import changed_gates

from converters.quantization.findings import LayerSensitivity
from resnet_edge.errors import ArtifactError, ReferenceFileError
from resnet_edge.exporting.failures import Failure, keep_failures
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ParityResult, Verdict
from resnet_edge.ondevice.reference_file import read_reference, write_reference
from resnet_edge.options import DataOptions, ModelOptions, Options
from resnet_edge.steps.bench import bench
from resnet_edge.steps.export import export
from resnet_edge.steps.parity import parity
from resnet_edge.steps.reference import reference
from resnet_edge.steps.report import report

CONTRACT: Mapping[str, tuple[str, ...]] = {
    "model": (
        *("sha256", "classes", "image_size", "parameters", "multiply_adds", "weights", "rewrites"),
    ),
    "data": ("train", "validation", "calibration", "test"),
    "reference": ("device", "backend", "dtype", "top1", "top5", "latency"),
}
ARTIFACT = (
    *("name", "format", "precision", "quantization", "bytes", "sha256", "runtime", "top1", "top5"),
    *("agreement", "sqnr_db", "max_abs_logit", "latency", "verdict"),
)


def test_the_contract_of_report_json(edge_build):
    saved = json.loads((edge_build / "report.json").read_text())
    for section, keys in CONTRACT.items():
        assert set(keys) <= set(saved[section]), section
    assert [a["name"] for a in saved["artifacts"]] == ["fp32.tflite", "int8.tflite", "fp32.onnx"]
    for artifact in saved["artifacts"]:
        assert set(ARTIFACT) <= set(artifact)
        assert {"threads", "samples", "p50_ms", "p90_ms", "p99_ms"} <= set(artifact["latency"])
        assert {"accuracy", "latency", "interval"} <= set(artifact["verdict"])
        assert artifact["latency"]["threads"] == 1
        assert artifact["latency"]["samples"] >= 8
    assert saved["model"]["classes"] == 3
    assert saved["model"]["image_size"] == [32, 32]
    # Two convolutions, a batch norm and a head: 216 + 4 * 8 + (8 * 9 * 16 + 16) + (16 * 3 + 3).
    assert saved["model"]["parameters"] == 1467
    assert saved["model"]["multiply_adds"] == 15 * 15 * 216 + 7 * 7 * 8 * 9 * 16 + 16 * 3
    assert saved["data"]["train"] + saved["data"]["validation"] + saved["data"]["test"] == 60
    assert saved["data"]["calibration"] == saved["data"]["train"]
    assert saved["reference"]["dtype"] == "float32"
    assert saved["verdict"] == "inconclusive"  # int8 on so few pictures
    int8 = saved["artifacts"][1]
    assert int8["quantization"].startswith("static: int8 weights and activations")
    assert int8["verdict"]["interval"]["low"] < 0 < int8["verdict"]["interval"]["high"]
    assert saved["artifacts"][0]["verdict"]["accuracy"] == "pass"


def test_one_page_that_needs_nothing_else(edge_build):
    page = (edge_build / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "http" not in (edge_build / "report.md").read_text()


def test_pictures_that_were_left_out_are_listed(edge_photos, options: Options):
    text = options.layout.dataset.read_text()
    record = {**json.loads(text), "skipped": ["cat/9.jpg: 0 bytes; expected a JPEG"]}
    options.layout.dataset.write_text(json.dumps(record))
    written = report(options)
    for path in (written.html, written.markdown, written.json):
        assert "cat/9.jpg: 0 bytes; expected a JPEG" in path.read_text(), path


def test_what_was_noticed_of_the_pictures_stands_in_the_report(options: Options):
    text = options.layout.dataset.read_text()
    assert json.loads(text)["split_reason"] == "by content"
    record = {**json.loads(text), "advice": ["1 test picture with a copy among those that train"]}
    options.layout.dataset.write_text(json.dumps(record))
    written = report(options)
    for path in (written.html, written.markdown, written.json):
        assert "1 test picture with a copy among those that train." in path.read_text(), path
        assert "by content" in path.read_text(), path


def test_results_of_other_bytes(options: Options):
    result = read_record(ParityResult, options.layout.parity, ArtifactError)
    stale = tuple(replace(a, sha256="cd" * 32) for a in result.artifacts)
    write_record(options.layout.parity, replace(result, artifacts=stale))
    with pytest.raises(ArtifactError, match=r"parity measured sha256 cdcdcdcdcdcdcdcd…, the art"):
        report(options)


def test_a_reference_of_another_model(options: Options):
    reference = read_reference(options.layout.reference)
    other = replace(reference.info, model_sha256="cd" * 32)
    write_reference(options.layout.reference, replace(reference, info=other))
    with pytest.raises(ReferenceFileError, match=r"^reference is of model cdcdcdcdcdcdcdcd…, fp3"):
        report(options)


@pytest.fixture
def without_int8(options: Options) -> Options:
    """The finished build, had ``int8.tflite`` not been made."""
    for path in options.layout.artifacts.glob("int8.tflite*"):
        path.unlink()
    failed = (Failure("int8.tflite", "no kernel"), Failure("int8.onnx", "no operator"))
    asked = ("int8.tflite", "int8.onnx")
    keep_failures(options.layout.failures, model_sha256_of(options), asked, failed)
    return options


def test_what_could_not_be_made_is_reported_and_fails(without_int8: Options):
    content = report(without_int8).content
    assert [row.name for row in content.artifacts] == ["fp32.tflite", "fp32.onnx"]
    assert content.failed == (Failure("int8.tflite", "no kernel"),)  # int8.onnx was not asked for
    assert content.verdict is Verdict.FAIL
    saved = json.loads((without_int8.out / "report.json").read_text())
    assert saved["failed"] == [{"name": "int8.tflite", "reason": "no kernel"}]
    whole = report(replace(without_int8, formats=None)).content
    assert [failure.name for failure in whole.failed] == ["int8.tflite", "int8.onnx"]
    floats = report(replace(without_int8, formats=("fp32.onnx",))).content
    assert [row.name for row in floats.artifacts] == ["fp32.onnx"]
    assert (floats.failed, floats.verdict) == ((), Verdict.PASS)


def test_a_missing_artifact_that_did_not_fail_is_an_error(without_int8: Options):
    without_int8.layout.failures.unlink()
    with pytest.raises(ArtifactError, match=r"int8\.tflite"):
        report(without_int8)


def test_what_was_not_measured_is_said(options: Options, recorder):
    for path in (options.layout.reference, options.layout.parity):
        path.unlink()
    for path in options.layout.results.iterdir():
        path.unlink()
    content = report(options, recorder).content
    assert content.verdict is Verdict.NOT_CHECKED
    saved = json.loads((options.out / "report.json").read_text())
    assert saved["verdict"] == "not checked"
    assert saved["reference"]["top1"] is None
    verdict = saved["artifacts"][0]["verdict"]
    assert verdict["accuracy_reason"] == "its answers were not compared: no parity results"
    assert verdict["latency_reason"] == "it was not timed: no bench results"
    assert "not compared" in (options.out / "report.md").read_text()
    assert recorder.said == [f"report: {options.out / 'report.html'}"]


def test_very_many_classes_have_no_confusion_matrix(options: Options, monkeypatch):
    monkeypatch.setattr("resnet_edge.ondevice.parity.metrics.CONFUSION_CLASSES", 2)
    result = read_record(ParityResult, options.layout.parity, ArtifactError)
    without = tuple(replace(a, confusion=()) for a in result.artifacts)
    write_record(options.layout.parity, replace(result, artifacts=without))
    assert "fp32.tflite" in report(options).html.read_text()


@pytest.mark.slow
def test_a_users_model_without_test_pictures(plain_model, tmp_path, options: Options, recorder):
    """Everything still runs, and the report says what was not checked."""
    own = replace(
        options,
        out=tmp_path / "own",
        data=DataOptions(),
        model=ModelOptions(preprocessing="unit"),
        formats=parse_formats("fp32.onnx"),
    )
    export(own, plain_model)
    reference(own, plain_model)
    assert parity(own).result.images == 0
    bench(own)
    content = report(own).content
    assert content.verdict is Verdict.NOT_CHECKED
    saved = json.loads((own.out / "report.json").read_text())
    (artifact,) = saved["artifacts"]
    assert artifact["verdict"]["accuracy"] == "not checked"
    reason = artifact["verdict"]["accuracy_reason"]
    assert reason == (
        "not checked: there is no test split; pass --test DIR to `resnet-edge reference`"
    )
    assert artifact["top1"] is None
    assert artifact["latency"]["p50_ms"] > 0
    assert saved["reference"]["top1"] is None
    assert saved["data"]["test"] == 0
    assert saved["model"]["weights"] == "of the user's model plain"
    for name in ("report.md", "report.html"):
        assert "there is no test split; pass --test DIR" in (own.out / name).read_text()


def test_other_gates_judge_the_saved_results(options: Options):
    parity, verdict = options.layout.parity.read_bytes(), Verdict.FAIL
    changes = changed_gates(fp32_max_logit=0.0, max_p90_ms=1e-6)
    content = report(options, changes=changes).content
    assert {row.latency_gate.verdict for row in content.artifacts} == {verdict}
    assert [row.accuracy_gate.verdict for row in content.artifacts] == [
        *(verdict, Verdict.INCONCLUSIVE, verdict),
    ]
    assert "at most 1e-06 ms wanted" in (options.out / "report.md").read_text()
    assert options.layout.parity.read_bytes() == parity
    as_judged = report(options).content
    assert as_judged.artifacts[0].accuracy_gate.verdict is Verdict.PASS
    assert as_judged.artifacts[0].latency_gate.verdict is Verdict.NOT_CHECKED


def quantization_of(model_sha256: str) -> QuantizationResult:
    layer = LayerSensitivity("conv2d", ("CONV_2D",), 0.0, 6.0, 31.0, 42.0, 1.0, 1.0)
    found = {"simulated SQNR": "30.5 dB, mean of 12 held-out pictures"}
    return QuantizationResult(model_sha256, "ab" * 32, 40, "equalized", found, (layer,), ())


def model_sha256_of(options: Options) -> str:
    return str(json.loads((options.out / "report.json").read_text())["model"]["sha256"])


def test_the_quantization_of_this_model_is_shown(options: Options, recorder):
    write_record(options.layout.quantization, quantization_of(model_sha256_of(options)))
    written = report(options, recorder)
    saved = json.loads(written.json.read_text())
    assert saved["quantization"]["layers"][0]["layer"] == "conv2d"
    for path in (written.html, written.markdown, written.json):
        assert "30.5 dB, mean of 12 held-out pictures" in path.read_text(), path
    assert recorder.warned == []


def test_the_quantization_of_another_model_is_left_out_with_a_warning(options: Options, recorder):
    write_record(options.layout.quantization, quantization_of("cd" * 32))
    written = report(options, recorder)
    (warning,) = recorder.warned
    assert warning.startswith("quantization.json is left out: it is of model cdcdcdcdcdcdcdcd…, th")
    assert warning in written.content.notes
    assert json.loads(written.json.read_text())["quantization"] is None
    assert "Layers that lose most accuracy" not in written.html.read_text()


def test_a_damaged_quantization_is_said(options: Options):
    options.layout.quantization.write_text("{")
    with pytest.raises(ArtifactError, match=r"quantization\.json: not JSON"):
        report(options)


def test_a_limit_that_nothing_was_timed_for_is_no_pass(options: Options):
    for path in options.layout.results.glob("bench-*.json"):
        path.unlink()
    content = report(options, None, changed_gates(max_p90_ms=1000)).content
    assert {row.latency_gate.verdict for row in content.artifacts} == {Verdict.INCONCLUSIVE}
    assert content.verdict is Verdict.INCONCLUSIVE
    text = (options.out / "report.md").read_text()
    assert "cannot be judged without a latency: fp32.tflite, fp32.onnx." in text
    assert "a limit of the latency was given, but it was not timed; run" in text
