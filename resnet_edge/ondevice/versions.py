"""Versions of installed packages, from their metadata: nothing is imported.

Standard library only, also before NumPy is known to be there.
"""

from __future__ import annotations

import importlib.metadata
import re


def installed_version(*names: str) -> str | None:
    """Return the version of the first of these distributions that is installed.

    Args:
        names: Distributions of one package, for instance ``tensorflow`` and ``tensorflow-cpu``.

    Returns:
        None where none of them is installed.
    """
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def version_of(package: str) -> str:
    """Return the installed version of ``package``; ``not installed`` where it is missing."""
    return installed_version(package) or "not installed"


def release(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers: ``(2, 14, 0)`` of ``2.14.0rc1``."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
