"""The reasons for a choice, in sentences: measured figures first, then what explains them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.latency.float32_gain import (
    compare_with_float32,
    gain_words,
    processor_words,
)
from resnet_edge.ondevice.latency.noise import SAME_MEDIAN, as_fast, best_latency
from resnet_edge.ondevice.latency.warnings import warning_sentences
from resnet_edge.ondevice.latency.words import duration, times, with_threads
from resnet_edge.ondevice.measurements import ArtifactBench, Browser, Machine, Verdict
from resnet_edge.recommendation.browser_reasons import browser_sentences
from resnet_edge.recommendation.candidate import Candidate


@dataclass(frozen=True)
class Chosen:
    """The choice that the reasons explain."""

    fastest: Candidate
    alike: tuple[Candidate, ...]
    """The other candidates that are as fast as the fastest."""
    smallest: Candidate
    everything: tuple[Candidate, ...]
    """All candidates, by the median."""

    @property
    def recommended(self) -> tuple[Candidate, ...]:
        """The fastest and the smallest, each once."""
        same = self.smallest.name == self.fastest.name
        return (self.fastest,) if same else (self.fastest, self.smallest)


def explain(
    chosen: Chosen,
    measured: Sequence[ArtifactBench],
    machine: Machine,
    browser: Browser | None = None,
) -> tuple[str, ...]:
    """Return the sentences, the most important first.

    Args:
        chosen: The choice.
        measured: Every artifact with latencies on that machine.
        machine: The machine that measured.
        browser: The browser that measured; None where none did.
    """
    gains = compare_with_float32(measured)
    processor = processor_words(gains, machine.cpu_features)
    return (
        *_fastest(chosen),
        *_threads(chosen.fastest),
        *_runtimes(chosen.fastest),
        *_smallest(chosen),
        *map(gain_words, gains),
        *([processor] if processor else []),
        *(browser_sentences(chosen.recommended, machine.cores, browser) if browser else ()),
        *_warnings(chosen.everything),
    )


def _fastest(chosen: Chosen) -> Iterator[str]:
    first, alike = chosen.fastest, chosen.alike
    latency = first.latency
    where = f"p50 {duration(latency.p50_s)} in {latency.runtime} {with_threads(latency)}"
    if len(chosen.everything) == 1:
        yield f"{first.name} is the only artifact that can be recommended: {where}."
        return
    if alike:
        others = [f"{c.name} ({duration(c.latency.p50_s)})" for c in alike]
        yield (
            f"{first.name} is as fast as {units.listed(others)}: {where}; the middle halves of "
            f"their samples overlap or their medians lie within {SAME_MEDIAN:.0%}. "
            f"{_preference(chosen)}"
        )
    else:
        yield f"{first.name} is the fastest: {where}."
    ties = {first.name, *(c.name for c in alike)}
    rest = [candidate for candidate in chosen.everything if candidate.name not in ties]
    if rest:
        following = rest[0]
        yield (
            f"Next comes {following.name} with {duration(following.latency.p50_s)} in "
            f"{following.latency.runtime} {with_threads(following.latency)}, "
            f"{times(following.latency, latency)} as long."
        )


def _preference(chosen: Chosen) -> str:
    """Return what decides between artifacts that are as fast as each other."""
    first = chosen.fastest
    other = min(chosen.alike, key=lambda candidate: candidate.size)
    if first.size < other.size:
        sizes = f"{units.size(first.bytes)} against {units.size(other.bytes)}"
        return f"It is taken because it is smaller ({sizes})."
    if first.size == other.size and first.closeness == other.closeness:
        return "They differ neither in size nor in answers: any of them will do."
    return "It is taken because of these, none beats it in size and closeness to the reference."


def _threads(candidate: Candidate) -> Iterator[str]:
    best = candidate.latency
    for other in sorted(candidate.bench.latencies, key=lambda latency: latency.threads):
        if other.threads == best.threads or other.runtime != best.runtime:
            continue
        words = f"{candidate.name} takes {duration(other.p50_s)} {with_threads(other)}"
        if as_fast(other, best):
            yield f"{words}: no faster than {with_threads(best)}."
        elif other.threads > best.threads:
            yield f"{words}: slower than {with_threads(best)}."
        else:
            yield f"{words}, {times(other, best)} as long."


def _runtimes(candidate: Candidate) -> Iterator[str]:
    """Say how long the artifact takes in further runtimes, with the thread count to deploy."""
    best = candidate.latency
    names = dict.fromkeys(latency.runtime for latency in candidate.bench.latencies)
    for name in names:
        if name == best.runtime:
            continue
        other = best_latency(candidate.bench.in_runtime(name))
        time = f"{duration(other.p50_s)} in {name} {with_threads(other)}"
        words = f"{candidate.name} takes {time}"
        if as_fast(other, best):
            yield f"{words}: as fast as in {best.runtime}."
        else:
            yield f"{words}, {times(other, best)} as long as in {best.runtime}."


def _smallest(chosen: Chosen) -> Iterator[str]:
    smallest, fastest = chosen.smallest, chosen.fastest
    if smallest.name == fastest.name:
        return
    size = f"{units.size(smallest.bytes)} against {units.size(fastest.bytes)}"
    if as_fast(smallest.latency, fastest.latency):
        yield f"{smallest.name} is the smallest ({size}), and as fast as {fastest.name}."
        return
    ratio = times(smallest.latency, fastest.latency)
    yield f"{smallest.name} is the smallest ({size}) and takes {ratio} as long as {fastest.name}."


def _warnings(candidates: Sequence[Candidate]) -> Iterator[str]:
    chosen = [(candidate.name, candidate.latency) for candidate in candidates]
    yield from warning_sentences(chosen)
    open_gates = [
        c.name for c in candidates if c.parity.answers_gate.verdict is Verdict.INCONCLUSIVE
    ]
    if open_gates:
        verb = "is" if len(open_gates) == 1 else "are"
        yield (
            f"{units.listed(open_gates)} {verb} not proven: too few test pictures to decide the "
            "accuracy gate."
        )
