"""Two builds, or two files of results, compared. Needs no TensorFlow, no runtime and no photos."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.comparison import Comparison, compare_sides, read_side
from resnet_edge.errors import UsageError
from resnet_edge.options import StrPath, Tolerance


def compare(a: StrPath, b: StrPath, tolerance: Tolerance | None = None) -> Comparison:
    """Compare what was measured of two builds, artifact by artifact; nothing is run.

    Args:
        a: What was before: a build folder, or one file of its results.
        b: What is now.
        tolerance: How much worse B may be.

    Returns:
        Every figure that both have, with its interval; false where one is worse by more than is
        tolerated.

    Raises:
        UsageError: A path is missing or holds nothing to compare, or both are the same.
        ResnetEdgeError: A file is damaged or was written by another version.
    """
    a, b, tolerance = Path(a), Path(b), tolerance or Tolerance()
    if a.exists() and b.exists() and a.samefile(b):
        raise UsageError(f"A and B are both {a}; expected two builds, or two files of results")
    return compare_sides(read_side(a), read_side(b), tolerance)
