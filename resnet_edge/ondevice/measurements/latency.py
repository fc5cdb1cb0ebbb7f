"""Latency and throughput: the records of ``results/bench-HOST.json`` and of the reference."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.early_stopping import PERCENTILE, upper_bound
from resnet_edge.ondevice.latency.trend import change_of_median, drifts, in_groups
from resnet_edge.ondevice.measurements.machine import Machine
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.unmeasured import Unmeasured
from resnet_edge.ondevice.measurements.verdict import GateResult

NOISY_SPREAD = 0.10
"""A larger spread is called noisy: the machine did something else as well."""


UNNAMED = "operators that it does not name"
"""Stands in ``Provider.left`` for those of which a runtime tells only that there are some."""


@dataclass(frozen=True)
class Provider:
    """The part of a runtime that computes: its delegate or execution provider."""

    requested: str
    used: str
    """The part that the runtime reports to use; empty where it reports none."""
    left: tuple[str, ...] | None = None
    """The operators that fell back to the runtime's own kernels, a name for each of them; None
    where the runtime does not tell, and in records of earlier versions."""


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
    """The time from the file to a runtime that is ready, in a fresh process."""
    peak_memory_bytes: int
    """Peak resident memory of the measuring process."""
    warmup: int
    """Inferences between the first one and the samples."""
    settled: bool = True
    """True if the warm-up had become stable when it ended."""
    provider: Provider | None = None
    """None in records of earlier versions."""
    conditions: MeasuringConditions | None = None
    """None where they were not read."""
    queries_per_sample: int = 1
    """A sample is the mean of so many queries, where the clock was too coarse for single ones.
    The median and the mean then mean the same; percentiles do not, because means hide slow ones."""

    def __post_init__(self) -> None:
        if self.queries_per_sample < 1:
            raise ValueError(
                f"latency with {self.queries_per_sample} queries per sample; expected 1 or more"
            )
        if not self.samples_s:
            raise ValueError("latency without samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("latency with a sample that is not positive; expected seconds")

    def quantile_s(self, share: float) -> float:
        """Return the sample at ``share`` of the sorted samples, by the nearest-rank method."""
        ordered = sorted(self.samples_s)
        return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]

    @property
    def p50_s(self) -> float:
        """The median."""
        return statistics.median(self.samples_s)

    @property
    def p90_s(self) -> float:
        """The 90th percentile."""
        return self.quantile_s(PERCENTILE)

    @property
    def p90_bound_s(self) -> float | None:
        """An upper bound of the 90th percentile that holds with 99 % confidence.

        By MLPerf's early stopping; None where there are too few samples, and of means of several
        queries, which say nothing of a single one.
        """
        return upper_bound(self.samples_s) if self.queries_per_sample == 1 else None

    @property
    def p97_s(self) -> float:
        """The 97th percentile."""
        return self.quantile_s(0.97)

    @property
    def p99_s(self) -> float:
        """The 99th percentile."""
        return self.quantile_s(0.99)

    @property
    def mean_s(self) -> float:
        """The mean."""
        return statistics.fmean(self.samples_s)

    @property
    def spread(self) -> float:
        """The interquartile range over the median."""
        return (self.quantile_s(0.75) - self.quantile_s(0.25)) / self.p50_s

    @property
    def noisy(self) -> bool:
        """True if the spread is over ``NOISY_SPREAD``."""
        return self.spread > NOISY_SPREAD

    @property
    def drift(self) -> float:
        """The relative change of the median from the first half of the samples to the second."""
        return change_of_median(self.samples_s)

    @property
    def drifting(self) -> bool:
        """True if that change is large, and larger than chance."""
        return drifts(self.samples_s)

    @property
    def in_groups(self) -> bool:
        """True if slow queries came in groups; the bound of p90 then holds with less than 99 %."""
        return in_groups(self.samples_s, self.p90_s)


@dataclass(frozen=True)
class Throughput:
    """The speed at which whole batches are answered, one batch after another."""

    batch: int
    """Pictures in a batch."""
    samples_s: tuple[float, ...]
    """The time of each batch, from pixels in the host's memory to answers in it."""

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.samples_s:
            raise ValueError("throughput without pictures or samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("throughput with a sample that is not positive; expected seconds")

    @property
    def batch_s(self) -> float:
        """The median time of a batch."""
        return statistics.median(self.samples_s)

    @property
    def pictures_per_s(self) -> float:
        """Pictures per second, by that median."""
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
        """The latencies in the preferred runtime, in which the answers are judged too."""
        return preferred_latencies(self.latencies)

    def in_runtime(self, name: str) -> tuple[Latency, ...]:
        """Return the latencies in one runtime."""
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
    """The reference's median latency; None where it was not measured."""
    refused: tuple[Unmeasured, ...] = ()
    """Further runtimes that refused a file or crashed; no verdict depends on them. Those of a
    device stand in its ``DeviceResult``."""
    schema: int = SCHEMA_VERSION
