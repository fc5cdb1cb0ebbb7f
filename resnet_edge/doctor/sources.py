"""Where ``diagnose`` looks: files, commands and package metadata of this machine.

Standard library only, and nothing heavy is imported: versions come from the installed packages'
metadata, so that they are known even where an import would crash.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.machine import CPUINFO

COMMAND_LIMIT_S = 5.0
"""How long ``nvidia-smi`` may take: with a hung driver it never answers."""


def installed_version(package: str) -> str | None:
    """Return a package's version from its metadata, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_requirements(package: str) -> tuple[str, ...]:
    """Return what an installed package says it needs, for instance ``numpy>=1.26.0``."""
    try:
        return tuple(importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


def run_command(command: tuple[str, ...]) -> str:
    """Run a command and return what it prints.

    Raises:
        OSError: It is not there.
        subprocess.SubprocessError: It fails, or takes longer than ``COMMAND_LIMIT_S``.
    """
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=COMMAND_LIMIT_S
    ).stdout


@dataclass(frozen=True)
class Sources:
    """Where ``diagnose`` looks: files, commands and metadata of this machine."""

    cpuinfo: Path = CPUINFO
    meminfo: Path = Path("/proc/meminfo")
    memory_limit: Path = Path("/sys/fs/cgroup/memory.max")
    tegra_release: Path = Path("/etc/nv_tegra_release")
    architecture: str = field(default_factory=platform.machine)
    python: tuple[int, int] = sys.version_info[:2]
    version: Callable[[str], str | None] = installed_version
    requirements: Callable[[str], tuple[str, ...]] = installed_requirements
    run: Callable[[tuple[str, ...]], str] = run_command
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
