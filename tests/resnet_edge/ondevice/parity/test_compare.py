from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import InferenceError, ReferenceFileError
from resnet_edge.ondevice.formats.kinds import ARTIFACT_KINDS, artifact_kind
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.measurements import ArtifactParity, ChangedPicture, Verdict
from resnet_edge.ondevice.parity.compare import (
    EvaluationSet,
    compare_artifact,
    probability_floor,
    unchecked_artifact,
)
from resnet_edge.ondevice.parity.gates import Gates

GATES = Gates()
NAMES = ("cat", "dog", "eel")
LABELS = np.array([0, 0, 1, 1, 2, 2])
# The reference has five of six right: the last eel is called a cat.
ANSWERS = np.array([0, 0, 1, 1, 2, 0])


def _probabilities(answers) -> np.ndarray:
    return (np.eye(3)[answers] * 0.6 + 0.4 / 3).astype(np.float32)


@pytest.fixture
def evaluation() -> EvaluationSet:
    names = tuple(f"{NAMES[label]}/{index}.png" for index, label in enumerate(LABELS))
    hashes = tuple(f"{index:064x}" for index in range(6))
    return EvaluationSet(_probabilities(ANSWERS), LABELS, NAMES, names, hashes)


def _compare(evaluation, probabilities, name="fp32.tflite") -> ArtifactParity:
    kind = artifact_kind(name)
    return compare_artifact(kind, "ab" * 32, "LiteRT 2.3", evaluation, probabilities, GATES)


def test_equal_answers_pass(evaluation):
    result = _compare(evaluation, evaluation.reference.copy())
    assert (result.name, result.sha256, result.runtime) == ("fp32.tflite", "ab" * 32, "LiteRT 2.3")
    assert (result.images, result.agreement, result.top5) == (6, 1.0, 1.0)
    assert result.top1 == pytest.approx(5 / 6)
    assert (result.max_abs_logit, result.sqnr_db, result.changed) == (0, math.inf, ())
    assert result.gate.verdict is Verdict.PASS


def test_changed_answers_by_hand(evaluation):
    # One picture lost (2), one gained (5)
    result = _compare(evaluation, _probabilities([0, 0, 2, 1, 2, 2]), "int8.tflite")
    assert result.top1 == pytest.approx(5 / 6)
    assert result.agreement == pytest.approx(4 / 6)
    assert [c.label for c in result.classes] == list(NAMES)
    assert [c.images for c in result.classes] == [2, 2, 2]
    assert [c.top1 for c in result.classes] == [1, 0.5, 1]
    assert [c.reference_top1 for c in result.classes] == [1, 1, 0.5]
    assert [c.agreement for c in result.classes] == [1, 0.5, 0.5]
    assert result.confusion == ((2, 0, 0), (0, 1, 1), (0, 0, 2))
    assert [c.picture for c in result.changed] == ["dog/2.png", "eel/5.png"]
    high = pytest.approx(0.6 + 0.4 / 3)
    first = ChangedPicture("dog/2.png", f"{2:064x}", "dog", "dog", "eel", high, high)
    assert result.changed[0] == first
    assert result.gate.verdict is Verdict.INCONCLUSIVE
    assert "(1 gained, 1 lost of 6)" in result.gate.reason


def test_logits_by_hand(evaluation):
    # The first picture's logits halved: every probability is a square root, scaled
    probabilities = evaluation.reference.astype(np.float64)
    probabilities[0] = np.sqrt(probabilities[0])
    probabilities[0] /= probabilities[0].sum()
    result = _compare(evaluation, probabilities)
    gap = math.log((0.6 + 0.4 / 3) / (0.4 / 3))  # logits are 2/3, -1/3 and -1/3 of it
    assert result.max_abs_logit == pytest.approx(gap / 3, rel=1e-5)
    assert result.logit_range == pytest.approx(gap, rel=1e-5)
    assert result.sqnr_db == pytest.approx(10 * math.log10(6 / 0.25), rel=1e-5)
    assert result.gate.verdict is Verdict.FAIL


def test_a_tie_is_a_changed_answer(evaluation):
    probabilities = evaluation.reference.copy()
    probabilities[0] = [0.5, 0.5, 0.0]
    probabilities[2] = 1 / 3
    result = _compare(evaluation, probabilities)
    assert [c.artifact_answer for c in result.changed] == ["cat or dog", "cat or dog or eel"]
    assert result.top1 == pytest.approx(3 / 6)
    assert result.confusion == ((1, 1, 0), (1, 1, 0), (1, 0, 1))


def test_nan_fails_and_is_listed(evaluation):
    probabilities = evaluation.reference.copy()
    probabilities[3, 1] = math.nan
    result = _compare(evaluation, probabilities, "int8.tflite")
    assert result.collapse == "NaN or infinity in the answers to 1 of 6 pictures"
    assert result.gate.verdict is Verdict.FAIL
    assert result.gate.reason == f"collapsed: {result.collapse}"
    assert [c.artifact_answer for c in result.changed] == ["no answer (NaN or infinity)"]
    assert math.isnan(result.sqnr_db)
    assert result.top1 == pytest.approx(4 / 6)


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx", "dynamic.tflite", "int8.onnx"])
def test_one_class_for_everything_fails(evaluation, name):
    result = _compare(evaluation, _probabilities([1] * 6), name)
    assert result.gate.verdict is Verdict.FAIL
    assert result.gate.reason == (
        "collapsed: one class for everything: the answer to all 6 pictures is 'dog'"
    )


def test_missing_answers_fail(evaluation):
    result = _compare(evaluation, evaluation.reference[:4])
    assert result.gate.verdict is Verdict.FAIL
    assert result.gate.reason == "collapsed: answers are missing: 4 answers to 6 pictures"
    assert math.isnan(result.top1)


def test_no_pictures_fail():
    nothing = np.zeros((0, 3), np.float32)
    empty = EvaluationSet(nothing, np.zeros(0, int), NAMES, (), ())
    result = _compare(empty, nothing)
    assert (result.images, result.gate.verdict) == (0, Verdict.FAIL)
    assert result.gate.reason == "collapsed: no pictures were answered"


def test_answers_of_other_classes_are_refused(evaluation):
    with pytest.raises(InferenceError, match=r"fp32.tflite: answers have shape \(6, 4\); expected"):
        _compare(evaluation, np.full((6, 4), 0.25))


def test_without_a_test_split_nothing_is_checked():
    result = unchecked_artifact(artifact_kind("fp32.tflite"), "ab", "LiteRT", "no test split")
    assert (result.images, result.collapse) == (0, None)
    assert result.gate.verdict is Verdict.NOT_CHECKED
    assert result.gate.reason == "not checked: no test split"
    assert math.isnan(result.top1)


def test_class_without_pictures_has_no_share(evaluation):
    few = replace(
        evaluation,
        reference=evaluation.reference[:4],
        labels=LABELS[:4],
        pictures=evaluation.pictures[:4],
        hashes=evaluation.hashes[:4],
    )
    result = _compare(few, few.reference)
    assert result.classes[2].images == 0
    assert math.isnan(result.classes[2].top1)


def test_confusion_is_left_out_with_many_classes():
    labels = np.arange(101)
    probabilities = np.eye(101) * 0.9 + 0.1 / 101
    names = tuple(str(label) for label in labels)
    result = _compare(EvaluationSet(probabilities, labels, names, names, names), probabilities)
    assert result.confusion == ()
    assert len(result.classes) == 101


def test_integer_softmax_is_compared_at_its_resolution():
    # 0 instead of 0.1 %: nothing that steps of 1/256 could tell, but 63 nats without a floor
    reference = np.array([[0.998, 0.001, 0.001], [0.001, 0.998, 0.001]])
    artifact = np.array([[255 / 256, 0, 0], [0, 255 / 256, 0]])
    evaluation = EvaluationSet(reference, np.array([0, 1]), NAMES, ("a", "b"), ("0", "1"))
    full = _compare(evaluation, artifact, "int8_full.tflite")
    assert full.max_abs_logit == pytest.approx(2 / 3 * math.log(0.998 * 256 / 255), rel=1e-6)
    assert full.sqnr_db > 60
    assert _compare(evaluation, artifact, "int8.tflite").max_abs_logit > 40


def test_floors():
    floors = {kind.name: probability_floor(kind) for kind in ARTIFACT_KINDS}
    assert floors.pop("int8_full.tflite") == 1 / 512
    assert set(floors.values()) == {1e-30}


def test_record_survives_its_file(evaluation, tmp_path: Path):
    probabilities = evaluation.reference.copy()
    probabilities[3, 1] = math.nan
    result = _compare(evaluation, probabilities, "int8.tflite")
    write_record(tmp_path / "parity.json", result)
    back = read_record(ArtifactParity, tmp_path / "parity.json", ReferenceFileError)
    assert repr(back) == repr(result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"reference": np.zeros((6, 4))},
            r"answers have shape \(6, 4\); expected \(6, 3\) for 6 pict",
        ),
        ({"labels": LABELS[:5]}, "5 labels and 6 hashes for 6 pictures; expected one each"),
        ({"hashes": ("a",)}, "6 labels and 1 hashes for 6 pictures; expected one each"),
        (
            {"labels": LABELS + 1},
            "labels from 1 to 3; expected 0 to 2; run `resnet-edge reference`",
        ),
        (
            {"reference": np.where(np.arange(18).reshape(6, 3) == 7, np.nan, 0.3)},
            "reference answers NaN or infinity to 1 of 6 pictures, first dog/2.png",
        ),
    ],
)
def test_bad_references_are_refused(evaluation, change, message):
    with pytest.raises(ReferenceFileError, match=message):
        replace(evaluation, **change)
