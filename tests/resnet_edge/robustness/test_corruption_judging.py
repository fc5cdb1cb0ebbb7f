"""Verdicts under corruptions: the rule, its correction for many, and how often it errs."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.compare import EvaluationSet
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.interval import accuracy_interval
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.judging import compare_corrupted, describe_reference, judge, judge_by
from resnet_edge.robustness.record import CorruptionResult

PAIR = 0.9, 0.1


def answers_of(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities of two classes that are right where ``right``."""
    answers = np.where(right, labels, 1 - labels)
    return np.where(answers[:, None] == np.arange(2), *PAIR).astype(np.float32)


def evaluation_of(reference_right: np.ndarray) -> EvaluationSet:
    count = len(reference_right)
    labels = np.arange(count) % 2
    return EvaluationSet(
        reference=answers_of(reference_right, labels),
        labels=labels,
        label_names=("cat", "dog"),
        pictures=tuple(f"{i}.png" for i in range(count)),
        hashes=tuple(f"{i:064x}" for i in range(count)),
    )


def result_of(
    images: int, reference_right: int, lost: int, gained: int = 0, comparisons: int = 1
) -> CorruptionResult:
    """A file under ``dark`` that loses and gains answers, among others that are the reference's."""
    rows = np.arange(images)
    evaluation = evaluation_of(rows < reference_right)
    right = (rows >= lost) & (rows < reference_right + gained)
    made = []
    for number in range(comparisons):
        own = answers_of(right, evaluation.labels) if number == 0 else evaluation.reference
        made.append(
            compare_corrupted(
                artifact_kind("int8.onnx"),
                Corruption.DARK,
                evaluation,
                own,
                sha256="ab" * 32,
                runtime="onnxruntime 9",
                inputs_sha256=str(number),
            )
        )
    reference = describe_reference(Corruption.DARK, "cd" * 32, evaluation)
    return CorruptionResult("ef" * 32, (reference,), tuple(made))


def test_figures():
    result = result_of(400, 320, lost=40, gained=4)
    (found,), (reference,) = result.artifacts, result.references
    assert (reference.top1, reference.collapse) == (0.8, None)
    assert (found.images, found.top1, found.agreement) == (400, 284 / 400, 356 / 400)
    # Where answers differ the two logits are exchanged: an error of twice the signal, in 44 of 400.
    assert found.sqnr_db == pytest.approx(10 * math.log10(400 / (4 * 44)), abs=1e-5)
    assert found.unusable is None


def test_a_large_loss_fails_and_an_honest_file_passes():
    (bad,) = judge(result_of(400, 320, lost=40), Gates()).artifacts
    assert bad.gate.verdict is Verdict.FAIL
    assert bad.gate.reason.startswith(
        "top-1 70.00%, reference 80.00% (0 gained, 40 lost of 400): difference -10.00 points, "
        "90% interval -12.7"
    )
    assert bad.gate.reason.endswith("must lie above -0.80 (99.0% of the reference's accuracy)")
    (good,) = judge(result_of(400, 320, lost=0), Gates()).artifacts
    assert good.gate.verdict is Verdict.PASS


def test_a_loss_that_one_of_many_has_by_chance_is_not_decided():
    # 12 lost and 2 gained of 400 lie below the limit with 95 % confidence, but not with the 99.83 %
    # that each of 30 comparisons needs for 95 % in all.
    alone, many = (result_of(400, 320, 12, 2, comparisons=n) for n in (1, 30))
    assert judge(alone, Gates()).artifacts[0].gate.verdict is Verdict.FAIL
    first, *others = judge(many, Gates()).artifacts
    assert first.gate.verdict is Verdict.INCONCLUSIVE
    assert "99.67% interval" in first.gate.reason
    assert "more pictures" in first.gate.reason
    assert {each.gate.verdict for each in others} == {Verdict.PASS}  # by the ordinary interval
    assert judge(result_of(400, 320, 40, comparisons=30), Gates()).failed[0].inputs_sha256 == "0"


def test_a_reference_that_guesses_is_no_measure():
    result = result_of(400, 200, lost=60)
    assert result.references[0].collapse.startswith("chance level: 200 of 400 pictures are right")
    (found,) = judge(result, Gates()).artifacts
    assert found.gate.verdict is Verdict.NOT_CHECKED
    assert found.gate.reason.startswith("not checked: the reference itself does not answer: chance")


def test_no_answers_fail_whatever_the_reference_does():
    evaluation = evaluation_of(np.arange(40) < 20)
    broken = evaluation.reference.copy()
    broken[3] = np.nan
    made = compare_corrupted(
        *(artifact_kind("fp16.onnx"), Corruption.NOISE, evaluation, broken),
        **{"sha256": "ab" * 32, "runtime": "onnxruntime 9", "inputs_sha256": "0"},
    )
    reference = describe_reference(Corruption.NOISE, "cd" * 32, evaluation)
    (found,) = judge(CorruptionResult("ef" * 32, (reference,), (made,)), Gates()).artifacts
    assert found.gate.verdict is Verdict.FAIL
    assert found.gate.reason == "collapsed: NaN or infinity in 1 of 40 answers"
    assert math.isnan(found.sqnr_db)


def test_answers_of_another_model():
    evaluation = evaluation_of(np.arange(40) < 20)
    with pytest.raises(InferenceError) as caught:
        compare_corrupted(
            *(artifact_kind("fp32.onnx"), Corruption.JPEG, evaluation, np.zeros((40, 3))),
            **{"sha256": "", "runtime": "", "inputs_sha256": ""},
        )
    assert str(caught.value) == (
        "fp32.onnx under jpeg: answers have shape (40, 3); expected (40, 2); the file is of "
        "another model, export it again"
    )


def test_other_gates_judge_what_is_saved():
    result = judge(result_of(400, 320, lost=40), Gates())
    lax = Changes(Gates(int8_accuracy=0.8), frozenset({"int8_accuracy"}))
    assert judge_by(result, lax, "here").artifacts[0].gate.verdict is Verdict.PASS
    speed = Changes(Gates(max_p90_ms=1.0), frozenset({"max_p90_ms"}))
    assert judge_by(result, speed, "here") is result


def test_a_record_says_what_it_was_compared_with():
    result = result_of(40, 30, 0)
    with pytest.raises(ValueError, match=r"^int8.onnx under dark: got 0 references; expected one$"):
        replace(result, references=())
    with pytest.raises(ValueError, match="got 2 references"):
        replace(result, references=result.references * 2)
    with pytest.raises(ValueError, match=r"right: 10 hexadecimal digits; expected 12 for 41 pic"):
        replace(result.artifacts[0], images=41)
    filled = replace(result.artifacts[0].answers, right="ff" * 5)
    with pytest.raises(ValueError, match=r"^answers: right: marks more than 38 pictures$"):
        replace(result.artifacts[0], answers=filled, images=38)


# -- How often an honest file is accused

COMPARISONS, IMAGES, TOP1 = 30, 400, 0.7  # six files under five corruptions


@functools.cache
def highest(gained: int, lost: int) -> float:
    """The upper end of the difference's interval, at the confidence of one of all comparisons."""
    return accuracy_interval(gained, lost, IMAGES, 1 - (1 - 0.9) / COMPARISONS).high


def fails(gained: int, lost: int, reference_hits: int) -> bool:
    """The rule of ``judge``, by counts."""
    return highest(gained, lost) < -0.01 * reference_hits / IMAGES


def test_the_rule_of_the_simulation_is_that_of_the_product():
    for lost in (20, 24, 28):
        result = result_of(IMAGES, 280, lost, 5, comparisons=COMPARISONS)
        verdict = judge(result, Gates()).artifacts[0].gate.verdict
        assert (verdict is Verdict.FAIL) == fails(5, lost, 280), lost


def accused(loss: float, churn: float, builds: int) -> float:
    """The share of builds with any failure; files gain ``churn`` and lose ``loss`` more."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(builds):
        gained, lost, right, _ = rng.multinomial(
            IMAGES, [churn, churn + loss, TOP1 - churn - loss, 1 - TOP1 - churn], COMPARISONS
        ).T
        counts = zip(gained.tolist(), lost.tolist(), (lost + right).tolist(), strict=True)
        found += any(fails(*each) for each in counts)
    return found / builds


def test_honest_files_are_hardly_ever_accused():
    """As accurate as the reference: under 1 % of builds. At the very limit: under 5 %."""
    assert accused(loss=0.0, churn=0.02, builds=1000) <= 0.01
    assert accused(loss=0.01 * TOP1, churn=0.02, builds=1000) <= 0.05


def test_files_that_lose_much_are_accused():
    assert accused(loss=0.08, churn=0.02, builds=50) == 1.0
