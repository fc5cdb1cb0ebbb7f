"""A gate's verdict, and the one order of verdicts."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Verdict(enum.Enum):
    """A gate's answer; its members stand in the order from best to worst.

    What was not checked is worse than a pass, because nothing is known of it. It is better than
    what was checked and could not be decided: there the figures speak against a pass.
    """

    PASS = "pass"
    NOT_CHECKED = "not checked"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """The place in that order: 0 for a pass, 3 for a failure."""
        return list(Verdict).index(self)


def worst_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of the verdicts; ``NOT_CHECKED`` where there are none."""
    return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.NOT_CHECKED)


def combine_gates(accuracy: Verdict, latency: Verdict) -> Verdict:
    """Return an artifact's verdict: the worse of its two gates.

    A latency gate that was not checked does not count: nobody asked for a limit. An accuracy gate
    that was not checked does: without it nothing is known of the answers.
    """
    return accuracy if latency is Verdict.NOT_CHECKED else worst_verdict((accuracy, latency))


def any_refused(verdicts: Iterable[Verdict], allow_inconclusive: bool) -> bool:
    """Return True if a gate fell, or could not be decided and that is not allowed."""
    refused = {Verdict.FAIL} if allow_inconclusive else {Verdict.FAIL, Verdict.INCONCLUSIVE}
    return not refused.isdisjoint(verdicts)


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a difference, as shares."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class GateResult:
    """One gate's verdict with the sentence that explains it."""

    verdict: Verdict
    reason: str
    interval: Interval | None = None
    images_needed: int | None = None
    """The number of further pictures that an inconclusive verdict needs; None where not known."""
    queries_needed: int | None = None
    """The number of queries in all that an inconclusive latency needs; None where not known."""


@dataclass(frozen=True)
class FurtherGate:
    """A gate beside that of the accuracy, which judges only where a limit was given."""

    name: str
    result: GateResult


def combine_results(accuracy: GateResult, further: Iterable[FurtherGate]) -> GateResult:
    """Return all gates of an artifact's answers as one.

    Returns:
        The worst verdict with the reasons of all that have it, and as many further pictures as the
        most demanding of them needs. The interval is the accuracy's.
    """
    given = [("accuracy", accuracy), *((gate.name, gate.result) for gate in further)]
    if len(given) == 1:
        return accuracy
    verdict = worst_verdict(result.verdict for _, result in given)
    worst = [(name, result) for name, result in given if result.verdict is verdict]
    needs = [result.images_needed for _, result in worst if result.images_needed is not None]
    return GateResult(
        verdict,
        "; ".join(f"{name}: {result.reason}" for name, result in worst),
        accuracy.interval,
        max(needs) if len(needs) == len(worst) else None,
    )
