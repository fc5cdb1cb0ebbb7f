"""The choice of the test pictures for a device."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from resnet_edge.ondevice.reference_file import Reference


def choose_sample(reference: Reference, count: int) -> np.ndarray:
    """Take pictures from the classes in turn, in each by the hashes of their files.

    So the classes have equal shares as far as their pictures go, and a larger sample holds the
    smaller one. The hashes decide which pictures come first: no name, no order on a disk.

    Args:
        reference: Pictures, their hashes and classes.
        count: The largest number of pictures.

    Returns:
        Places in the reference, int64, ascending.
    """
    hashes, classes = reference.info.hashes, reference.classes
    queues = [
        sorted(np.flatnonzero(classes == label).tolist(), key=lambda place: (hashes[place], place))
        for label in range(len(reference.info.labels))
    ]
    turns = (place for turn in zip_longest(*queues) for place in turn if place is not None)
    chosen = [place for place, _ in zip(turns, range(count), strict=False)]
    return np.array(sorted(chosen), np.int64)
