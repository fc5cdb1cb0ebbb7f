"""The machine that a measurement was made on, as a record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A machine that measured."""

    host: str
    system: str
    processor: str
    cpu_features: tuple[str, ...]
    cores: int
    python: str
    runtimes: dict[str, str]
    """Name and version of every runtime that was used."""
