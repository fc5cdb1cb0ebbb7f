"""The artifacts among which ``recommend`` chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_edge.ondevice.latency.noise import best_latency, faster
from resnet_edge.ondevice.measurements import ArtifactBench, ArtifactParity, Latency
from resnet_edge.ondevice.parity.noise import ENOUGH_DB


@dataclass(frozen=True)
class Candidate:
    """An artifact that may be recommended, with its accuracy and its latencies."""

    parity: ArtifactParity
    bench: ArtifactBench

    @property
    def name(self) -> str:
        """The artifact's name, for instance ``int8.onnx``."""
        return self.bench.name

    @property
    def bytes(self) -> int:
        """The file's size."""
        return self.bench.bytes

    @property
    def size(self) -> float:
        """The bytes to three significant digits, as shown: a few kilobytes do not decide."""
        return float(f"{self.bytes:.3g}")

    @property
    def latency(self) -> Latency:
        """The latency with the thread count to deploy; see ``best_latency``."""
        return best_latency(self.bench.latencies)

    @property
    def closeness(self) -> tuple[float, float]:
        """Agreement with the reference, then SQNR; larger is closer, and NaN counts as smallest."""
        parity = self.parity
        figures = (parity.agreement, min(parity.sqnr_db, ENOUGH_DB))
        agreement, sqnr_db = (-math.inf if math.isnan(figure) else figure for figure in figures)
        return agreement, sqnr_db


def beats(one: Candidate, other: Candidate) -> bool:
    """True if ``one`` is not worse than ``other`` in any figure, and better in one.

    The figures are latency (by ``faster``), size as shown, and closeness to the reference.
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
