"""What this machine has: processor, GPU, packages, and what is missing. Standard library only."""

from __future__ import annotations

from resnet_edge.diagnosis.diagnosis import Diagnosis, diagnose
from resnet_edge.diagnosis.rows import diagnosis_rows

__all__ = ["Diagnosis", "diagnose", "diagnosis_rows"]
