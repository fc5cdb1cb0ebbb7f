"""What is compared, and when one latency counts as lower than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Precision, artifact_kind
from resnet_edge.ondevice.measurements import ArtifactBench, ArtifactParity, Latency

SAME_MEDIAN = 0.05
"""Medians this near each other, as a share of the larger one, are as fast as each other: two runs
of one file on an idle machine differ by a few percent."""

CLOSE_ENOUGH_DB = 60.0
"""An SQNR above this says no more: 60 dB is an error of a thousandth, the float32 gate's limit."""


@dataclass(frozen=True)
class Candidate:
    """An artifact that may be recommended: what it answers, and how fast it is here."""

    parity: ArtifactParity
    bench: ArtifactBench

    @property
    def name(self) -> str:
        """The artifact's name, for instance ``int8.onnx``."""
        return self.bench.name

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.bench.bytes

    @property
    def size(self) -> float:
        """Bytes to three significant digits, as they are shown: a few kilobytes decide nothing."""
        return float(f"{self.bytes:.3g}")

    @property
    def latency(self) -> Latency:
        """With the thread count to deploy."""
        return best_latency(self.bench.latencies)

    @property
    def closeness(self) -> tuple[float, float]:
        """Agreement with the reference, then SQNR: what is larger is closer; NaN is closest to
        nothing.
        """
        parity = self.parity
        figures = (parity.agreement, min(parity.sqnr_db, CLOSE_ENOUGH_DB))
        agreement, sqnr_db = (-math.inf if math.isnan(figure) else figure for figure in figures)
        return agreement, sqnr_db


def as_fast(one: Latency, other: Latency) -> bool:
    """Whether two latencies cannot be told apart.

    Either the middle halves of their samples overlap, or their medians lie within ``SAME_MEDIAN``.
    """
    low, high = sorted((one, other), key=lambda latency: latency.p50_s)
    overlap = high.quantile_s(0.25) <= low.quantile_s(0.75)
    return overlap or high.p50_s - low.p50_s <= SAME_MEDIAN * high.p50_s


def faster(one: Latency, other: Latency) -> bool:
    """Whether ``one`` is lower than ``other`` by more than noise."""
    return one.p50_s < other.p50_s and not as_fast(one, other)


def best_latency(latencies: Sequence[Latency]) -> Latency:
    """The lowest median, or one that is as fast with fewer threads."""
    lowest = min(latencies, key=lambda latency: latency.p50_s)
    alike = (latency for latency in latencies if as_fast(latency, lowest))
    return min(alike, key=lambda latency: latency.threads)


def beats(one: Candidate, other: Candidate) -> bool:
    """Whether ``one`` is no slower, no larger and no further from the reference, and better in one.

    Sizes (as shown) and answers have an order of their own, latencies that of ``faster``; so no
    circle of artifacts can beat one another.
    """
    if faster(other.latency, one.latency):
        return False
    if one.size > other.size or one.closeness < other.closeness:
        return False
    return (
        faster(one.latency, other.latency)
        or one.size < other.size
        or one.closeness > other.closeness
    )


def is_float32(name: str) -> bool:
    """Whether an artifact computes in full precision."""
    return artifact_kind(name).precision is Precision.FLOAT32
