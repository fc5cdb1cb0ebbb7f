"""New verdicts on saved results, by other gates; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    BenchResult,
    ParityResult,
    PictureAnswers,
    Verdict,
)
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.answers import count_ones, count_only
from resnet_edge.ondevice.parity.further_gates import judge_further, lacks
from resnet_edge.ondevice.parity.gates import (
    LATENCY_GATES,
    Evidence,
    Gates,
    judge_accuracy,
    judge_latency,
)

AS_JUDGED = Changes(Gates(), frozenset())
"""No change: verdicts as the results have them."""


def accuracy_gates(gates: Gates) -> dict[str, float]:
    """Return the gates of accuracy as ``ParityResult.gates`` keeps them: those that are on."""
    given = {name: value for name, value in asdict(gates).items() if value is not None}
    return {name: value for name, value in given.items() if name not in LATENCY_GATES}


def is_complete(result: ParityResult) -> bool:
    """Return True if the record holds all that this version records of the answers."""
    return all(
        None not in (parity.grown, parity.confused) or parity.answers is None
        for parity in (*result.artifacts, *result.elsewhere)
    )


def weigh(
    answers: PictureAnswers,
    images: int,
    max_abs_logit: float,
    logit_range: float,
    collapse: str | None,
) -> Evidence:
    """Count the figures that the gates judge.

    Args:
        answers: The right answers, picture by picture.
        images: Number of pictures.
        max_abs_logit: Largest difference of a logit from the reference's.
        logit_range: Range of the reference's logits.
        collapse: The reason why the answers are worthless; None if they are not.
    """
    return Evidence(
        images=images,
        agreeing=count_ones(answers.agrees),
        reference_hits=count_ones(answers.reference_right),
        gained=count_only(answers.right, answers.reference_right),
        lost=count_only(answers.reference_right, answers.right),
        max_abs_logit=max_abs_logit,
        logit_range=logit_range,
        collapse=collapse,
    )


def judge_again(result: ParityResult, gates: Gates) -> ParityResult | None:
    """Judge saved answers.

    Args:
        result: The record of ``parity``.
        gates: The limits to judge by.

    Returns:
        The same evidence with other verdicts; what was not checked stays so. None where the record
        does not hold what a gate needs: an earlier version wrote it. ``missing_words`` names it.
    """
    artifacts = _judge_all_again(result.artifacts, gates)
    elsewhere = _judge_all_again(result.elsewhere, gates)
    if artifacts is None or elsewhere is None:
        return None
    given = accuracy_gates(gates)
    return replace(result, artifacts=artifacts, elsewhere=elsewhere, gates=given)


def _judge_all_again(
    parities: Sequence[ArtifactParity], gates: Gates
) -> tuple[ArtifactParity, ...] | None:
    judged = []
    for parity in parities:
        again = _judge_again(parity, gates)
        if again is None:
            return None
        judged.append(again)
    return tuple(judged)


def missing_words(result: ParityResult, gates: Gates) -> str:
    """Return what a gate needs and an artifact's record has not; empty if it has everything."""
    found = (_missing(parity, gates) for parity in (*result.artifacts, *result.elsewhere))
    return next(filter(None, found), "")


def _missing(parity: ArtifactParity, gates: Gates) -> str:
    # Without answers there is nothing to judge where nothing was checked, or the answers collapsed.
    unchecked = parity.images == 0 and parity.gate.verdict is Verdict.NOT_CHECKED
    if parity.answers is None and not unchecked and parity.collapse is None:
        return "the answers picture by picture"
    return lacks(parity, gates)


def _judge_again(parity: ArtifactParity, gates: Gates) -> ArtifactParity | None:
    if _missing(parity, gates):
        return None
    parity = replace(parity, further_gates=judge_further(parity, gates))
    if parity.answers is not None:
        evidence = weigh(
            parity.answers,
            parity.images,
            parity.max_abs_logit,
            parity.logit_range,
            parity.collapse,
        )
        precision = artifact_kind(parity.name).precision
        return replace(parity, gate=judge_accuracy(precision, evidence, gates))
    return parity


def judge_parity_by(result: ParityResult, changes: Changes[Gates], where: str) -> ParityResult:
    """Judge saved answers by the gates that were given; the others are those of the record.

    Args:
        result: The record of ``parity``.
        changes: The gates that were given.
        where: Named in errors: the file of the record.

    Raises:
        InferenceError: The record does not hold the answers.
    """
    if changes.names <= LATENCY_GATES:
        return result
    before = from_json(Gates, result.gates, f"{where}: gates", InferenceError)
    gates = changes.of(before)
    judged = judge_again(result, gates)
    if judged is None:
        raise InferenceError(
            f"{where}: an earlier version wrote it, without {missing_words(result, gates)}, so "
            "other gates cannot judge it; run `resnet-edge parity` again"
        )
    return judged


def judge_bench_by(result: BenchResult, changes: Changes[Gates]) -> BenchResult:
    """Judge saved latencies by the limits that were given; without any, leave them as they are.

    The limits go together: where one is given, both are those of ``changes``.
    """
    if changes.names.isdisjoint(LATENCY_GATES):
        return result
    return judge_bench_again(result, result.reference_p50_s, changes.record)


def judge_bench_again(
    result: BenchResult, reference_p50_s: float | None, gates: Gates
) -> BenchResult:
    """Judge saved latencies.

    Args:
        result: The record of ``bench``.
        reference_p50_s: The reference's median latency now, where it was measured.
        gates: The limits to judge by.
    """
    artifacts = tuple(
        replace(bench, gate=judge_latency(bench.preferred, reference_p50_s, gates))
        for bench in result.artifacts
    )
    return replace(result, artifacts=artifacts, reference_p50_s=reference_p50_s)
