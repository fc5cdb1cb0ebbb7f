"""The runtimes of a machine in which an artifact's answers pass, and those in which they do not."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.ondevice.measurements import ArtifactParity, Verdict
from resnet_edge.recommendation.choice import LeftOut

MORE_PICTURES = "add test pictures"
"""What decides an inconclusive gate on this machine."""


@dataclass(frozen=True)
class Held:
    """Answers that pass, and the runtime that they stand for."""

    runtime: str
    """Without its version."""
    parity: ArtifactParity


@dataclass(frozen=True)
class Proof:
    """What is known of an artifact's answers on one machine."""

    name: str
    held: tuple[Held, ...] = ()
    """By runtime, the preferred one first."""
    refused: tuple[LeftOut, ...] = ()
    alone: bool = False
    """True if the machine has one runtime for the file, so that it need not be named."""

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes in which the answers pass."""
        return tuple(each.runtime for each in self.held)

    def where(self, runtime: str) -> str:
        """Return the artifact with the runtime, as ``left_out`` names it."""
        return self.name if self.alone else f"{self.name} in {runtime}"


def refusal(parity: ArtifactParity, allow_inconclusive: bool, more: str) -> str | None:
    """Return the reason not to recommend an artifact by its answers; None if there is none.

    Args:
        parity: Its answers in one runtime.
        allow_inconclusive: True to admit what could not be decided.
        more: What would decide it.
    """
    gate = parity.answers_gate
    match gate.verdict:
        case Verdict.FAIL:
            return f"fail: {gate.reason}"
        case Verdict.NOT_CHECKED:
            return gate.reason
        case Verdict.INCONCLUSIVE if not allow_inconclusive:
            return f"inconclusive: {gate.reason}; {more}, or pass --allow-inconclusive"
    return None
