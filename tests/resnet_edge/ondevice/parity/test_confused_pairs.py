from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.measurements import ConfusedPair
from resnet_edge.ondevice.parity.confused_pairs import MOST, Confusions
from resnet_edge.ondevice.parity.metrics import NO_ANSWER

NAMES = ("cat", "dog", "eel")
LABELS = np.array([0, 0, 1, 2])
BEFORE = np.array([0, 0, 0, 2])  # the dog is taken for a cat
AFTER = np.array([1, 0, 2, 1])


def test_by_hand():
    confusions = Confusions(BEFORE, AFTER, LABELS, NAMES)
    assert confusions.grown() == (
        ConfusedPair("cat", "dog", 0, 1),
        ConfusedPair("dog", "eel", 0, 1),
        ConfusedPair("eel", "dog", 0, 1),
    )
    assert confusions.most() == (ConfusedPair("dog", "cat", 1, 0),)
    turned = Confusions(AFTER, BEFORE, LABELS, NAMES)
    assert turned.grown() == (ConfusedPair("dog", "cat", 0, 1),)
    assert turned.most() == (
        ConfusedPair("cat", "dog", 1, 0),
        ConfusedPair("dog", "eel", 1, 0),
        ConfusedPair("eel", "dog", 1, 0),
    )
    assert Confusions(BEFORE, BEFORE, LABELS, NAMES).grown() == ()


def test_no_answer_confuses_nothing():
    nothing = np.full(4, NO_ANSWER)
    confusions = Confusions(nothing, nothing, LABELS, NAMES)
    assert (confusions.grown(), confusions.most()) == ((), ())


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_the_most_frequent_come_first(count: int, classes: int, seed: int):
    rng = np.random.default_rng(seed)
    labels, before, after = rng.integers(0, classes, (3, count))
    names = tuple(f"{number:03}" for number in range(classes))
    confusions = Confusions(before, after, labels, names)
    expected = Counter(
        (names[label], names[answer])
        for label, answer in zip(labels.tolist(), before.tolist(), strict=True)
        if label != answer
    )
    most = confusions.most()
    ordered = sorted(expected, key=lambda pair: (-expected[pair], pair))
    assert [(each.label, each.answer) for each in most] == ordered[:MOST]
    assert [each.before for each in most] == [expected[pair] for pair in ordered[:MOST]]
    growth = [each.after - each.before for each in confusions.grown()]
    assert growth == sorted(growth, reverse=True)
    assert min(growth, default=1) > 0
