"""The choice: the fastest artifact, the smallest, and those that no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge.ondevice.latency.noise import as_fast
from resnet_edge.ondevice.measurements import ArtifactBench, Browser, Machine, Verdict
from resnet_edge.recommendation.candidate import Candidate, beats
from resnet_edge.recommendation.reasons import Chosen, explain


@dataclass(frozen=True)
class Choice:
    """One candidate with its figures, at the thread count to deploy."""

    name: str
    runtime: str
    threads: int
    p50_s: float
    p90_s: float
    spread: float
    bytes: int
    agreement: float
    sqnr_db: float
    verdict: Verdict
    """The accuracy gate's verdict."""
    beaten_by: tuple[str, ...]
    """Artifacts that are better in one figure and worse in none; empty on the Pareto front."""
    queries_per_sample: int = 1
    """Above 1 samples are means of so many queries, and ``p90_s`` is not that of single ones."""


@dataclass(frozen=True)
class LeftOut:
    """An artifact, or an artifact in one runtime, that may not be recommended, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """The artifact to take on a machine; false if there is none."""

    machine: Machine
    fastest: str | None
    as_fast: tuple[str, ...]
    """Other artifacts that are as fast as the fastest, by ``as_fast``."""
    smallest: str | None
    front: tuple[str, ...]
    """Artifacts that no other beats in latency, size and closeness to the reference."""
    choices: tuple[Choice, ...]
    """Every candidate, by its median."""
    left_out: tuple[LeftOut, ...]
    reasons: tuple[str, ...]
    """The reasons, in sentences."""

    def __bool__(self) -> bool:
        return self.fastest is not None


def choose(
    candidates: Sequence[Candidate],
    measured: Sequence[ArtifactBench],
    left_out: Sequence[LeftOut],
    machine: Machine,
    browser: Browser | None = None,
) -> Recommendation:
    """Choose among artifacts whose gates hold.

    Args:
        candidates: With at least one latency each.
        measured: Every artifact with latencies on that machine, also those that are no candidates:
            reasons compare with them.
        left_out: The artifacts that are no candidates, with the reasons.
        machine: The machine that measured.
        browser: The browser that measured; None where none did.
    """
    if not candidates:
        return Recommendation(machine, None, (), None, (), (), tuple(left_out), ())
    ordered = sorted(candidates, key=lambda candidate: candidate.latency.p50_s)
    choices = tuple(_choice(candidate, ordered) for candidate in ordered)
    front = tuple(choice.name for choice in choices if not choice.beaten_by)
    alike = _as_fast_as_first(ordered)
    fastest = _take(alike, front)
    least = min(candidate.size for candidate in ordered)
    small = [candidate for candidate in ordered if candidate.size == least]
    smallest = _take(_as_fast_as_first(small), front)
    chosen = Chosen(fastest, tuple(c for c in alike if c is not fastest), smallest, tuple(ordered))
    return Recommendation(
        machine=machine,
        fastest=fastest.name,
        as_fast=tuple(candidate.name for candidate in chosen.alike),
        smallest=smallest.name,
        front=front,
        choices=choices,
        left_out=tuple(left_out),
        reasons=explain(chosen, measured, machine, browser),
    )


def _choice(candidate: Candidate, others: Sequence[Candidate]) -> Choice:
    latency, parity = candidate.latency, candidate.parity
    return Choice(
        name=candidate.name,
        runtime=latency.runtime,
        threads=latency.threads,
        p50_s=latency.p50_s,
        p90_s=latency.p90_s,
        spread=latency.spread,
        bytes=candidate.bytes,
        agreement=parity.agreement,
        sqnr_db=parity.sqnr_db,
        verdict=parity.answers_gate.verdict,
        beaten_by=tuple(other.name for other in others if beats(other, candidate)),
        queries_per_sample=latency.queries_per_sample,
    )


def _as_fast_as_first(ordered: Sequence[Candidate]) -> list[Candidate]:
    return [other for other in ordered if as_fast(other.latency, ordered[0].latency)]


def _take(alike: Sequence[Candidate], front: Sequence[str]) -> Candidate:
    """Return the smallest of those that are as fast, then the closest: noise does not decide."""
    unbeaten = [candidate for candidate in alike if candidate.name in front] or alike
    return min(unbeaten, key=lambda c: (c.size, *(-figure for figure in c.closeness), c.name))
