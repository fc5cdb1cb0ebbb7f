import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.reporting.label_placement import Box, place_labels

FRAME = Box(0, 0, 360, 200)
POINTS = st.lists(st.tuples(st.floats(20, 340), st.floats(20, 180)), min_size=1, max_size=10)


def test_a_lone_label_goes_to_the_right():
    assert place_labels([(100, 50)], [(40, 10)], FRAME) == (Box(105, 45, 40, 10),)


def test_at_the_right_edge_it_goes_to_the_left():
    assert place_labels([(350, 50)], [(40, 10)], FRAME) == (Box(305, 45, 40, 10),)


def test_without_room_it_is_still_placed():
    small = Box(0, 0, 10, 10)
    assert place_labels([(5, 5)], [(40, 10)], small) == (Box(10, 0, 40, 10),)


@settings(deadline=None, max_examples=40)
@given(POINTS)
def test_labels_cover_neither_each_other_nor_points(points):
    boxes = place_labels(points, [(60, 10)] * len(points), FRAME, marker=8)
    markers = [Box(x - 4, y - 4, 8, 8) for x, y in points]
    assert all(FRAME.contains(box) for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(marker) for box in boxes for marker in markers)
