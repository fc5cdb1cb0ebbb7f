"""New verdicts on saved results, by other gates; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

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
from resnet_edge.ondevice.parity.answers import count_ones, count_only
from resnet_edge.ondevice.parity.gates import Evidence, Gates, judge_accuracy, judge_latency

LATENCY_GATES = ("max_p90_ms", "max_latency_ratio")


@dataclass(frozen=True)
class GateChanges:
    """Gates to judge saved results by; None leaves a gate as it was.

    The limits of the latency go together: where one is given, both are as they are here.
    """

    fp32_agreement: float | None = None
    fp32_max_logit: float | None = None
    fp16_agreement: float | None = None
    int8_accuracy: float | None = None
    confidence: float | None = None
    max_p90_ms: float | None = None
    max_latency_ratio: float | None = None

    @property
    def limits_latency(self) -> bool:
        """True if a limit of the latency is given."""
        return self.max_p90_ms is not None or self.max_latency_ratio is not None

    @property
    def accuracy(self) -> dict[str, float]:
        """The gates of accuracy that are given, by their names."""
        given = asdict(self)
        return {n: v for n, v in given.items() if v is not None and n not in LATENCY_GATES}


AS_JUDGED = GateChanges()
"""Verdicts as the results have them."""


def accuracy_gates(gates: Gates) -> dict[str, float]:
    """Return the gates of accuracy as ``ParityResult.gates`` keeps them."""
    return {name: value for name, value in asdict(gates).items() if name not in LATENCY_GATES}


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
        does not hold the answers: an earlier version wrote it.
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


def _judge_again(parity: ArtifactParity, gates: Gates) -> ArtifactParity | None:
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
    # Without answers no gate decides: nothing was checked, or there is nothing worth judging.
    unchecked = parity.images == 0 and parity.gate.verdict is Verdict.NOT_CHECKED
    return parity if unchecked or parity.collapse is not None else None


def judge_parity_by(result: ParityResult, changes: GateChanges, where: str) -> ParityResult:
    """Judge saved answers by the gates that were given; the others are those of the record.

    Args:
        result: The record of ``parity``.
        changes: The gates that were given.
        where: Named in errors: the file of the record.

    Raises:
        InferenceError: The record does not hold the answers.
        UsageError: A gate is out of its range.
    """
    if not changes.accuracy:
        return result
    before = from_json(Gates, result.gates, f"{where}: gates", InferenceError)
    judged = judge_again(result, replace(before, **changes.accuracy))
    if judged is None:
        raise InferenceError(
            f"{where}: an earlier version wrote it, without the answers picture by picture, so "
            "other gates cannot judge it; run `resnet-edge parity` again"
        )
    return judged


def judge_bench_by(result: BenchResult, changes: GateChanges) -> BenchResult:
    """Judge saved latencies by the limits that were given; without any, leave them as they are.

    Raises:
        UsageError: A limit is out of its range.
    """
    if not changes.limits_latency:
        return result
    gates = Gates(max_p90_ms=changes.max_p90_ms, max_latency_ratio=changes.max_latency_ratio)
    return judge_bench_again(result, result.reference_p50_s, gates)


def judge_bench_again(
    result: BenchResult, reference_p50_s: float | None, gates: Gates
) -> BenchResult:
    """Judge saved latencies.

    Args:
        result: What ``bench`` wrote.
        reference_p50_s: The reference's median latency now, where it was measured.
        gates: What is asked now.
    """
    artifacts = tuple(
        replace(bench, gate=judge_latency(bench.preferred, reference_p50_s, gates))
        for bench in result.artifacts
    )
    return replace(result, artifacts=artifacts, reference_p50_s=reference_p50_s)
