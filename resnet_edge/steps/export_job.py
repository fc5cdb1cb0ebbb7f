"""What an export worker is told, and how it answers: files and lines of JSON, so that any process
can be it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.artifacts import CalibrationRecord


@dataclass(frozen=True)
class ExportJob:
    """The artifacts of one file format that are made of one model."""

    model: Path
    model_sha256: str
    model_name: str
    artifacts: Path
    """The folder they go to."""
    names: tuple[str, ...]
    labels: tuple[str, ...]
    preprocessing: str
    fit: str
    calibration: CalibrationRecord | None
    pictures: Path | None
    """Decoded calibration pictures, uint8 ``(n, height, width, 3)``, as ``.npy``."""
    tools: dict[str, str]
    options: dict[str, str]
    threads: int


@dataclass(frozen=True)
class ExportPlan:
    """What one worker process does: jobs that share a model."""

    jobs: tuple[ExportJob, ...]


@dataclass(frozen=True)
class ExportEvent:
    """One line of a worker's standard output."""

    artifact: str
    stage: str
    done: int
    total: int
    error: str | None = None
