"""The section behind top-1 and the findings, in all three renderings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import CLASSES, compare, evaluation_of, noisy, reference_logits, without_class

from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.reporting.answer_changes import answer_changes
from resnet_edge.reporting.content import ArtifactRow, DeviceSection, ReportContent
from resnet_edge.reporting.findings import find_findings
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.quality_section import build_quality
from resnet_edge.reporting.report_json import report_json

GATES = Gates(max_ece_increase=0.02)


@pytest.fixture(scope="module")
def parities():
    """An honest file, one that is miscalibrated, one that hurts a class."""
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, 1600)
    evaluation = evaluation_of(logits, labels)
    answers = {
        "fp32.tflite": logits,
        "int8.tflite": noisy(rng, logits),
        "int8.onnx": 2 * logits,
        "fp16.onnx": without_class(rng, logits, labels),
    }
    return {name: compare(evaluation, each, GATES, name) for name, each in answers.items()}


@pytest.fixture
def planted(content: ReportContent, row, parities) -> ReportContent:
    rows = []
    for name, parity in parities.items():
        hand = row(name)
        rows.append(ArtifactRow(hand.sidecar, replace(parity, sha256=hand.sidecar.sha256), None))
    labels = tuple(f"class {number}" for number in range(CLASSES))
    return replace(
        content,
        model=replace(content.model, labels=labels),
        reference=replace(content.reference, confusion=None),
        artifacts=tuple(rows),
    )


def test_findings_are_of_the_two_planted_files(planted: ReportContent):
    sharp, hurt, *more = find_findings(planted)
    assert sharp.startswith("int8.onnx is worse calibrated than the reference: ECE ")
    assert hurt.startswith("fp16.onnx lost accuracy in class class 0: ")
    assert all(words.startswith("fp16.onnx is worse calibrated") for words in more)


def test_findings_come_first_in_every_rendering(planted: ReportContent):
    (first, *_), page, text = find_findings(planted), render_html(planted), render_markdown(planted)
    assert page.index("<h2>Findings</h2>") < page.index("<h2>Read this first</h2>")
    assert page.index("<h2>Findings</h2>") < page.index('id="artifacts"')
    assert f"- **Finding:** {first}" in text
    assert text.index("**Finding:**") < text.index("## Artifacts")
    assert report_json(planted)["findings"] == list(find_findings(planted))


def test_without_findings_there_is_no_such_section(planted: ReportContent):
    honest = replace(planted, artifacts=planted.artifacts[:2])
    assert find_findings(honest) == ()
    assert "<h2>Findings</h2>" not in render_html(honest)
    assert "**Finding:**" not in render_markdown(honest)


def test_a_finding_on_a_device_names_it(planted: ReportContent, content: ReportContent):
    device = DeviceSection(
        content.machine, False, "ab", 1600, 0.8, (planted.artifacts[2],), pictures=()
    )
    found = find_findings(replace(planted, artifacts=(), devices=(device,)))
    assert [words.split(" is ")[0] for words in found] == ["int8.onnx on desk"]


def test_rows(planted: ReportContent):
    section = build_quality(planted)
    reference, exact, honest, sharp, hurt = section.rows
    assert [row.cells[0].value for row in section.rows[1:]] == [
        *("fp32.tflite", "int8.tflite", "int8.onnx", "fp16.onnx")
    ]
    assert [row.harmed for row in section.rows] == [False, False, False, True, True]
    by_name = dict(zip(section.headings, exact.cells, strict=True))
    assert by_name["top-1"].value == "0.00"
    assert by_name["top-5"].value == "0.00"
    assert by_name["ECE"].value == reference.cells[3].value
    assert by_name["flips: lost, gained, wrong twice"].value == "0"
    assert by_name["worst class"].words == "none lost"
    assert sharp.cells[4].value.startswith("+")
    assert hurt.cells[-1].value.startswith("class 0: −")
    assert honest.cells[6].value.count(",") == 2
    assert section.alike == ("fp32.tflite",)
    assert [each.artifact for each in section.details] == ["int8.tflite", "int8.onnx", "fp16.onnx"]
    assert section.noise.startswith("With 1,600 pictures chance alone makes an ECE of about ")


def test_details_are_open_only_where_there_is_a_finding(planted: ReportContent):
    page = render_html(planted)
    section = page[page.index('<section id="quality">') :]
    section = section[: section.index("</section>")]
    assert section.count("<details>") == 1
    assert section.count("<details open>") == 2
    assert section.count('aria-label="Reliability diagram of ') == 3
    assert "<h3>New confusions</h3>" in section


def test_few_classes_have_no_top5(content: ReportContent, row):
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, 60, classes=5)
    parity = compare(evaluation_of(logits, labels), noisy(rng, logits), Gates())
    assert answer_changes(parity).top5 is None
    hand = row("int8.tflite")
    parity = replace(parity, sha256=hand.sidecar.sha256)
    five = replace(content, artifacts=(ArtifactRow(hand.sidecar, parity, None),))
    section = build_quality(five)
    assert "top-5" not in section.headings
    assert {len(each.cells) for each in section.rows} == {len(section.headings)}


def test_records_of_an_earlier_version_say_what_to_do(planted: ReportContent):
    parity = planted.artifacts[1].parity
    old = replace(
        parity,
        probabilities=None,
        grown=None,
        classes=tuple(replace(each, gained=None, lost=None) for each in parity.classes),
    )
    rows = (replace(planted.artifacts[1], parity=old),)
    content = replace(planted, artifacts=rows)
    words = "Not known of int8.tflite: an earlier version recorded the answers; run "
    assert f"{words}<code>resnet-edge parity</code> again." in render_html(content)
    assert f"{words}`resnet-edge parity` again." in render_markdown(content)
    assert report_json(content)["artifacts"][0]["changes"] is None


def test_hand_made_records_without_answers_have_no_section(content: ReportContent):
    assert build_quality(content) is None
    assert 'id="quality"' not in render_html(content)


def test_json_has_all_of_it(planted: ReportContent):
    record = json.loads(json.dumps(report_json(planted), allow_nan=False))
    sharp = record["artifacts"][2]
    changes = sharp["changes"]
    assert set(changes) == {
        *("top1", "top5", "calibration", "flips", "classes", "new_confusions", "most_confused")
    }
    assert changes["calibration"]["interval"]["confidence"] == 0.95
    assert changes["calibration"]["artifact"]["ece"] > changes["calibration"]["reference"]["ece"]
    assert sum(row["pictures"] for row in changes["flips"]) == 1600
    assert {each["images"] for each in changes["classes"]} == {200}
    assert sharp["verdict"]["calibration"] == "fail"
    assert sharp["verdict"]["overall"] == "fail"
    assert "it must lie below +2.00" in sharp["verdict"]["calibration_reason"]
    assert "classes" not in sharp["verdict"]  # no limit was given


def test_gates_are_among_the_reasons(planted: ReportContent):
    text = render_markdown(planted)
    assert "- int8.onnx, calibration fail: ECE " in text
    assert planted.artifacts[2].verdict.value == "fail"
