"""``report`` and ``run`` begin with the answer; the table and what failed come after it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.exporting.failures import Failure, keep_failures
from resnet_edge.layout import Layout
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    ClassResult,
    FurtherGate,
    GateResult,
    ParityResult,
    Verdict,
)
from resnet_edge.steps.parity import Compared
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


def test_run_begins_with_it_too(cli, undecided_build, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "resnet_edge.steps.run.run", lambda options, _: RunResult(report(options), ())
    )
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ran = cli("run", "--out", undecided_build.out, "--junit", junit)
    assert ran.code == 1, ran.err
    assert ElementTree.fromstring(junit.read_bytes()).get("tests") == "10"
    assert summary.read_text().startswith("## hand: fail\n")
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


def test_a_pipeline_gets_junit_and_a_summary(cli, undecided_build, tmp_path, monkeypatch):
    summary, junit = tmp_path / "summary.md", tmp_path / "reports" / "junit.xml"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ran = cli("report", "--out", undecided_build.out, "--junit", junit)
    assert ran.code == 1, ran.err
    root = ElementTree.fromstring(junit.read_bytes())
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("10", "2", "5")
    assert summary.read_text().startswith("## hand: fail\n")
    assert "- int8\\_full.tflite, accuracy fail: fail by hand" in summary.read_text()
    ran = cli("report", "--out", undecided_build.out, "--junit", junit, "--allow-inconclusive")
    root = ElementTree.fromstring(junit.read_bytes())
    assert (root.get("failures"), root.get("skipped")) == ("1", "6")
    assert summary.read_text().count("## hand: fail\n") == 2
    assert sorted(path.name for path in junit.parent.iterdir()) == ["junit.xml"]


def test_outside_of_github_there_is_no_summary(cli, undecided_build, tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    before = sorted(tmp_path.iterdir())
    assert cli("report", "--out", undecided_build.out).code == 1
    assert sorted(tmp_path.iterdir()) == before


def test_findings_stand_between_the_answer_and_the_table(cli, undecided_build):
    result = read_record(ParityResult, undecided_build.parity, InferenceError)
    hurt = ClassResult("cat", 500, 0.8, 0.9, 0.9, gained=0, lost=50)
    artifacts = (replace(result.artifacts[0], classes=(hurt,)), *result.artifacts[1:])
    write_record(undecided_build.parity, replace(result, artifacts=artifacts))
    lines = cli("report", "--out", undecided_build.out).out.splitlines()
    assert lines[:2] == ANSWER
    assert lines[2].startswith(
        "Finding: fp32.tflite lost accuracy in class cat: 50 lost and 0 gain"
    )
    assert lines[3].startswith("┏")


def test_further_gates_need_what_the_record_lacks(cli, undecided_build):
    ran = cli("report", "--out", undecided_build.out, "--max-ece-increase", "0.02")
    assert ran.code == 1
    assert "earlier version wrote it, without the answers picture by picture" in ran.err


def test_parity_prints_findings_after_the_verdicts(cli, undecided_build, monkeypatch):
    result = read_record(ParityResult, undecided_build.parity, InferenceError)
    hurt = ClassResult("cat", 500, 0.8, 0.9, 0.9, gained=0, lost=50)
    limit = FurtherGate("classes", GateResult(Verdict.FAIL, "cat lost more than 5.00 points"))
    first = replace(result.artifacts[0], classes=(hurt,), further_gates=(limit,))
    compared = Compared(replace(result, artifacts=(first,)), rebuilt=False)
    monkeypatch.setattr("resnet_edge.steps.parity.parity", lambda options, _: compared)
    ran = cli("parity", "--out", undecided_build.out, "--max-class-loss", "0.05")
    assert ran.code == 1
    verdict, finding = ran.out.splitlines()
    assert verdict.split(maxsplit=1)[0] == "fp32.tflite"
    assert verdict.rstrip().endswith(" fail: classes: cat lost more than 5.00 points")
    assert finding.startswith("Finding: fp32.tflite lost accuracy in class cat: 50 lost and 0 gain")
