"""The records that a bundle's commands print with ``--json``: the device, and an error.

Standard library only: they are also printed where NumPy is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.errors import ResnetEdgeError, RuntimeMissingError
from resnet_edge.ondevice.formats.kinds import Format


@dataclass(frozen=True)
class FormatRuntimes:
    """The runtimes of a device for the files of one format."""

    format: Format
    runtimes: tuple[str, ...]
    """Names with versions, the preferred one first."""
    problem: str
    """The reason why there is none, and the advice; empty if there is one."""
    install: str
    """Arguments of ``pip install`` that give one; empty if there is one or can be none."""


@dataclass(frozen=True)
class DeviceInfo:
    """A device and the bundle on it."""

    host: str
    system: str
    processor: str
    emulated: bool
    """True if another processor pretends to be the device's."""
    cpu_features: tuple[str, ...]
    cores: int
    memory_bytes: int | None
    """None where the system does not tell."""
    free_bytes: int
    folder: str
    """The folder that artifacts are unpacked in; ``free_bytes`` are free there."""
    python: str
    numpy: str
    pillow_problem: str
    """The reason why pictures cannot be decoded, and the advice; empty if they can."""
    formats: tuple[FormatRuntimes, ...]
    model_name: str
    model_sha256: str
    artifacts: dict[str, int]
    """Bytes by name."""
    pictures_bytes: int
    made_by: str


@dataclass(frozen=True)
class Failure:
    """A command of the bundle that ended with an error."""

    error: str
    exit_code: int
    install: str = ""
    """Arguments of ``pip install`` that would help; empty if none would."""


def failure_of(problem: ResnetEdgeError) -> Failure:
    """Return the record of an error."""
    install = problem.install if isinstance(problem, RuntimeMissingError) else ""
    return Failure(str(problem), problem.exit_code, install)
