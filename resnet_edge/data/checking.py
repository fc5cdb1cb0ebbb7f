"""Every file that must be a picture: read, hashed and decoded to its end, in all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import PIL

from resnet_edge.data.listing import Candidate
from resnet_edge.data.workers import WORKERS, room_for
from resnet_edge.errors import PictureError
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.pictures import check_bytes, read_picture
from resnet_edge.ondevice.versions import installed_version

OnPicture = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all."""


@dataclass(frozen=True)
class Checked:
    """A file that was opened."""

    sha256: str
    problem: str | None
    """The defect, as ``name: reason``; None for a sound picture."""


def check_all(
    candidates: tuple[Candidate, ...], memory: Path, progress: OnPicture | None
) -> tuple[Checked, ...]:
    """Read, hash and, where this content was never seen, decode every candidate.

    Args:
        candidates: Files that must be pictures.
        memory: Folder for the hashes of pictures that decode; later runs only hash.
        progress: Called after each picture with done and total.

    Raises:
        OutputError: ``memory`` cannot be written.
    """
    remembered = memory / f"decodable-{decoder()}.txt"
    text = remembered.read_text(errors="replace") if remembered.is_file() else ""
    known = frozenset(text.split())
    checks: list[Checked] = []
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for checked in pool.map(lambda candidate: _check(candidate, known), candidates):
            checks.append(checked)
            if progress is not None:
                progress(len(checks), len(candidates))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for thousands of pictures
    decodable = known | {checked.sha256 for checked in checks if checked.problem is None}
    if decodable != known:
        write_bytes(remembered, "\n".join(sorted(decodable)).encode())
    return tuple(checks)


def decoder() -> str:
    """Return the packages that decode and their versions, for names of files in the cache."""
    heif = installed_version("pillow-heif")
    return f"pillow-{PIL.__version__}" + (f"-heif-{heif}" if heif else "")


def _check(candidate: Candidate, known: frozenset[str]) -> Checked:
    try:
        data = read_picture(candidate.path, candidate.name)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in known:
            with room_for(data, candidate.name):
                check_bytes(data, candidate.name)
    except PictureError as problem:
        return Checked("", problem.reason)
    return Checked(sha256, None)
