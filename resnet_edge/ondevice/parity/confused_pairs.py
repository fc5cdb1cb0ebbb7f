"""Pairs of a true class and a wrong answer: the most frequent, and those that an artifact adds.

They are a list that a person reads where a matrix of all classes is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from resnet_edge.ondevice.measurements import ConfusedPair
from resnet_edge.ondevice.parity.metrics import NO_ANSWER, Integers

MOST = 20
"""So many are recorded of each list."""


class Confusions:
    """The wrong answers of both sides, counted by pair."""

    def __init__(
        self, reference: Integers, artifact: Integers, labels: Integers, names: tuple[str, ...]
    ) -> None:
        """Count.

        Args:
            reference: Answers as of ``top_answers``, (n,).
            artifact: The same of the artifact.
            labels: True classes, (n,).
            names: One per class.
        """
        self._names = names
        self._before = _count(reference, labels)
        self._after = _count(artifact, labels)

    def grown(self) -> tuple[ConfusedPair, ...]:
        """Return the pairs that the artifact has more often, the largest growth first."""
        before, after = self._before, self._after
        pairs = [pair for pair in after if after[pair] > before[pair]]
        pairs.sort(key=lambda pair: (before[pair] - after[pair], pair))
        return self._listed(pairs)

    def most(self) -> tuple[ConfusedPair, ...]:
        """Return the reference's most frequent pairs, the most frequent first."""
        return self._listed(sorted(self._before, key=lambda pair: (-self._before[pair], pair)))

    def _listed(self, pairs: Sequence[tuple[int, int]]) -> tuple[ConfusedPair, ...]:
        names, before, after = self._names, self._before, self._after
        return tuple(
            ConfusedPair(names[label], names[answer], before[label, answer], after[label, answer])
            for label, answer in pairs[:MOST]
        )


def _count(answers: Integers, labels: Integers) -> Counter[tuple[int, int]]:
    wrong = (answers != labels) & (answers != NO_ANSWER)
    pairs = np.stack([labels[wrong], answers[wrong]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return Counter(
        {(label, answer): count for (label, answer), count in zip(found.tolist(), counts.tolist())}
    )
