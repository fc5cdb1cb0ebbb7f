"""The artifact to take on this machine, with the reasons, from measured figures alone."""

from __future__ import annotations

from resnet_edge.recommendation.candidate import Candidate
from resnet_edge.recommendation.choice import Choice, LeftOut, Recommendation, choose

__all__ = ["Candidate", "Choice", "LeftOut", "Recommendation", "choose"]
