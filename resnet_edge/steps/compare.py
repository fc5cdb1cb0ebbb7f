"""Compares two builds, or two files of results; needs neither TensorFlow, a runtime nor photos."""

from __future__ import annotations

import math
from pathlib import Path

from resnet_edge.comparison import Comparison, Tolerance, compare_sides, read_side
from resnet_edge.errors import UsageError


def compare(a: Path, b: Path, tolerance: Tolerance | None = None) -> Comparison:
    """Compare the results of two builds, artifact by artifact; nothing is run.

    Args:
        a: The build before: a folder, or one file of its results.
        b: The build now, likewise.
        tolerance: The loss that B may have.

    Returns:
        Every figure that both have, with its interval; false if one is worse by more than is
        tolerated.

    Raises:
        UsageError: A path is missing or holds nothing to compare, both are the same, or a tolerance
            is no share.
        ResnetEdgeError: A file is damaged or was written by another version.
    """
    tolerance = tolerance or Tolerance()
    for option, value in (
        ("--tolerance", tolerance.share),
        ("--accuracy-tolerance", tolerance.accuracy),
    ):
        if not 0 <= value < math.inf:
            raise UsageError(f"{option}: got {value}; expected a share, 0 or more")
    if a.exists() and b.exists() and a.samefile(b):
        raise UsageError(f"A and B are both {a}; expected two builds, or two files of results")
    return compare_sides(read_side(a), read_side(b), tolerance)
