"""``report`` and ``run`` begin with the answer; the table and what failed come after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.exporting.failures import Failure, keep_failures
from resnet_edge.layout import Layout
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ArtifactParity, ParityResult
from resnet_edge.steps.report import report
from resnet_edge.steps.run import RunResult

ANSWER = [
    "Take int8.onnx: the fastest here of those that are proven (29.5 ms a picture with 2 threads, "
    "24.2 MB).",
    "Not yet proven, and not refuted: int8.tflite. 1,000 test pictures are too few to tell; about "
    "310 more would decide.",
]
HEADLINE = (
    "1 of 5 failed: int8_full.tflite. 1 of 5 cannot be judged with so few test pictures: "
    "int8.tflite."
)


@pytest.fixture
def undecided_build(measured_build: Layout) -> Layout:
    """A build whose ``int8.tflite`` needs 310 more pictures, and whose ``int8_full`` failed."""

    def needing(artifact: ArtifactParity) -> ArtifactParity:
        if artifact.name != "int8.tflite":
            return artifact
        return replace(artifact, gate=replace(artifact.gate, images_needed=310))

    result = read_record(ParityResult, measured_build.parity, InferenceError)
    artifacts = tuple(needing(artifact) for artifact in result.artifacts)
    write_record(measured_build.parity, replace(result, artifacts=artifacts))
    return measured_build


def test_report_begins_with_the_file_to_take_and_the_pictures_that_decide(cli, undecided_build):
    ran = cli("report", "--out", undecided_build.out)
    assert ran.code == 1, ran.err
    lines = ran.out.splitlines()
    assert lines[:2] == ANSWER
    assert lines[2].startswith("┏")
    assert " artifact " in lines[3]
    assert lines[-2:] == [HEADLINE, f"report: {undecided_build.out / 'report.html'}"]


def test_run_begins_with_it_too(cli, undecided_build, monkeypatch):
    monkeypatch.setattr(
        "resnet_edge.steps.run.run", lambda options, _: RunResult(report(options), ())
    )
    ran = cli("run", "--out", undecided_build.out)
    assert ran.code == 1, ran.err
    lines = ran.out.splitlines()
    assert lines[:2] == ANSWER
    assert lines[2].startswith("┏")
    assert lines[-1] == f"report: {undecided_build.out / 'report.html'}"


def test_what_could_not_be_made_follows_the_table(cli, undecided_build):
    failed = (Failure("fp16.onnx", "layer 'stem': no such operator"),)
    keep_failures(undecided_build.failures, "0" * 64, ("fp16.onnx",), failed)
    assert undecided_build.failures.exists()
    lines = cli("report", "--out", undecided_build.out).out.splitlines()
    assert "could not be made" not in "".join(lines)  # of another model
    keep_failures(undecided_build.failures, "ab" * 32, ("fp16.onnx",), failed)
    ran = cli("report", "--out", undecided_build.out)
    lines = ran.out.splitlines()
    assert lines[:2] == ANSWER
    assert lines[-4].startswith("└")
    assert lines[-3:] == [
        "fp16.onnx could not be made: layer 'stem': no such operator",
        f"fp16.onnx could not be made. {HEADLINE}",
        f"report: {undecided_build.out / 'report.html'}",
    ]
    assert ran.code == 1
