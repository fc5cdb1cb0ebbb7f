"""The gates of calibration and classes in `parity` and `report`, on a finished build."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hand_made import changed_gates

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import Options
from resnet_edge.steps.parity import parity
from resnet_edge.steps.report import report

LIMITS = Gates(max_ece_increase=1.0, max_class_loss=1.0)


def forget(options: Options) -> None:
    """Make the record one of an earlier version."""
    record = json.loads(options.layout.parity.read_text())
    for artifact in (*record["artifacts"], *record["elsewhere"]):
        for name in ("probabilities", "grown", "further_gates"):
            del artifact[name]
        for each in artifact["classes"]:
            del each["gained"], each["lost"]
    options.layout.parity.write_text(json.dumps(record))


def test_saved_answers_are_judged_and_nothing_is_run(options: Options, monkeypatch):
    monkeypatch.setattr("resnet_edge.steps.parity.compare_all", None)  # cannot be called
    compared = parity(replace(options, gates=LIMITS))
    assert not compared.rebuilt
    for artifact in compared.result.artifacts:
        assert [gate.name for gate in artifact.further_gates] == ["calibration", "classes"]
        assert {gate.result.verdict for gate in artifact.further_gates} == {Verdict.PASS}
    kept = json.loads(options.layout.parity.read_text())["gates"]
    assert (kept["max_ece_increase"], kept["max_class_loss"]) == (1.0, 1.0)


def test_report_judges_by_a_limit_without_a_model(options: Options):
    before = options.layout.parity.read_bytes()
    content = report(options, changes=changed_gates(max_class_loss=0.001)).content
    found = [row.further_gates[0].result.verdict for row in content.artifacts]
    assert set(found) == {Verdict.INCONCLUSIVE}  # a dozen pictures prove nothing
    assert content.verdict is Verdict.INCONCLUSIVE
    assert options.layout.parity.read_bytes() == before
    assert "classes inconclusive: not decided for blue" in (options.out / "report.md").read_text()


def test_a_record_of_an_earlier_version_is_made_again(options: Options):
    forget(options)
    assert "run <code>resnet-edge parity</code> again" in report(options).html.read_text()
    with pytest.raises(InferenceError, match="without the probabilities picture by picture, so o"):
        report(options, changes=changed_gates(max_ece_increase=0.1))
    compared = parity(options)
    assert compared.rebuilt
    assert all(artifact.probabilities for artifact in compared.result.artifacts)
    assert "resnet-edge parity</code> again" not in report(options).html.read_text()
