"""What is compared, and when one latency counts as lower than another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_edge.ondevice.latency.noise import best_latency, faster
from resnet_edge.ondevice.measurements import ArtifactBench, ArtifactParity, Latency
from resnet_edge.ondevice.parity.noise import ENOUGH_DB


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
        figures = (parity.agreement, min(parity.sqnr_db, ENOUGH_DB))
        agreement, sqnr_db = (-math.inf if math.isnan(figure) else figure for figure in figures)
        return agreement, sqnr_db


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
