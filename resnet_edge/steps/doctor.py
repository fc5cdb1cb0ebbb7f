"""The state of this machine."""

from __future__ import annotations

from resnet_edge.diagnosis import Diagnosis, diagnose


def doctor() -> Diagnosis:
    """Find out what this machine has: processor, GPU, runtimes, and what is missing.

    Never raises: what cannot be found out is said to be unknown.
    """
    return diagnose()
