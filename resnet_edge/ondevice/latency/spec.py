"""The duration of a latency measurement, as options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_edge.ondevice.latency.early_stopping import least_queries
from resnet_edge.ondevice.option import AT_LEAST_1, NOT_NEGATIVE, check_options, option

PANEL = "Latency"
"""Heading of the options of the latency in ``--help``."""


@dataclass(frozen=True)
class LatencySpec:
    """The least duration of a measurement, in seconds *and* queries.

    Raises:
        UsageError: A value is out of its range.
    """

    min_seconds: float = option(
        10.0, "Least duration of a measurement, s.", PANEL, within=NOT_NEGATIVE
    )
    min_queries: int = option(
        least_queries(), "Least number of queries of a measurement.", PANEL, within=AT_LEAST_1
    )
    max_warmup_s: float = option(
        10.0,
        "Longest warm-up, s; it ends here even where it has not become stable.",
        within=NOT_NEGATIVE,
    )

    def __post_init__(self) -> None:
        check_options(self)

    def is_met_by(self, samples_s: Sequence[float]) -> bool:
        """Return True if so many queries, that took so long together, are a whole measurement."""
        return len(samples_s) >= self.min_queries and sum(samples_s) >= self.min_seconds

    def at_least(self, other: LatencySpec) -> LatencySpec:
        """Return the longer of two, in seconds and in queries."""
        return replace(
            self,
            min_seconds=max(self.min_seconds, other.min_seconds),
            min_queries=max(self.min_queries, other.min_queries),
        )


MLPERF = LatencySpec(min_seconds=600.0, min_queries=1024)
"""SingleStream in MLPerf Inference: 600 s by its rules (``inference_rules.adoc``, Scenarios), 1024
queries by its ``mlperf.conf``. The default is for people who wait: 64 queries are the fewest that
bound p90 (``resnet_edge.ondevice.latency.early_stopping``)."""
