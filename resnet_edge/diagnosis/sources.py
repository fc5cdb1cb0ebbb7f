"""The sources of ``diagnose``: files, commands and package metadata of this machine.

Nothing heavy is imported: versions come from the installed packages' metadata, so that they are
known even where an import would crash.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.ondevice.gpus import TEGRA_RELEASE, run_command
from resnet_edge.ondevice.machine import CPUINFO, MEMINFO, MEMORY_LIMIT
from resnet_edge.ondevice.versions import installed_version


def installed_requirements(package: str) -> tuple[str, ...]:
    """Return the requirements of an installed package, for instance ``numpy>=1.26.0``."""
    try:
        return tuple(importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


@dataclass(frozen=True)
class MachineSources:
    """The sources of ``diagnose``; tests take others than this machine's."""

    cpuinfo: Path = CPUINFO
    meminfo: Path = MEMINFO
    memory_limit: Path = MEMORY_LIMIT
    tegra_release: Path = TEGRA_RELEASE
    architecture: str = field(default_factory=platform.machine)
    python: tuple[int, int] = sys.version_info[:2]
    version: Callable[[str], str | None] = installed_version
    requirements: Callable[[str], tuple[str, ...]] = installed_requirements
    run: Callable[[tuple[str, ...]], str] = run_command
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
