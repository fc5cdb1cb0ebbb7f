"""JUnit XML: one test case per artifact and gate, with the outcome that a pipeline acts on."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from resnet_edge.exporting.failures import Failure
from resnet_edge.ondevice.measurements import (
    FurtherGate,
    GateResult,
    PictureAnswers,
    Unmeasured,
    Verdict,
)
from resnet_edge.reporting.content import DeviceSection, ReportContent
from resnet_edge.reporting.junit import render_junit
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.record import CorruptedParity


@pytest.fixture
def judged(content: ReportContent, row) -> ReportContent:
    """One file passes, one fails a further gate, one is inconclusive."""
    calibration = FurtherGate("calibration", GateResult(Verdict.FAIL, "ECE <9> & more"))
    unclear = GateResult(Verdict.INCONCLUSIVE, "inconclusive: too few", images_needed=9)
    rows = (
        row("fp32.tflite"),
        row("int8.tflite", further_gates=(calibration,)),
        row("int8.onnx", gate=unclear),
    )
    return replace(content, artifacts=rows)


def cases(content: ReportContent, **options: bool) -> dict[tuple[str, str], ET.Element]:
    root = ET.fromstring(render_junit(content, **options))
    return {(c.get("classname"), c.get("name")): c for c in root.iter("testcase")}


def outcome(case: ET.Element) -> str:
    return case[0].tag


def test_a_case_for_each_artifact_and_gate(judged: ReportContent):
    found = cases(judged)
    assert {key: outcome(case) for key, case in found.items()} == {
        ("fp32.tflite", "accuracy"): "system-out",
        ("fp32.tflite", "latency"): "skipped",
        ("int8.tflite", "accuracy"): "system-out",
        ("int8.tflite", "calibration"): "failure",
        ("int8.tflite", "latency"): "skipped",
        ("int8.onnx", "accuracy"): "failure",
        ("int8.onnx", "latency"): "skipped",
    }
    failure = found["int8.tflite", "calibration"][0]
    assert failure.attrib == {"message": "fail: ECE <9> & more", "type": "fail"}
    assert failure.text == "fail: ECE <9> & more"
    undecided = found["int8.onnx", "accuracy"][0]
    assert undecided.attrib == {"message": "inconclusive: too few", "type": "inconclusive"}


def test_inconclusive_is_skipped_where_that_is_allowed(judged: ReportContent):
    found = cases(judged, allow_inconclusive=True)
    assert outcome(found["int8.onnx", "accuracy"]) == "skipped"
    assert outcome(found["int8.tflite", "calibration"]) == "failure"


def test_counts(judged: ReportContent):
    root = ET.fromstring(render_junit(replace(judged, failed=(Failure("fp16.onnx", "no op"),))))
    (suite,) = root
    expected = {"tests": "8", "failures": "2", "errors": "1", "skipped": "3"}
    assert {name: root.get(name) for name in expected} == expected
    assert {name: suite.get(name) for name in expected} == expected
    assert (root.get("name"), suite.get("name")) == ("resnet-edge", "pets")
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("message") == "could not be made or run: no op"


def test_a_device_is_a_suite_and_decides_nothing_inconclusive(judged: ReportContent):
    device = DeviceSection(
        judged.machine,
        emulated=False,
        bundle_sha256="ab",
        images=20,
        reference_top1=0.9,
        artifacts=judged.artifacts[1:],
        failed=(Unmeasured("fp32.tflite", "killed"),),
    )
    root = ET.fromstring(render_junit(replace(judged, devices=(device,))))
    here, there = root
    assert there.get("name") == "pets on desk"
    expected = {"tests": "6", "failures": "1", "errors": "1", "skipped": "3"}
    assert {name: there.get(name) for name in expected} == expected
    assert int(root.get("tests")) == int(here.get("tests")) + 6


def test_a_refusal_decides_only_where_no_runtime_came_through(judged: ReportContent):
    refused = (
        Unmeasured("int8.onnx", "no kernel", "OpenVINO"),
        Unmeasured("fp32.tflite", "killed", "LiteRT"),
    )
    device = DeviceSection(
        judged.machine, False, "ab", 20, 0.9, artifacts=judged.artifacts[1:], failed=refused
    )
    assert device.lost == ("fp32.tflite",)
    here = (Unmeasured("int8.onnx", "no kernel", "OpenVINO"),)
    root = ET.fromstring(render_junit(replace(judged, devices=(device,), refused=here)))
    found = {
        (suite.get("name"), case.get("classname")): case[0].tag
        for suite in root
        for case in suite
        if case.get("name") in ("run in OpenVINO", "run in LiteRT")
    }
    assert found == {
        ("pets", "int8.onnx"): "skipped",
        ("pets on desk", "int8.onnx"): "skipped",
        ("pets on desk", "fp32.tflite"): "error",
    }
    message = root.findall(".//testcase/error")[0].get("message")
    assert message == "failed in LiteRT: killed"


def test_a_corruption_is_a_case_and_fails_only_where_the_file_falls(judged: ReportContent):
    def under(corruption: Corruption, verdict: Verdict) -> CorruptedParity:
        return CorruptedParity(
            *(
                corruption,
                "int8.onnx",
                "04" * 32,
                "LiteRT 2.3.0",
                "05" * 32,
                0,
                0.5,
                0.9,
                24.5,
                None,
            ),
            PictureAnswers("03" * 32, "", "", ""),
            GateResult(verdict, "by hand"),
        )

    verdicts = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    corruptions = tuple(map(under, Corruption, verdicts))
    row = replace(judged.artifacts[0], corrupted=corruptions)
    found = cases(replace(judged, artifacts=(row,)))
    under_corruption = [key for key in found if key[1].startswith("accuracy under ")]
    outcomes = [outcome(found[key]) for key in under_corruption]
    assert under_corruption[0] == ("fp32.tflite", "accuracy under dark")
    assert outcomes == ["failure", "skipped", "system-out"]


def test_text_that_xml_cannot_hold(judged: ReportContent):
    reason = "a bell \x07, a surrogate \udcff, a < and \U0001f600"
    strange = replace(judged, failed=(Failure("fp16.onnx", reason),))
    error = ET.fromstring(render_junit(strange)).find(".//error")
    assert error.get("message").endswith("a bell \ufffd, a surrogate \ufffd, a < and \U0001f600")


def test_the_same_content_gives_the_same_bytes(judged: ReportContent):
    assert render_junit(judged) == render_junit(judged)
    assert render_junit(judged).startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites")
