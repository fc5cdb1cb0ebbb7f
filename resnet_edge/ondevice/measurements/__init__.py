"""The records of what was measured, between ``parity``, ``bench``, ``profile`` and ``report``.

Times are seconds, sizes bytes, shares in [0, 1].
"""

from __future__ import annotations

from resnet_edge.ondevice.measurements.latency import (
    NOISY_SPREAD,
    ArtifactBench,
    BenchResult,
    Latency,
    Provider,
    Throughput,
    preferred_latencies,
)
from resnet_edge.ondevice.measurements.machine import Machine
from resnet_edge.ondevice.measurements.parity import (
    ArtifactParity,
    ChangedPicture,
    ClassResult,
    ParityResult,
    PictureAnswers,
)
from resnet_edge.ondevice.measurements.profile import (
    ArtifactProfile,
    OperatorProfile,
    OperatorTime,
    ProfileResult,
)
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.verdict import (
    GateResult,
    Interval,
    Verdict,
    any_refused,
    combine_gates,
    worst_verdict,
)

__all__ = [
    "NOISY_SPREAD",
    "SCHEMA_VERSION",
    "ArtifactBench",
    "ArtifactParity",
    "ArtifactProfile",
    "BenchResult",
    "ChangedPicture",
    "ClassResult",
    "GateResult",
    "Interval",
    "Latency",
    "Machine",
    "OperatorProfile",
    "OperatorTime",
    "ParityResult",
    "PictureAnswers",
    "ProfileResult",
    "Provider",
    "Throughput",
    "Verdict",
    "any_refused",
    "combine_gates",
    "preferred_latencies",
    "worst_verdict",
]
