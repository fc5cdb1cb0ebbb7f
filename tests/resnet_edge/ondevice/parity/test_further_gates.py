"""The gates of calibration and classes: off by default, three verdicts, NaN never passes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hand_made import changed_gates
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import CLASSES, compare, evaluation_of, noisy, reference_logits

from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import (
    ClassResult,
    FurtherGate,
    GateResult,
    Interval,
    ParityResult,
    Verdict,
    combine_results,
)
from resnet_edge.ondevice.parity.compare import compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.further_gates import judge_further
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import (
    accuracy_gates,
    is_complete,
    judge_again,
    judge_parity_by,
)

BOTH = Gates(max_ece_increase=0.02, max_class_loss=0.05)


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(1)
    logits, labels = reference_logits(rng, 240)
    return evaluation_of(logits, labels), logits, noisy(rng, logits)


def result_of(*artifacts, gates=None) -> ParityResult:
    kept = accuracy_gates(gates or Gates())
    labels = tuple(f"class {number}" for number in range(CLASSES))
    return ParityResult("ab", "cd", 240, labels, 0.8, 1.0, artifacts, kept)


def test_off_by_default(planted):
    evaluation, _, answers = planted
    parity = compare(evaluation, answers, Gates())
    assert parity.further_gates == ()
    assert parity.answers_gate is parity.gate
    assert "max_ece_increase" not in accuracy_gates(Gates())
    assert accuracy_gates(BOTH)["max_class_loss"] == 0.05


def counted(*counts: tuple[int, int, int]) -> tuple[ClassResult, ...]:
    return tuple(
        ClassResult(f"class {place}", images, 0.9, 0.9, 0.9, gained=gained, lost=lost)
        for place, (images, gained, lost) in enumerate(counts)
    )


@pytest.mark.parametrize(
    ("counts", "limit", "verdict"),
    [
        # No change: z^2 / (n + z^2) with z of 95 % one-sided is 2.706 / 102.7 = 2.63 points
        ([(100, 0, 0)] * 5, 0.027, Verdict.PASS),
        ([(100, 0, 0)] * 5, 0.026, Verdict.INCONCLUSIVE),
        ([(100, 0, 0), (100, 0, 40)], 0.10, Verdict.FAIL),
        # Alone 22 of 100 would fail a limit of 13 points; of five classes one loses so much easier
        ([(100, 0, 22)], 0.15, Verdict.FAIL),
        ([(100, 0, 22), *[(100, 0, 0)] * 4], 0.15, Verdict.INCONCLUSIVE),
    ],
)
def test_classes(planted, counts, limit, verdict):
    parity = replace(compare(*planted[::2], Gates()), classes=counted(*counts))
    (gate,) = judge_further(parity, Gates(max_class_loss=limit))
    assert (gate.name, gate.result.verdict) == ("classes", verdict)


def test_the_words_of_the_classes(planted):
    parity = replace(compare(*planted[::2], Gates()), classes=counted((100, 1, 3), (50, 0, 0)))
    (gate,) = judge_further(parity, Gates(max_class_loss=0.01))
    assert gate.result.reason.startswith(
        "not decided for class 0, class 1: the worst of 2 classes is class 0 (1 gained, 3 lost of "
        "100): -2.00 points, simultaneous 90% interval -7.60 to "
    )
    assert "(class 0), and must lie above -1.00; needs about " in gate.result.reason


def test_pictures_that_decide_are_counted_over_all_classes(planted):
    # 100 pictures without any change need 2.706 / 0.02 - 2.706 = 132.6 in all, so 33 more; the
    # class is 100 of 240 pictures.
    parity = replace(compare(*planted[::2], Gates()), classes=counted((100, 0, 0), (140, 0, 0)))
    (gate,) = judge_further(parity, Gates(max_class_loss=0.02))
    assert gate.result.images_needed == math.ceil(33 * 240 / 100)


def test_calibration_has_three_verdicts(planted):
    evaluation, logits, answers = planted
    honest = compare(evaluation, answers, Gates())
    sharp = compare(evaluation, 4 * logits, Gates())
    for parity, limit, verdict in (
        (honest, 0.2, Verdict.PASS),
        (honest, 0.001, Verdict.INCONCLUSIVE),
        (sharp, 0.001, Verdict.FAIL),
    ):
        (gate,) = judge_further(parity, Gates(max_ece_increase=limit))
        assert (gate.name, gate.result.verdict) == ("calibration", verdict)
        assert gate.result.interval.confidence == 0.90
        assert (gate.result.images_needed is not None) == (verdict is Verdict.INCONCLUSIVE)
        assert f"it must lie below {100 * limit:+.2f}" in gate.result.reason


def test_nan_never_passes(planted):
    evaluation, _, answers = planted
    answers = answers.copy()
    answers[3, 1] = math.nan
    parity = compare(evaluation, answers, BOTH)
    assert parity.probabilities is None
    assert [gate.result.verdict for gate in parity.further_gates] == [Verdict.FAIL] * 2
    assert parity.further_gates[0].result.reason.startswith("collapsed: NaN or infinity in the ans")
    again = judge_again(result_of(parity), BOTH)
    assert repr(again.artifacts) == repr((parity,))  # which has figures that are NaN


def test_missing_answers_fail_and_no_test_split_is_not_checked(planted):
    evaluation, _, _ = planted
    kind = artifact_kind("int8.tflite")
    few = compare_artifact(kind, "ab", "x", evaluation, evaluation.reference[:9], BOTH)
    assert [gate.result.verdict for gate in few.further_gates] == [Verdict.FAIL] * 2
    nothing = unchecked_artifact(kind, "ab", "none", "no test split")
    assert [gate.result.verdict for gate in judge_further(nothing, BOTH)] == [
        Verdict.NOT_CHECKED
    ] * 2


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 0.99), st.floats(0, 3))
def test_saved_answers_are_judged_as_fresh_ones(increase, loss, confidence, noise):
    rng = np.random.default_rng(2)
    logits, labels = reference_logits(rng, 60)
    evaluation, answers = evaluation_of(logits, labels), noisy(rng, logits, noise)
    gates = Gates(max_ece_increase=increase, max_class_loss=loss, confidence=confidence)
    saved = result_of(compare(evaluation, answers, Gates()))
    read = from_json(ParityResult, to_json(saved), "x", InferenceError)
    assert is_complete(read)
    again = judge_again(read, gates)
    assert again.artifacts[0].further_gates == compare(evaluation, answers, gates).further_gates
    written = from_json(ParityResult, to_json(again), "x", InferenceError)
    assert written == again
    assert judge_again(written, Gates()).artifacts[0].further_gates == ()


def test_records_of_an_earlier_version(planted):
    parity = compare(*planted[::2], Gates())
    record = to_json(result_of(parity))
    for name in ("probabilities", "grown", "further_gates"):
        del record["artifacts"][0][name]
    for each in record["artifacts"][0]["classes"]:
        del each["gained"], each["lost"]
    old = from_json(ParityResult, record, "x", InferenceError)
    assert not is_complete(old)
    assert judge_again(old, Gates(int8_accuracy=0.5)) is not None
    for changes, what in (
        (changed_gates(max_ece_increase=0.1), "the probabilities picture by picture, "),
        (changed_gates(max_class_loss=0.1), "the pictures that each class lost, "),
    ):
        with pytest.raises(InferenceError) as caught:
            judge_parity_by(old, changes, "parity.json")
        words = str(caught.value)
        assert words.startswith(f"parity.json: an earlier version wrote it, without {what}")
        assert words.endswith("so other gates cannot judge it; run `resnet-edge parity` again")


@pytest.mark.parametrize("name", ["max_ece_increase", "max_class_loss"])
@pytest.mark.parametrize("value", [-0.1, 2.0, math.nan])
def test_limits_are_validated(name, value):
    flag = "--" + name.replace("_", "-")
    with pytest.raises(UsageError, match=f"^{flag}: got {value}; expected a share from 0 to 1"):
        Gates(**{name: value})


def test_gates_are_combined():
    accuracy = GateResult(Verdict.PASS, "fine", Interval(-0.01, 0.01, 0.9))
    open_gate = GateResult(Verdict.INCONCLUSIVE, "unclear", images_needed=70)
    never = GateResult(Verdict.INCONCLUSIVE, "at the limit")
    failed = GateResult(Verdict.FAIL, "bad")
    assert combine_results(accuracy, ()) is accuracy
    calibration = FurtherGate("calibration", open_gate)
    one = combine_results(accuracy, (calibration,))
    assert (one.verdict, one.images_needed) == (Verdict.INCONCLUSIVE, 70)
    assert (one.reason, one.interval) == ("calibration: unclear", accuracy.interval)
    both = combine_results(accuracy, (calibration, FurtherGate("classes", never)))
    assert (both.reason, both.images_needed) == (
        "calibration: unclear; classes: at the limit",
        None,
    )
    worst = combine_results(accuracy, (calibration, FurtherGate("classes", failed)))
    assert (worst.verdict, worst.reason) == (Verdict.FAIL, "classes: bad")
