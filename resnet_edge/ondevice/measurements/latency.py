"""How long inference takes: the records of ``results/bench-HOST.json``, and the reference's."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.early_stopping import SHARE, upper_bound
from resnet_edge.ondevice.latency.trend import change_of_median, drifts, in_groups
from resnet_edge.ondevice.measurements.machine import Machine
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.verdict import GateResult


@dataclass(frozen=True)
class Provider:
    """What computes inside a runtime: its delegate or execution provider."""

    requested: str
    used: str
    """What the runtime says that it took; empty where it does not tell."""


@dataclass(frozen=True)
class Latency:
    """Latency of one artifact in one runtime with one thread count, batch 1.

    It keeps its raw samples; every figure is a property.
    """

    runtime: str
    threads: int
    samples_s: tuple[float, ...]
    first_s: float
    """The first inference, before any warm-up."""
    load_s: float
    """From the file to a runtime that is ready, in a fresh process."""
    peak_memory_bytes: int
    """Peak resident memory of the measuring process."""
    warmup: int
    """Inferences between the first one and the samples."""
    settled: bool = True
    """Whether the warm-up had become stable when it ended."""
    provider: Provider | None = None
    """None in records of earlier versions."""
    conditions: MeasuringConditions | None = None
    """None where they were not read."""

    def __post_init__(self) -> None:
        if not self.samples_s:
            raise ValueError("latency without samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("latency with a sample that is not positive; expected seconds")

    def quantile_s(self, share: float) -> float:
        """The sample at ``share`` of the sorted samples, by the nearest-rank method."""
        ordered = sorted(self.samples_s)
        return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]

    @property
    def p50_s(self) -> float:
        """Median."""
        return statistics.median(self.samples_s)

    @property
    def p90_s(self) -> float:
        """90th percentile."""
        return self.quantile_s(SHARE)

    @property
    def p90_bound_s(self) -> float | None:
        """What the 90th percentile is at most, by MLPerf's early stopping, with 99 % confidence.

        None where there are too few samples.
        """
        return upper_bound(self.samples_s)

    @property
    def p97_s(self) -> float:
        """97th percentile."""
        return self.quantile_s(0.97)

    @property
    def p99_s(self) -> float:
        """99th percentile."""
        return self.quantile_s(0.99)

    @property
    def mean_s(self) -> float:
        """Mean."""
        return statistics.fmean(self.samples_s)

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        return (self.quantile_s(0.75) - self.quantile_s(0.25)) / self.p50_s

    @property
    def noisy(self) -> bool:
        """Whether the spread is over 10 %: the host did something else as well."""
        return self.spread > 0.10

    @property
    def drift(self) -> float:
        """Relative change of the median from the first half of the samples to the second."""
        return change_of_median(self.samples_s)

    @property
    def drifting(self) -> bool:
        """Whether that change is large, and no chance."""
        return drifts(self.samples_s)

    @property
    def in_groups(self) -> bool:
        """Whether slow queries came in groups: the bound of p90 then promises less than 99 %."""
        return in_groups(self.samples_s, self.p90_s)


@dataclass(frozen=True)
class Throughput:
    """How fast whole batches are answered, one batch after another."""

    batch: int
    """Pictures in a batch."""
    samples_s: tuple[float, ...]
    """Time of each batch, from pixels in the host's memory to answers in it."""

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.samples_s:
            raise ValueError("throughput without pictures or samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("throughput with a sample that is not positive; expected seconds")

    @property
    def batch_s(self) -> float:
        """Median time of a batch."""
        return statistics.median(self.samples_s)

    @property
    def pictures_per_s(self) -> float:
        """Pictures a second, by that median."""
        return self.batch / self.batch_s


@dataclass(frozen=True)
class ArtifactBench:
    """One artifact's latencies on this machine."""

    name: str
    sha256: str
    bytes: int
    latencies: tuple[Latency, ...]
    """Runtime by runtime, the preferred one first."""
    gate: GateResult

    @property
    def preferred(self) -> tuple[Latency, ...]:
        """Those in the preferred runtime, in which the answers are judged too."""
        return preferred_latencies(self.latencies)

    def in_runtime(self, name: str) -> tuple[Latency, ...]:
        """Those in one runtime."""
        return tuple(latency for latency in self.latencies if latency.runtime == name)


def preferred_latencies(latencies: tuple[Latency, ...]) -> tuple[Latency, ...]:
    """Return the latencies of one artifact in its preferred runtime, that of the first one."""
    return tuple(latency for latency in latencies if latency.runtime == latencies[0].runtime)


@dataclass(frozen=True)
class BenchResult:
    """``results/bench-HOST.json``."""

    machine: Machine
    artifacts: tuple[ArtifactBench, ...]
    reference_p50_s: float | None
    """Median latency of the reference, where it was measured."""
    schema: int = SCHEMA_VERSION
