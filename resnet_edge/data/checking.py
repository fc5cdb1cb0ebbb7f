"""Every file that must be a picture: read, hashed and decoded to its end, in all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import PIL
from PIL import Image

from resnet_edge.data.checked_files import (
    CheckedFile,
    Memory,
    describe_file,
    read_memory,
    write_memory,
)
from resnet_edge.data.listing import Candidate
from resnet_edge.data.places import is_stored, read_place
from resnet_edge.data.workers import STORE_WORKERS, WORKERS, room_for
from resnet_edge.errors import PictureError
from resnet_edge.ondevice.pictures import check_bytes
from resnet_edge.ondevice.versions import installed_version

OnPicture = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all."""

_AT_ONCE = 1024
"""Pictures that wait for a thread at once."""

_ONE_COLOUR = 3.0
"""Standard deviation of grey levels up to which a picture counts as of one colour."""


@dataclass(frozen=True)
class Checked:
    """A file that was checked: a sound picture, or a defect."""

    file: CheckedFile | None
    problem: str = ""
    """The defect, as ``name: reason``; empty for a sound picture."""


def check_all(
    candidates: tuple[Candidate, ...], folder: Path, progress: OnPicture | None
) -> tuple[Checked, ...]:
    """Read, hash and decode every candidate that is new.

    Args:
        candidates: Files that must be pictures.
        folder: Folder for the memory of checks. Later runs do not read a file again that has the
            same size and time, and do not decode content that they know.
        progress: Called after each picture with done and total.

    Raises:
        OutputError: The memory cannot be written.
    """
    path = folder / f"checked-{decoder()}-imagehash-{installed_version('imagehash')}.tsv"
    memory = read_memory(path)
    checks: list[Checked] = []
    stored = any(is_stored(candidate.place) for candidate in candidates[:1])
    pool = ThreadPoolExecutor(STORE_WORKERS if stored else WORKERS)
    try:
        for start in range(0, len(candidates), _AT_ONCE):  # a task for each would fill the memory
            some = candidates[start : start + _AT_ONCE]
            for checked in pool.map(lambda candidate: _check(candidate, memory), some):
                checks.append(checked)
                if progress is not None:
                    progress(len(checks), len(candidates))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for thousands of pictures
        write_memory(path, memory, [c.file for c in checks if c.file is not None])
    return tuple(checks)


def decoder() -> str:
    """Return the packages that decode and their versions, for names of files in the cache."""
    heif = installed_version("pillow-heif")
    return f"pillow-{PIL.__version__}" + (f"-heif-{heif}" if heif else "")


def _check(candidate: Candidate, memory: Memory) -> Checked:
    if known := memory.find(candidate.place):
        return Checked(known)
    try:
        data = read_place(candidate.place, candidate.name)
        sha256 = hashlib.sha256(data).hexdigest()
        look = memory.looks.get(sha256)
        if look is None:
            with room_for(data, candidate.name):
                look = look_of(check_bytes(data, candidate.name))
    except PictureError as problem:
        return Checked(None, problem.reason)
    return Checked(describe_file(candidate.place, sha256, look))


def look_of(picture: Image.Image) -> str:
    """Return a perceptual hash: the signs of the lowest frequencies of the picture in grey.

    Of copies that were scaled or compressed again two of three and more have the same one; of
    different photos nearly none (``docs/benchmarks.md``).
    """
    grey = picture.convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    if np.asarray(grey).std() <= _ONE_COLOUR:
        return ""
    return str(imagehash.phash(grey))
