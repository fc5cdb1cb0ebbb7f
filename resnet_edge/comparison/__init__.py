"""Two builds compared by their saved results alone; nothing is run."""

from __future__ import annotations

from resnet_edge.comparison.compare_builds import (
    ArtifactComparison,
    Comparison,
    VerdictChange,
    compare_sides,
)
from resnet_edge.comparison.differences import Change, Difference, Figure
from resnet_edge.comparison.results_files import Side, read_side

__all__ = [
    "ArtifactComparison",
    "Change",
    "Comparison",
    "Difference",
    "Figure",
    "Side",
    "VerdictChange",
    "compare_sides",
    "read_side",
]
