"""The inventory of this machine: processor, GPU, packages, and what is missing."""

from __future__ import annotations

from resnet_edge.diagnosis.diagnosis import Diagnosis, diagnose
from resnet_edge.diagnosis.rows import diagnosis_rows

__all__ = ["Diagnosis", "diagnose", "diagnosis_rows"]
