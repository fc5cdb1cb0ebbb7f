from __future__ import annotations

import pytest

from resnet_edge.inspection.contents import split_labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", ()),
        ("cat\n", ("cat",)),
        ("cat\r\ndog", ("cat", "dog")),
        ("cat\n\ndog\n", ("cat", "", "dog")),
        ("two\u2028parts\nfour\x0bparts\n", ("two\u2028parts", "four\x0bparts")),
    ],
)
def test_labels_are_split_at_line_breaks_alone(text, labels):
    assert split_labels(text) == labels
