"""Threads that read pictures."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from resnet_edge.data.address import Address
from resnet_edge.data.places import FilePlace, ObjectPlace, RangePlace
from resnet_edge.data.workers import STORE_WORKERS, WORKERS, in_order, threads_for


def test_pictures_of_a_store_are_read_by_more_threads():
    address = Address("s3://bucket/cat/1.jpg")
    assert threads_for(FilePlace(Path("cat/1.jpg"))) == WORKERS
    assert threads_for(FilePlace(Path("cat/1.jpg")), on_disk=1) == 1
    assert threads_for(ObjectPlace(address), on_disk=1) == STORE_WORKERS
    assert threads_for(RangePlace(address, 512, 100), on_disk=1) == STORE_WORKERS
    assert threads_for(RangePlace(Path("1.tar"), 512, 100), on_disk=1) == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_results_are_in_order(threads: int):
    assert list(in_order(lambda number: number**2, range(50), threads)) == [
        number**2 for number in range(50)
    ]


def test_threads_wait_side_by_side():
    together = threading.Barrier(8, timeout=30)
    assert len(list(in_order(lambda _: together.wait(), range(8), 8))) == 8


def test_an_error_ends_them():
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 // number, [1, 0, 2], 2))
