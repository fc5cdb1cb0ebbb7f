from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.measurements import ClassResult
from resnet_edge.ondevice.parity.class_loss import class_changes
from resnet_edge.ondevice.parity.interval import accuracy_interval


def result(label: str, images: int, gained: int | None, lost: int | None) -> ClassResult:
    return ClassResult(label, images, 0.9, 0.9, 0.9, gained=gained, lost=lost)


def test_by_hand():
    classes = (result("cat", 100, 1, 4), result("dog", 50, 0, 12), result("eel", 0, 0, 0))
    dog, cat = class_changes(classes, 0.90)
    assert (cat.label, cat.change, cat.significant) == ("cat", pytest.approx(-0.03), False)
    assert (dog.label, dog.change, dog.significant) == ("dog", pytest.approx(-0.24), True)
    # Two classes have pictures: each interval has 1 - 0.10 / 2.
    alone = accuracy_interval(0, 12, 50, 0.95)
    assert (dog.interval.low, dog.interval.high) == (alone.low, alone.high)
    assert dog.interval.confidence == 0.90


def test_a_small_class_with_a_larger_loss_comes_after_one_that_lost_for_sure():
    classes = (result("rare", 4, 0, 2), result("common", 400, 0, 30))
    assert [each.label for each in class_changes(classes, 0.95)] == ["common", "rare"]


def test_among_many_classes_the_same_loss_is_chance():
    lost = result("cat", 50, 0, 6)
    others = tuple(result(f"class {number}", 50, 0, 0) for number in range(99))
    assert class_changes((lost,), 0.95)[0].significant
    assert not class_changes((lost, *others), 0.95)[0].significant


def test_records_of_an_earlier_version():
    assert class_changes((result("cat", 5, None, None),), 0.95) is None
    assert class_changes((result("cat", 0, None, None),), 0.95) == ()
    assert class_changes((), 0.95) == ()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 9), st.integers(0, 9)), min_size=1),
    st.floats(0.5, 0.99),
)
def test_intervals_hold_the_changes_and_are_wider_than_alone(counts, confidence):
    classes = tuple(
        result(str(place), images + gained + lost, gained, lost)
        for place, (images, gained, lost) in enumerate(counts)
    )
    changes = class_changes(classes, confidence)
    assert len(changes) == len(classes)
    for each in changes:
        alone = accuracy_interval(each.gained, each.lost, each.images, confidence)
        assert each.interval.low <= alone.low <= each.change <= alone.high <= each.interval.high
    order = [(not each.significant, each.change) for each in changes]
    assert order == sorted(order)
