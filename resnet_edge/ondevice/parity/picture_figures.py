"""One side's answers, reduced to a few figures of each picture.

All figures of a comparison but the distances of logits come from these, so that the probabilities
are read once, a block at a time, and never held whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from resnet_edge.ondevice.parity.metrics import (
    Booleans,
    Floats,
    Integers,
    best_classes,
    finite_rows,
    largest_two,
    top_answers,
    topk_hits,
)
from resnet_edge.ondevice.row_blocks import row_blocks


@dataclass(frozen=True)
class PictureFigures:
    """The figures of n pictures, each of shape (n,)."""

    finite: Booleans
    """False where an answer holds NaN or infinity."""
    right: Booleans
    """``topk_hits`` with k = 1."""
    top5: Booleans
    """``topk_hits`` with k = 5."""
    answers: Integers
    """``top_answers``."""
    first_best: Integers
    """The first of the most probable classes, whatever the label is."""
    ties: Integers
    """The number of most probable classes: 1 but for ties, and 0 where not finite."""
    largest: Floats
    """The largest probability."""
    second: Floats
    """The second largest; 0 of a single class."""
    sums: Floats
    """Float64; 1 of a softmax."""
    negative: Booleans
    """True where a probability is below 0."""


def picture_figures(probabilities: Floats, labels: Integers) -> PictureFigures:
    """Return the figures of every picture.

    Args:
        probabilities: Shape (n, classes); may be mapped from disk.
        labels: Shape (n,), in [0, classes).
    """
    blocks = [_figures(*arrays) for _, arrays in row_blocks(probabilities, labels)]
    if not blocks:
        return _figures(np.asarray(probabilities), labels)
    names = [field.name for field in fields(PictureFigures)]
    return PictureFigures(
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in names)
    )


def _figures(probabilities: Floats, labels: Integers) -> PictureFigures:
    second, largest = largest_two(probabilities)
    with np.errstate(invalid="ignore", over="ignore"):
        # A sum of float32 into float64 is buffered, so it would depend on the place in the block.
        sums = probabilities.astype(np.float64).sum(axis=1)
    return PictureFigures(
        finite=finite_rows(probabilities),
        right=topk_hits(probabilities, labels, 1),
        top5=topk_hits(probabilities, labels, 5),
        answers=top_answers(probabilities, labels),
        first_best=probabilities.argmax(axis=1),
        ties=best_classes(probabilities).sum(axis=1),
        largest=largest,
        second=second,
        sums=sums,
        negative=np.asarray((probabilities < 0).any(axis=1), np.bool_),
    )
