"""What could not be measured, and why."""

from __future__ import annotations

from dataclasses import dataclass


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
