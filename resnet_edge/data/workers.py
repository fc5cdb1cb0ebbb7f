"""Threads that read and decode pictures: one a core, few at once with very large pictures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from resnet_edge.data.places import Place, is_stored
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.pictures import pixel_count

T = TypeVar("T")
R = TypeVar("R")

WORKERS = available_cores()
"""Pillow decodes and resizes outside of Python's lock, so threads use all cores."""

STORE_WORKERS = max(16, WORKERS)
"""Threads where pictures come from a store, which answers many at once and each of them late."""


def threads_for(place: Place, on_disk: int = WORKERS) -> int:
    """Return the number of threads that read pictures.

    Args:
        place: Where the first one is; the others are with it.
        on_disk: Threads for pictures on this machine.
    """
    return STORE_WORKERS if is_stored(place) else on_disk


def in_order(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Call a function for each item, and yield the results in order.

    With several threads all items are waited for in the end, so there should be few.
    """
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)


_LARGE_PIXELS = 1 << 25
_LARGE = threading.BoundedSemaphore(4)
"""Pictures above 33 megapixels that are in memory at once. The largest takes 512 MiB."""


@contextlib.contextmanager
def room_for(data: bytes, name: str) -> Iterator[None]:
    """Wait until there is room in memory for a picture's pixels.

    Raises:
        PictureError: It is not a picture, or its header is damaged.
    """
    large = pixel_count(data, name) > _LARGE_PIXELS
    with _LARGE if large else contextlib.nullcontext():
        yield
