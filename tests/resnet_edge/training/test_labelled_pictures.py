import numpy as np
import pytest

from resnet_edge.errors import DataError
from resnet_edge.training.labelled_pictures import LabelledPictures


def test_it_has_a_length():
    pictures = LabelledPictures(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 7]), "key")
    assert len(pictures) == 2


@pytest.mark.parametrize(
    ("pictures", "labels", "message"),
    [
        (np.zeros((1, 4, 4, 3)), np.array([0]), r"got float64 \(1, 4, 4, 3\); expected uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.array([0]), "expected uint8"),
        (np.zeros((1, 4, 4, 1), np.uint8), np.array([0]), "expected uint8"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.array([0, 1]), r"expected int64 \(1,\), one for"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.array([0.0]), "labels: got float64"),
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0, np.int64), "pictures: got none"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.array([-1]), "labels: got -1; expected classes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pictures, labels, message):
    with pytest.raises(DataError, match=message):
        LabelledPictures(pictures, labels, "key")
