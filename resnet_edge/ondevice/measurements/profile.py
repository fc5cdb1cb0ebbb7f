"""Time per operator: the records of ``results/profile-HOST.json``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_edge.ondevice.measurements.machine import Machine
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class OperatorTime:
    """One operator of the graph as the runtime executes it."""

    layer: str
    """The Keras layer that it computes; empty where converter or runtime added it."""
    operator: str
    """The operator's kind, for instance ``Conv``."""
    node: str
    """The operator's name in the runtime."""
    median_s: float
    """The median over inferences; runtimes count whole microseconds."""
    share: float
    """The share of the sum over all operators, in [0, 1]."""


@dataclass(frozen=True)
class OperatorProfile:
    """Times of all operators of one artifact with one thread count."""

    runtime: str
    threads: int
    queries: int
    """Inferences that the medians are of."""
    operators: tuple[OperatorTime, ...]
    """In the order of execution."""

    @property
    def total_s(self) -> float:
        """The sum over all operators."""
        return math.fsum(operator.median_s for operator in self.operators)


@dataclass(frozen=True)
class ArtifactProfile:
    """One artifact's time by operator, or the reason why that is not known."""

    name: str
    sha256: str
    profiles: tuple[OperatorProfile, ...]
    """One per thread count; empty where the runtime does not report it."""
    unavailable: str | None = None
    """The reason why there are none."""


@dataclass(frozen=True)
class ProfileResult:
    """``results/profile-HOST.json``."""

    machine: Machine
    artifacts: tuple[ArtifactProfile, ...]
    schema: int = SCHEMA_VERSION
