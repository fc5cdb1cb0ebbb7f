"""Planted files are caught, honest ones are not accused; both by findings and by gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import compare, evaluation_of, noisy, reference_logits, without_class

from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.parity.findings import find_harm
from resnet_edge.ondevice.parity.gates import Gates

GATES = Gates(int8_accuracy=0.9, max_ece_increase=0.02, max_class_loss=0.1)
PICTURES = 1600


def verdicts(parity) -> dict[str, Verdict]:
    return {gate.name: gate.result.verdict for gate in parity.further_gates}


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_file_is_not_accused(seed):
    rng = np.random.default_rng(seed)
    logits, labels = reference_logits(rng, PICTURES)
    parity = compare(evaluation_of(logits, labels), noisy(rng, logits), GATES)
    assert find_harm(parity) == ()
    assert Verdict.FAIL not in verdicts(parity).values()


def test_sharpened_logits_are_miscalibrated_though_top1_is_the_same():
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, PICTURES)
    parity = compare(evaluation_of(logits, labels), 2 * logits, GATES)
    assert (parity.agreement, parity.gate.verdict) == (1.0, Verdict.PASS)
    (finding,) = find_harm(parity)
    assert finding.startswith("int8.tflite is worse calibrated than the reference: ECE ")
    assert "; its confidence is " in finding
    assert " points higher (95% interval +" in finding
    assert verdicts(parity) == {"calibration": Verdict.FAIL, "classes": Verdict.PASS}
    assert parity.answers_gate.verdict is Verdict.FAIL
    assert parity.answers_gate.reason.startswith("calibration: ECE ")
    assert "; it must lie below +2.00" in parity.answers_gate.reason


def test_a_reference_that_is_not_sure_enough_hides_nothing():
    # From too unsure to too sure: the ECE hardly moves.
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, PICTURES, sharpness=0.5)
    parity = compare(evaluation_of(logits, labels), 4.5 * logits, Gates())
    (finding,) = find_harm(parity)
    assert finding.startswith("int8.tflite is surer than the reference: its confidence is ")
    assert finding.endswith("; a limit on it means something else.")


def test_a_file_that_hurts_one_class_is_caught():
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, PICTURES)
    hurt = without_class(rng, logits, labels)
    parity = compare(evaluation_of(logits, labels), hurt, GATES)
    finding = find_harm(parity, "int8.tflite on the phone")[0]
    assert finding.startswith("int8.tflite on the phone lost accuracy in class class 0: ")
    assert " of 200 pictures, -" in finding
    assert "(simultaneous 95% interval -" in finding
    assert verdicts(parity)["classes"] is Verdict.FAIL
    reason = next(g.result.reason for g in parity.further_gates if g.name == "classes")
    assert reason.startswith("class 0 lost more than 10.00 points; the worst of 8 classes is class")
    assert parity.grown[0].label == "class 0"
    assert parity.grown[0].answer == "class 1"
    assert parity.grown[0].after > parity.grown[0].before


def test_more_classes_than_can_be_named_are_counted():
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, PICTURES)
    wrong = logits.copy()
    wrong[labels < 5, 7] += 9
    found = find_harm(compare(evaluation_of(logits, labels), wrong, Gates()))
    assert sum("lost accuracy in class class" in words for words in found) == 3
    assert "int8.tflite lost accuracy in 2 more classes." in found


def test_a_collapse_is_for_the_verdict_to_say():
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, 800)
    nothing = np.zeros_like(logits)
    nothing[:, 0] = 9
    parity = compare(evaluation_of(logits, labels), nothing, GATES)
    assert parity.collapse.startswith("one class for everything")
    assert (find_harm(parity), parity.answers_gate.verdict) == ((), Verdict.FAIL)


def test_records_of_an_earlier_version_accuse_nobody():
    rng = np.random.default_rng(0)
    logits, labels = reference_logits(rng, 80)
    parity = compare(evaluation_of(logits, labels), 3 * logits, Gates())
    old = replace(parity, probabilities=None, grown=None, classes=())
    assert find_harm(old) == ()
