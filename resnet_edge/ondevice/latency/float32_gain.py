"""The gain in speed over float32 in the same runtime, in sentences from measured figures alone.

The processor's features, and what is known of a runtime, are given as an explanation only of what
was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.cpu_features import dot_products, missing_dot_products
from resnet_edge.ondevice.formats.kinds import Precision, Quantization, artifact_kind
from resnet_edge.ondevice.latency.noise import as_fast, faster
from resnet_edge.ondevice.latency.words import duration, times, with_threads
from resnet_edge.ondevice.measurements import ArtifactBench, Latency
from resnet_edge.ondevice.runtimes.known_traits import known_trait


@dataclass(frozen=True)
class Float32Gain:
    """An artifact's latencies beside those of the float32 artifact in the same runtime."""

    name: str
    full: str
    """The float32 artifact."""
    runtime: str
    pairs: tuple[tuple[Latency, Latency], ...]
    """Latencies of both, with the same number of threads."""

    @property
    def gains(self) -> tuple[bool, ...]:
        """For each pair True if the artifact is faster than float32."""
        return tuple(faster(mine, full) for mine, full in self.pairs)

    @property
    def losses(self) -> tuple[tuple[Latency, Latency], ...]:
        """The pairs in which the artifact is slower than float32 by more than noise."""
        return tuple((mine, full) for mine, full in self.pairs if faster(full, mine))


def compare_with_float32(measured: Sequence[ArtifactBench]) -> tuple[Float32Gain, ...]:
    """Set every artifact that is not float32 beside the float32 one of its format, by runtime.

    Args:
        measured: Artifacts with latencies on one machine.

    Returns:
        One record for each artifact and runtime in which both were measured with the same number
        of threads.
    """
    gains = []
    full_precision = [bench for bench in measured if is_float32(bench.name)]
    for bench in measured:
        if is_float32(bench.name):
            continue
        kind = artifact_kind(bench.name)
        for full in full_precision:
            if artifact_kind(full.name).format is not kind.format:
                continue
            for runtime in dict.fromkeys(latency.runtime for latency in bench.latencies):
                if pairs := _pairs(bench, full, runtime):
                    gains.append(Float32Gain(bench.name, full.name, runtime, pairs))
    return tuple(gains)


def is_float32(name: str) -> bool:
    """True if the artifact of this name computes in full precision."""
    return artifact_kind(name).precision is Precision.FLOAT32


def _pairs(
    bench: ArtifactBench, full: ArtifactBench, runtime: str
) -> tuple[tuple[Latency, Latency], ...]:
    return tuple(
        (mine, other)
        for mine in sorted(bench.latencies, key=lambda latency: latency.threads)
        for other in full.latencies
        if mine.threads == other.threads and mine.runtime == other.runtime == runtime
    )


def gain_words(gain: Float32Gain) -> str:
    """Return a sentence that says if an artifact is faster than float32, with the figures.

    Of a float16 artifact that is slower it says how much, and the cause where that is known.
    """
    precision = artifact_kind(gain.name).precision
    if precision is Precision.FLOAT16 and gain.losses and not any(gain.gains):
        trait = known_trait(gain.runtime, precision)
        return f"{_loss_words(gain)}.{f' {trait.words}' if trait else ''}"
    verdict = "is faster than" if all(gain.gains) else "is not faster than"
    if any(gain.gains) and not all(gain.gains):
        verdict = "is faster only with some thread counts than"
    details = ", ".join(_pair_words(mine, full) for mine, full in gain.pairs)
    return f"{gain.name} {verdict} {gain.full} in {gain.runtime}: {details}."


def _loss_words(gain: Float32Gain) -> str:
    """Say how long an artifact takes that is slower than float32, by the numbers of threads."""
    (mine, full), *others = gain.losses
    words = (
        f"{gain.name} takes {duration(mine.p50_s)} in {gain.runtime} {with_threads(mine)}, "
        f"{times(mine, full)} as long as {gain.full}"
    )
    further = (
        f"{with_threads(mine)} {duration(mine.p50_s)}, {times(mine, full)} as long"
        for mine, full in others
    )
    return "; ".join((words, *further))


def _pair_words(mine: Latency, full: Latency) -> str:
    if as_fast(mine, full):
        relation = "as fast"
    elif faster(mine, full):
        relation = f"{times(full, mine)} as fast"
    else:
        relation = f"{times(mine, full)} as long"
    figures = f"{duration(mine.p50_s)} against {duration(full.p50_s)}"
    return f"{relation} {with_threads(mine)} ({figures})"


def processor_words(gains: Sequence[Float32Gain], features: tuple[str, ...]) -> str:
    """Return a sentence that relates the speed of static int8 to the processor's features.

    Args:
        gains: The measured gains; only those of artifacts with static int8 count.
        features: Of the processor, by the names of Linux' /proc/cpuinfo.

    Returns:
        Nothing where no int8 artifact is faster, or slower, with every thread count, or the
        features are not known.
    """
    static = [gain for gain in gains if _is_static_int8(gain.name)]
    won = tuple(dict.fromkeys(gain.runtime for gain in static if all(gain.gains)))
    lost = tuple(dict.fromkeys(gain.runtime for gain in static if not any(gain.gains)))
    quick, slow = tuple(r for r in won if r not in lost), tuple(r for r in lost if r not in won)
    if not features or not (quick or slow):
        return ""
    if found := dot_products(features):
        words = f"This processor has int8 dot product instructions ({', '.join(found)})"
        if slow:
            return f"{words}; why int8 gains nothing in {units.listed(slow)} was not measured."
        return f"{words}, which int8 kernels are made for."
    lack = missing_dot_products(features)
    words = f"This processor has no int8 dot product instructions{f' ({lack})' if lack else ''}"
    if slow and quick:
        return (
            f"{words}, so int8 depends on how a runtime does without them: it is faster than "
            f"float32 in {units.listed(quick)}, not in {units.listed(slow)}."
        )
    if slow:
        return (
            f"{words}; without them int8 has little to gain over float32. On a device whose "
            "processor has them, int8 is usually faster: measure there."
        )
    return f"{words}; int8 is faster than float32 in {units.listed(quick)} all the same."


def _is_static_int8(name: str) -> bool:
    kind = artifact_kind(name)
    static = (Quantization.STATIC, Quantization.INTEGER_ONLY)
    return kind.precision is Precision.INT8 and kind.quantization in static
