"""Reports of hundreds of classes: what is worst comes first, all is there to be searched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from planted import compare, evaluation_of, noisy, reference_logits, without_class

from resnet_edge.ondevice.measurements import ClassResult
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.reporting.class_table import MAX_CLASSES, MAX_GAINING, build_class_table
from resnet_edge.reporting.confused_table import PairCell, build_confused
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.report_json import report_json

CLASSES = 300
HOSTILE = "</script><b>&{{ page }}"
LONG = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"


@pytest.fixture(scope="module")
def parities():
    """An exact file, an honest one, and one that loses class 0 to class 1."""
    rng = np.random.default_rng(3)
    logits, labels = reference_logits(rng, 3000, CLASSES)
    evaluation = evaluation_of(logits, labels)
    names = (HOSTILE, LONG, *evaluation.label_names[2:])
    evaluation = replace(evaluation, label_names=names)
    files = (logits, noisy(rng, logits, 0.8), without_class(rng, logits, labels, 1.0))
    kinds = ("fp32.tflite", "int8.tflite", "int8.onnx")
    return [
        compare(evaluation, answers, Gates(), name)
        for answers, name in zip(files, kinds, strict=True)
    ]


@pytest.fixture
def many(content: ReportContent, row, parities) -> ReportContent:
    rows = [row(parity.name) for parity in parities]
    labels = tuple(each.label for each in parities[0].classes)
    return replace(
        content,
        model=replace(content.model, labels=labels),
        reference=replace(content.reference, confusion=None),
        artifacts=tuple(
            ArtifactRow(
                replace(hand.sidecar, labels=labels), replace(p, sha256=hand.sidecar.sha256), None
            )
            for hand, p in zip(rows, parities, strict=True)
        ),
    )


def test_the_worst_come_first_the_best_second_then_all(many: ReportContent):
    table = build_class_table(many)
    assert (table.same, table.artifacts) == (("fp32.tflite",), ("int8.tflite", "int8.onnx"))
    assert len(table.rows) == MAX_CLASSES
    assert len(table.gaining) == MAX_GAINING
    assert len(table.every) == table.classes == CLASSES
    assert table.every[:MAX_CLASSES] == table.rows
    assert table.rows[0].label == HOSTILE
    losses = [float(each.loss.replace("−", "-")) for each in table.every]
    assert losses == sorted(losses)
    assert all(any(cell.change > 0 for cell in each.cells) for each in table.gaining)


def test_few_classes_have_neither_list_nor_script(content: ReportContent, row):
    labels = tuple(f"class {number}" for number in range(MAX_CLASSES))
    classes = tuple(ClassResult(label, 10, 0.95, 0.9, 1.0) for label in labels)
    few = replace(
        content,
        model=replace(content.model, labels=labels),
        reference=None,
        artifacts=(row("int8.onnx", labels, classes=classes),),
    )
    table = build_class_table(few)
    assert (table.gaining, table.every) == ((), ())
    assert build_confused(few) is None
    page = render_html(few)
    for word in ("<script", "script-src", 'class="many"', 'class="searchable"'):
        assert word not in page
    assert "Accuracy by class" not in render_markdown(few)


def test_confused_pairs_of_all_artifacts(many: ReportContent):
    table = build_confused(many)
    assert (table.same, table.artifacts) == (("fp32.tflite",), ("int8.tflite", "int8.onnx"))
    counts = [int(each.reference) for each in table.rows]
    assert counts == sorted(counts, reverse=True)
    recorded = many.artifacts[1].parity.confused
    for line, pair in zip(table.rows, recorded, strict=True):
        assert (line.label, line.answer) == (pair.label, pair.answer)
        change = int(np.sign(pair.after - pair.before))
        assert line.cells[0] == PairCell(str(pair.after), change)


def test_records_of_an_earlier_version_have_no_pairs(many: ReportContent):
    rows = tuple(replace(r, parity=replace(r.parity, confused=None)) for r in many.artifacts)
    old = replace(many, artifacts=rows)
    assert build_confused(old) is None
    assert "Most confused classes" not in render_html(old)


def test_the_policy_allows_this_script_and_no_other(many: ReportContent):
    page = render_html(many)
    (code,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.replace("&#39;", "'") == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'"
    )
    assert "innerHTML" not in code
    assert "&lt;/script&gt;&lt;b&gt;&amp;{{ page }}" in page


def test_all_classes_are_in_the_page_without_the_script(many: ReportContent):
    page = render_html(many)
    listed = page[page.index('<details class="searchable">') :]
    listed = listed[: listed.index("</details>")]
    assert "<summary>All 300 classes</summary>" in listed
    assert '<form class="search" role="search" hidden>' in listed  # until the script shows it
    assert listed.count("<tr>") == 1 + CLASSES
    assert f"<bdi>{LONG}</bdi>" in listed
    assert listed.count("<td") == CLASSES * 5
    assert len(page) < 500_000


def test_matrices_of_so_many_are_left_out(many: ReportContent):
    page = render_html(many)
    assert 'id="confusion"' not in page
    assert '<a href="#confused">' in page
    assert "<h2>Most confused classes</h2>" in page
    assert "These artifacts give all of them as often as the reference: fp32.tflite." in page


def test_markdown_has_what_changed_most(many: ReportContent):
    text = render_markdown(many)
    assert "Top-1 of each class; `report.json` has all 300." in text
    losing = text[text.index("### Classes that lose most") :]
    losing = losing[: losing.index("### Classes that gain most")]
    assert losing.count("\n| ") == 2 + MAX_CLASSES
    assert "## Most confused classes" in text
    assert HOSTILE not in text
    assert len(text) < 60_000


def test_json_has_every_class(many: ReportContent):
    changes = json.loads(json.dumps(report_json(many), allow_nan=False))["artifacts"][2]["changes"]
    assert len(changes["classes"]) == CLASSES
    assert len(changes["most_confused"]) == 20
    assert set(changes["most_confused"][0]) == {"label", "answer", "before", "after"}
