"""The comparison under a corruption, and the rule that judges all comparisons together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.kinds import ArtifactKind, Precision
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.measurements import GateResult, Verdict
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity import metrics
from resnet_edge.ondevice.parity.answers import record_answers
from resnet_edge.ondevice.parity.collapse import find_collapse
from resnet_edge.ondevice.parity.compare import EvaluationSet, probability_floor
from resnet_edge.ondevice.parity.gates import LATENCY_GATES, Gates, judge_accuracy, not_checked
from resnet_edge.ondevice.parity.judging import accuracy_gates, weigh
from resnet_edge.ondevice.parity.picture_figures import picture_figures
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference, CorruptionResult


def describe_reference(
    corruption: Corruption, answers_sha256: str, evaluation: EvaluationSet
) -> CorruptedReference:
    """Return the reference's figures under a corruption.

    Args:
        corruption: The corruption.
        answers_sha256: Hash of the file of its answers.
        evaluation: Those answers, with the labels; at least one.
    """
    figures = evaluation.figures
    return CorruptedReference(
        corruption=corruption,
        answers_sha256=answers_sha256,
        top1=float(figures.right.mean()),
        collapse=find_collapse(figures, evaluation.labels, evaluation.label_names),
    )


def compare_corrupted(
    kind: ArtifactKind,
    corruption: Corruption,
    evaluation: EvaluationSet,
    probabilities: npt.NDArray[np.floating],
    *,
    sha256: str,
    runtime: str,
    inputs_sha256: str,
) -> CorruptedParity:
    """Compare an artifact's answers with the reference's to the same corrupted pictures.

    Args:
        kind: The artifact.
        corruption: The corruption of the pictures.
        evaluation: Labels and the reference's answers.
        probabilities: The artifact's answers, ``(n, classes)``.
        sha256: The file's hash.
        runtime: Name and version of the runtime.
        inputs_sha256: As the record keeps it.

    Returns:
        The figures, not judged yet; see ``judge``.

    Raises:
        InferenceError: The answers have another shape than the reference's.
    """
    if probabilities.shape != evaluation.reference.shape:
        raise InferenceError(
            f"{kind.name} under {corruption.value}: answers have shape {probabilities.shape}; "
            f"expected {evaluation.reference.shape}; the file is of another model, export it again"
        )
    figures = picture_figures(probabilities, evaluation.labels)
    hits, right = figures.right, evaluation.figures.right
    agree = metrics.agreements(evaluation.reference, probabilities)
    floor = probability_floor(kind)
    bad = int(len(hits) - figures.finite.sum())
    return CorruptedParity(
        corruption=corruption,
        name=kind.name,
        sha256=sha256,
        runtime=runtime,
        inputs_sha256=inputs_sha256,
        images=len(hits),
        top1=float(hits.mean()),
        agreement=float(agree.mean()),
        sqnr_db=metrics.compare_logits(evaluation.reference, probabilities, floor).sqnr_db,
        unusable=f"NaN or infinity in {bad} of {len(hits)} answers" if bad else None,
        answers=record_answers(evaluation.order, hits, right, agree),
        gate=not_checked("not judged yet"),
    )


def judge(result: CorruptionResult, gates: Gates) -> CorruptionResult:
    """Judge every comparison by the rule of integer files, of whatever precision the file is.

    With many comparisons one fails by chance. A failure therefore has to hold with Bonferroni's
    correction: the chance that any of the m comparisons fails although every file holds the limit
    is at most the one-sided error of a single gate. A pass needs no correction, because a file
    passes only if every one of its comparisons does.

    Args:
        result: The comparisons.
        gates: ``int8_accuracy`` and ``confidence``.
    """
    together = replace(gates, confidence=1 - (1 - gates.confidence) / max(1, len(result.artifacts)))
    judged = tuple(
        replace(each, gate=_judge(each, result.reference_under(each.corruption), gates, together))
        for each in result.artifacts
    )
    return replace(result, artifacts=judged, gates=accuracy_gates(gates))


def _judge(
    parity: CorruptedParity, reference: CorruptedReference, gates: Gates, together: Gates
) -> GateResult:
    if parity.unusable is None and reference.collapse is not None:
        return not_checked(f"the reference itself does not answer: {reference.collapse}")
    evidence = weigh(parity.answers, parity.images, math.nan, math.nan, parity.unusable)
    alone = judge_accuracy(Precision.INT8, evidence, gates)
    if alone.verdict is not Verdict.FAIL:
        return alone
    return judge_accuracy(Precision.INT8, evidence, together)


def judge_by(result: CorruptionResult, changes: Changes[Gates], where: str) -> CorruptionResult:
    """Judge saved comparisons by the gates that were given; the others are those of the record.

    Args:
        result: The record.
        changes: The gates that were given.
        where: Named in errors: the file of the record.

    Raises:
        InferenceError: The record's gates are none.
    """
    if changes.names <= LATENCY_GATES:
        return result
    return judge(
        result, changes.of(from_json(Gates, result.gates, f"{where}: gates", InferenceError))
    )
