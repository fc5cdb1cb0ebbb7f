"""From proofs and latencies of one machine to the choice, within the limits of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_edge import units
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    Browser,
    Latency,
    Unmeasured,
    Verdict,
)
from resnet_edge.ondevice.parity.gates import Gates, judge_latency
from resnet_edge.recommendation.candidate import Candidate
from resnet_edge.recommendation.choice import LeftOut, Recommendation, choose
from resnet_edge.recommendation.proof import Proof


@dataclass(frozen=True)
class Terms:
    """What a latency has to hold to count."""

    gates: Gates
    threads: tuple[int, ...] | None
    """The thread counts to choose among; None takes all that were measured."""
    allow_inconclusive: bool
    """True to admit what could not be decided."""


def weigh(
    proofs: Sequence[Proof],
    record: BenchResult,
    untimed: Sequence[Unmeasured],
    terms: Terms,
    browser: Browser | None = None,
) -> Recommendation:
    """Choose among the artifacts whose answers pass, each in its best runtime.

    Args:
        proofs: One for each artifact, all of one machine.
        record: The latencies that this machine measured of these files.
        untimed: Artifacts in runtimes that could not be timed, or not with every thread count.
        terms: The limits.
        browser: The browser that measured; None where none did.
    """
    benches = {bench.name: bench for bench in record.artifacts}
    left_out: list[LeftOut] = []
    candidates: list[Candidate] = []
    for proof in proofs:
        candidate, reasons = _admit(proof, benches.get(proof.name), record, untimed, terms)
        left_out += (*proof.refused, *reasons)
        if candidate is not None:
            candidates.append(candidate)
    names = {proof.name for proof in proofs}
    asked = [
        replace(bench, latencies=_asked(bench.latencies, terms.threads))
        for bench in record.artifacts
        if bench.name in names
    ]
    measured = [bench for bench in asked if bench.latencies]
    return choose(candidates, measured, left_out, record.machine, browser)


def _admit(
    proof: Proof,
    bench: ArtifactBench | None,
    record: BenchResult,
    untimed: Sequence[Unmeasured],
    terms: Terms,
) -> tuple[Candidate | None, list[LeftOut]]:
    """Return an artifact with the latencies that count, and its runtimes that are left out."""
    gone = [each for each in untimed if each.name == proof.name and each.runtime in proof.runtimes]
    left_out = list(dict.fromkeys(LeftOut(each.where, each.reason) for each in gone))
    within: list[Latency] = []
    for runtime in proof.runtimes:
        timed = bench.in_runtime(runtime) if bench else ()
        asked = _asked(timed, terms.threads)
        held, reason = _within_limits(asked, record, terms)
        within += held
        if not asked and not any(each.runtime == runtime for each in gone):
            reason = _not_timed(timed, terms)
        if reason:
            left_out.append(LeftOut(proof.where(runtime), reason))
    if bench is None or not within:
        return None, left_out
    best = best_latency(within).runtime
    parity = next(each.parity for each in proof.held if each.runtime == best)
    return Candidate(parity, replace(bench, latencies=tuple(within))), left_out


def _asked(latencies: tuple[Latency, ...], threads: tuple[int, ...] | None) -> tuple[Latency, ...]:
    if threads is None:
        return latencies
    return tuple(latency for latency in latencies if latency.threads in threads)


def _not_timed(timed: tuple[Latency, ...], terms: Terms) -> str:
    if not timed or terms.threads is None:
        return "its answers pass, but it was not timed"
    counts = units.listed([str(count) for count in sorted({each.threads for each in timed})])
    asked = units.listed([str(count) for count in terms.threads])
    return f"not timed with the threads that were asked for ({asked}), but with {counts}"


def _within_limits(
    latencies: tuple[Latency, ...], record: BenchResult, terms: Terms
) -> tuple[list[Latency], str]:
    """Keep the latencies of one runtime that hold the limits; if none does, say why.

    One that could not be decided, or not be judged, is kept only if ``allow_inconclusive`` admits
    it.
    """
    held, reasons = [], []
    for latency in latencies:
        gate = judge_latency([latency], record.reference_p50_s, terms.gates)
        limited = terms.gates.judge_bench and not terms.allow_inconclusive
        undecided = gate.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_CHECKED)
        if gate.verdict is Verdict.FAIL or (undecided and limited):
            told = gate.verdict is Verdict.NOT_CHECKED  # such a reason begins with the verdict
            reasons.append(gate.reason if told else f"{gate.verdict.value}: {gate.reason}")
        else:
            held.append(latency)
    return held, "" if held else "; ".join(reasons)
