"""Why, in sentences: what was measured first, the processor's features as explanation after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Precision, Quantization, artifact_kind
from resnet_edge.ondevice.latency.warnings import doubt_sentences
from resnet_edge.ondevice.measurements import ArtifactBench, Latency, Machine, Verdict
from resnet_edge.recommendation.candidate import (
    SAME_MEDIAN,
    Candidate,
    as_fast,
    best_latency,
    faster,
    is_float32,
)

_DOT_PRODUCTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Of ``resnet_edge.ondevice.machine.CPU_FEATURES``: integer dot or matrix products."""


@dataclass(frozen=True)
class Chosen:
    """What was chosen, for those who explain it."""

    fastest: Candidate
    alike: tuple[Candidate, ...]
    """As fast as the fastest, without it."""
    smallest: Candidate
    everything: tuple[Candidate, ...]
    """By the median."""


@dataclass(frozen=True)
class Comparison:
    """An artifact against float32 in the same runtime, by thread count."""

    name: str
    full: str
    """The float32 artifact."""
    runtime: str
    pairs: tuple[tuple[Latency, Latency], ...]
    """Latencies of both with the same threads."""

    @property
    def gains(self) -> tuple[bool, ...]:
        """By thread count, whether the artifact is faster than float32."""
        return tuple(faster(mine, full) for mine, full in self.pairs)


def explain(chosen: Chosen, measured: Sequence[ArtifactBench], machine: Machine) -> tuple[str, ...]:
    """Return the sentences, the most important first.

    Args:
        chosen: What was chosen.
        measured: Everything with latencies here.
        machine: Where.
    """
    comparisons = compare_with_float32(measured)
    return (
        *_fastest(chosen),
        *_threads(chosen.fastest),
        *_runtimes(chosen.fastest),
        *_smallest(chosen),
        *(comparison_words(comparison) for comparison in comparisons),
        *_processor(comparisons, machine.cpu_features),
        *_doubts(chosen.everything),
    )


def milliseconds(seconds: float) -> str:
    """Three significant digits, with the unit."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 1000 else f"{value:#.3g}".rstrip(".") + " ms"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _with_threads(latency: Latency) -> str:
    return f"with {latency.threads} thread{'' if latency.threads == 1 else 's'}"


def _times(slow: Latency, quick: Latency) -> str:
    return f"{slow.p50_s / quick.p50_s:.2f} times"


def _listed(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _fastest(chosen: Chosen) -> Iterator[str]:
    first, alike = chosen.fastest, chosen.alike
    latency = first.latency
    where = f"p50 {milliseconds(latency.p50_s)} in {latency.runtime} {_with_threads(latency)}"
    if len(chosen.everything) == 1:
        yield f"{first.name} is the only artifact that can be recommended: {where}."
        return
    if alike:
        others = [f"{c.name} ({milliseconds(c.latency.p50_s)})" for c in alike]
        yield (
            f"{first.name} is as fast as {_listed(others)}: {where}; the middle halves of their "
            f"samples overlap or their medians lie within {SAME_MEDIAN:.0%}. {_preference(chosen)}"
        )
    else:
        yield f"{first.name} is the fastest: {where}."
    ties = {first.name, *(c.name for c in alike)}
    rest = [candidate for candidate in chosen.everything if candidate.name not in ties]
    if rest:
        following = rest[0]
        yield (
            f"Next comes {following.name} with {milliseconds(following.latency.p50_s)} in "
            f"{following.latency.runtime} {_with_threads(following.latency)}, "
            f"{_times(following.latency, latency)} as long."
        )


def _preference(chosen: Chosen) -> str:
    """What decides between artifacts that are as fast as each other."""
    first = chosen.fastest
    other = min(chosen.alike, key=lambda candidate: candidate.size)
    if first.size < other.size:
        sizes = f"{_megabytes(first.bytes)} against {_megabytes(other.bytes)}"
        return f"It is taken because it is smaller ({sizes})."
    if first.size == other.size and first.closeness == other.closeness:
        return "They differ neither in size nor in answers: any of them will do."
    return "It is taken because of these, none beats it in size and closeness to the reference."


def _threads(candidate: Candidate) -> Iterator[str]:
    best = candidate.latency
    for other in sorted(candidate.bench.latencies, key=lambda latency: latency.threads):
        if other.threads == best.threads or other.runtime != best.runtime:
            continue
        words = f"{candidate.name} takes {milliseconds(other.p50_s)} {_with_threads(other)}"
        if as_fast(other, best):
            yield f"{words}: no faster than {_with_threads(best)}."
        elif other.threads > best.threads:
            yield f"{words}: slower than {_with_threads(best)}."
        else:
            yield f"{words}, {_times(other, best)} as long."


def _runtimes(candidate: Candidate) -> Iterator[str]:
    """What the artifact takes in further runtimes, each with the thread count to deploy."""
    best = candidate.latency
    names = dict.fromkeys(latency.runtime for latency in candidate.bench.latencies)
    for name in names:
        if name == best.runtime:
            continue
        other = best_latency(candidate.bench.in_runtime(name))
        time = f"{milliseconds(other.p50_s)} in {name} {_with_threads(other)}"
        words = f"{candidate.name} takes {time}"
        if as_fast(other, best):
            yield f"{words}: as fast as in {best.runtime}."
        else:
            yield f"{words}, {_times(other, best)} as long as in {best.runtime}."


def _smallest(chosen: Chosen) -> Iterator[str]:
    smallest, fastest = chosen.smallest, chosen.fastest
    if smallest.name == fastest.name:
        return
    size = f"{_megabytes(smallest.bytes)} against {_megabytes(fastest.bytes)}"
    if as_fast(smallest.latency, fastest.latency):
        yield f"{smallest.name} is the smallest ({size}), and as fast as {fastest.name}."
        return
    times = _times(smallest.latency, fastest.latency)
    yield f"{smallest.name} is the smallest ({size}) and takes {times} as long as {fastest.name}."


def compare_with_float32(measured: Sequence[ArtifactBench]) -> tuple[Comparison, ...]:
    """Compare what was measured with float32 in the same format and runtime; nothing is inferred.

    Args:
        measured: Artifacts with latencies on one machine.
    """
    comparisons = []
    for bench in measured:
        kind = artifact_kind(bench.name)
        for full in measured:
            same_format = artifact_kind(full.name).format is kind.format
            if is_float32(bench.name) or not is_float32(full.name) or not same_format:
                continue
            for runtime in dict.fromkeys(latency.runtime for latency in bench.latencies):
                if pairs := _pairs(bench, full, runtime):
                    comparisons.append(Comparison(bench.name, full.name, runtime, pairs))
    return tuple(comparisons)


def _pairs(
    bench: ArtifactBench, full: ArtifactBench, runtime: str
) -> tuple[tuple[Latency, Latency], ...]:
    return tuple(
        (mine, other)
        for mine in sorted(bench.latencies, key=lambda latency: latency.threads)
        for other in full.latencies
        if mine.threads == other.threads and mine.runtime == other.runtime == runtime
    )


def comparison_words(comparison: Comparison) -> str:
    """Say whether an artifact is faster than float32, with the figures."""
    gains = comparison.gains
    verdict = "is faster than" if all(gains) else "is not faster than"
    if any(gains) and not all(gains):
        verdict = "is faster only with some thread counts than"
    details = ", ".join(_pair_words(mine, full) for mine, full in comparison.pairs)
    name, full = comparison.name, comparison.full
    return f"{name} {verdict} {full} in {comparison.runtime}: {details}."


def _pair_words(mine: Latency, full: Latency) -> str:
    if as_fast(mine, full):
        relation = "as fast"
    elif faster(mine, full):
        relation = f"{_times(full, mine)} as fast"
    else:
        relation = f"{_times(mine, full)} as long"
    times = f"{milliseconds(mine.p50_s)} against {milliseconds(full.p50_s)}"
    return f"{relation} {_with_threads(mine)} ({times})"


def _processor(comparisons: Sequence[Comparison], features: tuple[str, ...]) -> Iterator[str]:
    """What the processor has to do with it; only of static int8, and only where it was measured."""
    static = [c for c in comparisons if _is_static_int8(c.name)]
    quick = tuple(dict.fromkeys(c.runtime for c in static if all(c.gains)))
    slow = tuple(dict.fromkeys(c.runtime for c in static if not any(c.gains)))
    quick, slow = tuple(r for r in quick if r not in slow), tuple(r for r in slow if r not in quick)
    if not features or not (quick or slow):
        return
    if found := [name for name in _DOT_PRODUCTS if name in features]:
        words = f"This processor has int8 dot product instructions ({', '.join(found)})"
        if slow:
            yield f"{words}; why int8 gains nothing in {_listed(slow)} was not measured."
        else:
            yield f"{words}, which int8 kernels are made for."
        return
    words = f"This processor has no int8 dot product instructions{_missing(features)}"
    if slow and quick:
        yield (
            f"{words}, so int8 depends on how a runtime does without them: it is faster than "
            f"float32 in {_listed(quick)}, not in {_listed(slow)}."
        )
    elif slow:
        yield f"{words}; without them int8 has little to gain over float32."
    else:
        yield f"{words}; int8 is faster than float32 in {_listed(quick)} all the same."


def _missing(features: tuple[str, ...]) -> str:
    if "avx2" in features:
        return " (AVX2 without VNNI)"
    return " (no asimddp)" if "asimd" in features else ""


def _is_static_int8(name: str) -> bool:
    kind = artifact_kind(name)
    static = (Quantization.STATIC, Quantization.INTEGER_ONLY)
    return kind.precision is Precision.INT8 and kind.quantization in static


def _doubts(candidates: Sequence[Candidate]) -> Iterator[str]:
    chosen = [(candidate.name, candidate.latency) for candidate in candidates]
    yield from doubt_sentences(chosen)
    open_gates = [c.name for c in candidates if c.parity.gate.verdict is Verdict.INCONCLUSIVE]
    if open_gates:
        verb = "is" if len(open_gates) == 1 else "are"
        yield (
            f"{_listed(open_gates)} {verb} not proven: too few test pictures to decide the "
            "accuracy gate."
        )
