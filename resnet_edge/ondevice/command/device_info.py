"""A device as its bundle describes it: the records that ``info`` and errors are, with ``--json``.

Standard library only, and NumPy not even in annotations: a missing NumPy is told with them.
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
    """Why there is none, with what to do; empty where there is one."""
    install: str
    """Arguments of ``pip install`` that give one; empty where there is one or can be none."""


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
    """Why pictures cannot be decoded, with what to do; empty where they can."""
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
    """Arguments of ``pip install`` that would help; empty where nothing is to be installed."""


def failure_of(problem: ResnetEdgeError) -> Failure:
    """Return the record of an error."""
    install = problem.install if isinstance(problem, RuntimeMissingError) else ""
    return Failure(str(problem), problem.exit_code, install)
