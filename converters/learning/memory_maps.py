"""Pictures in a memory map, of which only those in use should count as memory."""

from __future__ import annotations

import mmap

import numpy as np


def forget_pages(pictures: np.ndarray) -> None:
    """Release the pages of a memory map, which the kernel would keep as long as it has room.

    Pages that were read count as memory of this process, also against the limit of a container.
    """
    mapped = getattr(pictures, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):  # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)
