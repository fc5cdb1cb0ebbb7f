"""The records of what was measured, between ``parity``, ``bench``, ``profile`` and ``report``.

Times are seconds, sizes bytes, shares in [0, 1].
"""

from __future__ import annotations

from resnet_edge.ondevice.measurements.browser import Browser, BrowserRun
from resnet_edge.ondevice.measurements.failing import failed_everywhere
from resnet_edge.ondevice.measurements.latency import (
    NOISY_SPREAD,
    UNNAMED,
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
    ConfusedPair,
    ParityResult,
)
from resnet_edge.ondevice.measurements.picture_digits import (
    PictureAnswers,
    PictureProbabilities,
)
from resnet_edge.ondevice.measurements.profile import (
    ArtifactProfile,
    OperatorProfile,
    OperatorTime,
    ProfileResult,
)
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.unmeasured import Unmeasured
from resnet_edge.ondevice.measurements.verdict import (
    FurtherGate,
    GateResult,
    Interval,
    Verdict,
    any_refused,
    combine_gates,
    combine_results,
    worst_verdict,
)

__all__ = [
    "NOISY_SPREAD",
    "SCHEMA_VERSION",
    "UNNAMED",
    "ArtifactBench",
    "ArtifactParity",
    "ArtifactProfile",
    "BenchResult",
    "Browser",
    "BrowserRun",
    "ChangedPicture",
    "ClassResult",
    "ConfusedPair",
    "FurtherGate",
    "GateResult",
    "Interval",
    "Latency",
    "Machine",
    "OperatorProfile",
    "OperatorTime",
    "ParityResult",
    "PictureAnswers",
    "PictureProbabilities",
    "ProfileResult",
    "Provider",
    "Throughput",
    "Unmeasured",
    "Verdict",
    "any_refused",
    "combine_gates",
    "combine_results",
    "failed_everywhere",
    "preferred_latencies",
    "worst_verdict",
]
