"""Which artifact to take on this machine, and why: from measured figures alone.

Device-safe: standard library only.
"""

from __future__ import annotations

from resnet_edge.recommendation.candidate import Candidate
from resnet_edge.recommendation.choice import Choice, LeftOut, Recommendation, choose

__all__ = ["Candidate", "Choice", "LeftOut", "Recommendation", "choose"]
