"""What could not be measured, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resnet_edge.ondevice.measurements.latency import ArtifactBench
from resnet_edge.ondevice.measurements.parity import ArtifactParity


@dataclass(frozen=True)
class Unmeasured:
    """An artifact, or an artifact in one runtime, that could not be measured, and the reason."""

    name: str
    reason: str
    runtime: str | None = None
    """The runtime that refused the file or failed, without its version. None where the artifact
    as a whole could not be measured, and in records of earlier versions."""

    @property
    def where(self) -> str:
        """The artifact with the runtime: ``fp32.onnx in OpenVINO``."""
        return self.name if self.runtime is None else f"{self.name} in {self.runtime}"

    @property
    def happened(self) -> str:
        """What to say of it beside the artifact's name: ``failed in OpenVINO``."""
        return "failed" if self.runtime is None else f"failed in {self.runtime}"


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
