"""Saved results judged again: the same verdict as if everything had been run with these gates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hand_made import changed_gates
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    GateResult,
    Latency,
    Machine,
    ParityResult,
    Verdict,
)
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import (
    accuracy_gates,
    judge_again,
    judge_bench_by,
    judge_parity_by,
)

NAMES = ("cat", "dog", "eel")
LABELS = np.array([0, 1, 2] * 40)
EASY = Gates(fp32_agreement=0, fp32_max_logit=1, fp16_agreement=0, int8_accuracy=0.5)


def _probabilities(answers) -> np.ndarray:
    return (np.eye(3)[answers] * 0.6 + 0.4 / 3).astype(np.float32)


EVALUATION = EvaluationSet(
    _probabilities(LABELS),
    LABELS,
    NAMES,
    tuple(f"{row}.png" for row in range(120)),
    tuple(f"{row:064x}" for row in range(120)),
)


def _compare(name: str, wrong: int, gates: Gates) -> ArtifactParity:
    answers = LABELS.copy()
    answers[:wrong] = (answers[:wrong] + 1) % 3
    kind = artifact_kind(name)
    return compare_artifact(kind, "ab" * 32, "x", EVALUATION, _probabilities(answers), gates)


def _result(*artifacts: ArtifactParity, gates: Gates) -> ParityResult:
    return ParityResult("ab", "cd", 120, NAMES, 1.0, 1.0, artifacts, accuracy_gates(gates))


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["fp32.tflite", "fp16.onnx", "int8.tflite", "int16x8.tflite"]),
    st.integers(0, 120),
    st.builds(Gates, *(st.floats(0, 1) for _ in range(4)), confidence=st.floats(0.5, 0.99)),
)
def test_judged_again_is_as_if_compared_again(name, wrong, gates):
    saved = _result(_compare(name, wrong, Gates()), gates=Gates())
    read = from_json(ParityResult, to_json(saved), "x", InferenceError)
    again = judge_again(read, gates)
    assert again.artifacts[0].gate == _compare(name, wrong, gates).gate
    assert again.gates == accuracy_gates(gates)
    assert replace(again.artifacts[0], gate=saved.artifacts[0].gate) == replace(
        read.artifacts[0], gate=saved.artifacts[0].gate
    )


def test_collapse_stays_a_failure_by_any_gate():
    everything_a_cat = _probabilities(np.zeros(120, int))
    kind = artifact_kind("int8.tflite")
    missing = compare_artifact(kind, "ab", "x", EVALUATION, everything_a_cat[:9], Gates())
    collapsed = compare_artifact(kind, "ab", "x", EVALUATION, everything_a_cat, Gates())
    again = judge_again(_result(missing, collapsed, gates=Gates()), EASY)
    assert [each.gate.verdict for each in again.artifacts] == [Verdict.FAIL] * 2
    assert again.artifacts[0].gate.reason.startswith("collapsed: answers are missing: 9 answers")


def test_what_was_not_checked_stays_so():
    nothing = unchecked_artifact(artifact_kind("int8.tflite"), "ab", "none", "no test split")
    again = judge_again(_result(nothing, gates=Gates()), EASY)
    assert again.artifacts[0].gate.reason == "not checked: no test split"


def test_a_record_of_an_earlier_version_cannot_be_judged_again():
    old = replace(_compare("int8.tflite", 0, Gates()), answers=None)
    result = _result(old, gates=Gates())
    assert judge_again(result, EASY) is None
    assert judge_parity_by(result, changed_gates(max_p90_ms=3), "parity.json") is result
    with pytest.raises(InferenceError) as caught:
        judge_parity_by(result, changed_gates(int8_accuracy=0.98), "parity.json")
    assert str(caught.value) == (
        "parity.json: an earlier version wrote it, without the answers picture by picture, so "
        "other gates cannot judge it; run `resnet-edge parity` again"
    )


def test_gates_that_are_not_given_stay_as_they_were():
    mild = Gates(int8_accuracy=0.5)
    result = _result(_compare("fp16.onnx", 12, mild), _compare("int8.tflite", 12, mild), gates=mild)
    assert [each.gate.verdict for each in result.artifacts] == [Verdict.FAIL, Verdict.PASS]
    again = judge_parity_by(result, changed_gates(fp16_agreement=0.9), "parity.json")
    assert [each.gate.verdict for each in again.artifacts] == [Verdict.PASS, Verdict.PASS]
    assert (again.gates["fp16_agreement"], again.gates["int8_accuracy"]) == (0.9, 0.5)
    assert judge_parity_by(result, changed_gates(), "parity.json") is result


def test_a_gate_out_of_range():
    result = _result(_compare("int8.tflite", 0, Gates()), gates=Gates())
    with pytest.raises(UsageError, match=r"^--int8-accuracy: got 98.0; expected a share from 0 to"):
        judge_parity_by(result, changed_gates(int8_accuracy=98.0), "parity.json")
    with pytest.raises(UsageError, match=r"^--max-p90-ms: got nan; expected a finite number above"):
        judge_bench_by(_bench(), changed_gates(max_p90_ms=math.nan))


def _bench() -> BenchResult:
    machine = Machine("desk", "Linux", "x", (), 2, "3.11", {})
    latency = Latency("LiteRT", 1, (0.01,) * 70, 0.1, 0.1, 10**6, 5)
    gate = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")
    return BenchResult(machine, (ArtifactBench("fp32.onnx", "ab", 1, (latency,), gate),), 0.005)


def test_latencies_by_the_limits_that_were_given():
    bench = _bench()
    assert judge_bench_by(bench, changed_gates(int8_accuracy=0.9)) is bench
    verdicts = [
        judge_bench_by(bench, changes).artifacts[0].gate.verdict
        for changes in (
            *(changed_gates(max_p90_ms=11), changed_gates(max_p90_ms=9)),
            *(changed_gates(max_latency_ratio=2.5), changed_gates(max_latency_ratio=1.5)),
        )
    ]
    assert verdicts == [Verdict.PASS, Verdict.FAIL, Verdict.PASS, Verdict.FAIL]
