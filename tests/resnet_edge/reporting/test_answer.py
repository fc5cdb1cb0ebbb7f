"""The first words: the file to take, and the number of pictures that would prove the others."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from resnet_edge.exporting.failures import Failure
from resnet_edge.ondevice.measurements import GateResult, Machine, Verdict
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.report_json import report_json
from resnet_edge.reporting.tables import headline

MACHINE = Machine("here", "Linux", "x86_64", ("avx2",), 2, "3.11", {})


@pytest.fixture
def made(content, row, bench, latency):
    """A report of artifacts, each with a verdict, a need of pictures and a median in ms."""

    def make(*rows: tuple[str, Verdict, int | None, float]):
        found = []
        for name, verdict, need, p50_ms in rows:
            gate = GateResult(verdict, "by hand", None, need)
            timed = () if math.isnan(p50_ms) else (latency(p50_ms),)
            measured = dataclasses.replace(bench(name), latencies=timed)
            found.append(dataclasses.replace(row(name, gate=gate), bench=measured))
        return dataclasses.replace(content, artifacts=tuple(found), machine=MACHINE, devices=())

    return make


PASS, OPEN, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL


def test_the_fastest_that_is_proven_and_the_pictures_that_decide_the_others(made):
    content = made(
        ("fp32.tflite", PASS, None, 8.0),
        ("fp32.onnx", PASS, None, 6.0),
        ("int8.tflite", OPEN, 120, 2.0),
        ("int8_full.tflite", OPEN, 1310, 2.0),
        ("int8.onnx", OPEN, None, 2.0),
        ("dynamic.tflite", FAIL, None, 3.0),
    )
    answer = find_answer(content)
    assert answer.sentences == (
        "Take fp32.onnx: the fastest here of those that are proven (6.00 ms a picture with 1 "
        "thread, 25.6 MB).",
        "Not yet proven, and not refuted: int8.tflite and int8_full.tflite. 20 test pictures are "
        "too few to tell; about 1,310 more would decide.",
        "Neither proven nor refuted: int8.onnx. The accuracy lies so near its limit that no number "
        "of pictures would decide at these rates; 20 test pictures were asked.",
    )
    markdown, page = render_markdown(content), render_html(content)
    for sentence in answer.sentences:
        assert sentence in markdown.replace("\\_", "_")
        assert sentence in page
    assert markdown.index("Take fp32.onnx") < markdown.index("1 of 6 failed")
    data = report_json(content)
    assert data["take"] == "fp32.onnx"
    assert data["undecided"] == [
        {"names": ["int8.tflite", "int8_full.tflite"], "images": 20, "images_needed": 1310},
        {"names": ["int8.onnx"], "images": 20, "images_needed": None},
    ]


def test_noise_hides_which_one_is_the_fastest(made):
    content = made(("fp32.tflite", PASS, None, 6.0), ("fp32.onnx", PASS, None, 6.05))
    assert find_answer(content).take_words == (
        "Take fp32.onnx: proven, and as fast here as fp32.tflite (6.00 ms) within the noise of the "
        "timings (6.05 ms a picture with 1 thread, 25.6 MB)."
    )


def test_one_file_that_is_proven(made):
    assert find_answer(made(("fp32.onnx", PASS, None, 6.0))).sentences == (
        "Take fp32.onnx: proven (6.00 ms a picture with 1 thread, 25.6 MB).",
    )
    two = made(("fp32.onnx", PASS, None, 6.0), ("int8.onnx", FAIL, None, 1.0))
    assert find_answer(two).take_words.startswith(
        "Take fp32.onnx: the only artifact that is proven"
    )


def test_without_latencies_the_smallest(made):
    content = made(("fp32.onnx", PASS, None, math.nan), ("fp32.tflite", PASS, None, math.nan))
    assert find_answer(content).take_words == (
        "Take fp32.onnx: the smallest that is proven, 25.6 MB. It was not timed."
    )


def test_nothing_is_proven(made):
    answer = find_answer(made(("int8.onnx", OPEN, 12, 6.0)))
    assert answer.take is None
    assert answer.sentences[0] == "No artifact is proven yet, so none can be recommended."


def test_what_could_not_be_made_is_a_failure_that_is_named(made):
    content = made(("fp32.onnx", PASS, None, 6.0))
    assert content.verdict is PASS
    failed = (Failure("int8.onnx", "layer 'stem': no such operator"),)
    content = dataclasses.replace(content, failed=failed)
    assert content.verdict is FAIL
    assert headline(content) == "int8.onnx could not be made."
    note = "int8.onnx could not be made: layer 'stem': no such operator"
    assert derive_notes(content)[0] == note
    assert note in render_markdown(content)
    assert "layer &#39;stem&#39;: no such operator" in render_html(content)
    assert json.loads(json.dumps(report_json(content)))["failed"] == [
        {"name": "int8.onnx", "reason": "layer 'stem': no such operator"}
    ]


@pytest.mark.parametrize(
    ("verdicts", "named"), [((FAIL, FAIL), True), ((FAIL, OPEN), False), ((FAIL, PASS), False)]
)
def test_where_all_are_too_slow_the_way_to_a_smaller_network_is_named(made, verdicts, named):
    content = made(("fp32.onnx", PASS, None, 9.0), ("int8.onnx", PASS, None, 8.0))
    rows = [
        dataclasses.replace(
            row, bench=dataclasses.replace(row.bench, gate=GateResult(verdict, "by hand"))
        )
        for row, verdict in zip(content.artifacts, verdicts, strict=True)
    ]
    words = find_answer(dataclasses.replace(content, artifacts=tuple(rows))).take_words
    assert ("`resnet-edge compress` looks for a network within it" in words) is named


def test_wrong_answers_are_no_matter_of_speed(made):
    content = made(("int8.onnx", FAIL, None, 8.0))
    assert "compress" not in find_answer(content).take_words
