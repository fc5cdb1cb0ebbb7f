"""The confusions that an artifact adds: wrong answers that it gives more often than the reference.

They come from the changed pictures alone, so they are known for any number of classes.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from resnet_edge.ondevice.measurements import GrownConfusion
from resnet_edge.ondevice.parity.metrics import NO_ANSWER, Floats, Integers, top_answers

MOST = 20
"""So many are recorded."""


def grown_confusions(
    reference: Floats, artifact: Floats, labels: Integers, names: tuple[str, ...]
) -> tuple[GrownConfusion, ...]:
    """Return the pairs of true class and wrong answer that grew, the largest growth first.

    Args:
        reference: Probabilities, (n, classes).
        artifact: The same shape.
        labels: True classes, (n,).
        names: One per class.
    """
    before, after = _count(reference, labels), _count(artifact, labels)
    grown = [pair for pair in after if after[pair] > before[pair]]
    grown.sort(key=lambda pair: (before[pair] - after[pair], pair))
    return tuple(
        GrownConfusion(names[label], names[answer], before[label, answer], after[label, answer])
        for label, answer in grown[:MOST]
    )


def _count(probabilities: Floats, labels: Integers) -> Counter[tuple[int, int]]:
    answers = top_answers(probabilities, labels)
    wrong = np.flatnonzero((answers != labels) & (answers != NO_ANSWER))
    return Counter(zip(labels[wrong].tolist(), answers[wrong].tolist()))
