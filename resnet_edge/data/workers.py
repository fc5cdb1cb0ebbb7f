"""Threads that read and decode pictures: one a core, few at once with very large pictures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.pictures import pixel_count

WORKERS = available_cores()
"""Pillow decodes and resizes outside of Python's lock, so threads use all cores."""

STORE_WORKERS = max(16, WORKERS)
"""Threads where pictures come from a store, which answers many at once and each of them late."""

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
