"""Compares two builds, or two files of results; needs neither TensorFlow, a runtime nor photos."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.comparison.compare_builds import Comparison, compare_sides
from resnet_edge.comparison.results_files import read_side
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.errors import UsageError
from resnet_edge.options import StrPath


def compare(a: StrPath, b: StrPath, tolerance: Tolerance | None = None) -> Comparison:
    """Compare the results of two builds, artifact by artifact; nothing is run.

    Args:
        a: The build before: a folder, or one file of its results.
        b: The build now, likewise.
        tolerance: The loss that B may have.

    Returns:
        Every figure that both have, with its interval; false if one is worse by more than is
        tolerated.

    Raises:
        UsageError: A path is missing or holds nothing to compare, or both are the same.
        ResnetEdgeError: A file is damaged or was written by another version.
    """
    a, b, tolerance = Path(a), Path(b), tolerance or Tolerance()
    if a.exists() and b.exists() and a.samefile(b):
        raise UsageError(f"A and B are both {a}; expected two builds, or two files of results")
    return compare_sides(read_side(a), read_side(b), tolerance)
