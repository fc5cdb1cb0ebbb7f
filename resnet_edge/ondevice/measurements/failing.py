"""Which artifacts failed, where some of their runtimes did."""

from __future__ import annotations

from collections.abc import Iterable

from resnet_edge.ondevice.measurements.latency import ArtifactBench
from resnet_edge.ondevice.measurements.parity import ArtifactParity
from resnet_edge.ondevice.measurements.unmeasured import Unmeasured


def failed_everywhere(
    failed: Iterable[Unmeasured],
    parities: Iterable[ArtifactParity],
    benches: Iterable[ArtifactBench],
) -> tuple[str, ...]:
    """Return the artifacts that no runtime came through with, in the order of ``failed``.

    A refusal belongs to an artifact in one runtime: another runtime's answers still count. A
    runtime that answered and then crashed while it was timed did not come through.

    Args:
        failed: What could not be measured.
        parities: The answers, in all runtimes.
        benches: The latencies, in all runtimes.
    """
    failed = tuple(failed)
    worked = {(each.name, each.runtime_name) for each in parities if each.images}
    worked |= {(each.name, timed.runtime) for each in benches for timed in each.latencies}
    worked -= {(gone.name, gone.runtime) for gone in failed}
    whole = {gone.name for gone in failed if gone.runtime is None}
    held = {name for name, _ in worked} - whole
    return tuple(dict.fromkeys(gone.name for gone in failed if gone.name not in held))
