"""Every file that must be a picture: checked by all cores, and remembered."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.check_stage import check_in_shards
from resnet_edge.data.checked_files import (
    CheckedFile,
    Memory,
    describe_file,
    read_memory,
    write_memory,
)
from resnet_edge.data.listing import Candidate
from resnet_edge.data.picture_check import Verdict, check_picture, checker
from resnet_edge.data.places import is_stored
from resnet_edge.data.workers import STORE_WORKERS, WORKERS
from resnet_edge.scale.running import HERE, Computing, Count

_AT_ONCE = 1024
"""Pictures that wait for a thread at once."""


@dataclass(frozen=True)
class Checked:
    """A file that was checked: a sound picture, or a defect."""

    file: CheckedFile | None
    problem: str = ""
    """The defect, as ``name: reason``; empty for a sound picture."""


def check_all(
    candidates: tuple[Candidate, ...],
    folder: Path,
    progress: Count | None,
    computing: Computing = HERE,
) -> tuple[Checked, ...]:
    """Read, hash and decode every candidate that is new.

    Args:
        candidates: Files that must be pictures.
        folder: Folder for the memory of checks. Later runs do not read a file again that has the
            same size and time, and do not decode content that they know.
        progress: Called after each picture with done and total.
        computing: Who checks.

    Raises:
        OutputError: The memory cannot be written.
    """
    path = folder / f"checked-{checker()}.tsv"
    memory = read_memory(path)
    known = [memory.find(candidate.place) for candidate in candidates]
    new = [c for c, file in zip(candidates, known, strict=True) if file is None]
    shared = computing.engine.starters > 0
    settled = len(candidates) - len(new)

    def count(done: int, _: int) -> None:
        if progress is not None:
            progress(settled + done, len(candidates))

    if shared:
        verdicts = check_in_shards(new, folder, computing, count)
    else:
        verdicts = _check_here(new, memory)
    found: list[Checked] = []
    try:
        for candidate, file in zip(candidates, known, strict=True):
            found.append(Checked(file) if file else _checked(candidate, next(verdicts)))
            if progress is not None and not shared:
                progress(len(found), len(candidates))
    finally:
        verdicts.close()
        write_memory(path, memory, [c.file for c in found if c.file is not None])
    return tuple(found)


def _check_here(candidates: Sequence[Candidate], memory: Memory) -> Generator[Verdict, None, None]:
    """Check pictures with threads; those of a store wait for the network, so with more."""
    stored = any(is_stored(candidate.place) for candidate in candidates[:1])
    pool = ThreadPoolExecutor(STORE_WORKERS if stored else WORKERS)
    try:
        for start in range(0, len(candidates), _AT_ONCE):  # a task for each would fill the memory
            some = candidates[start : start + _AT_ONCE]
            yield from pool.map(lambda candidate: check_picture(candidate, memory.looks), some)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for thousands of pictures


def _checked(candidate: Candidate, verdict: Verdict) -> Checked:
    if verdict.problem:
        return Checked(None, verdict.problem)
    return Checked(describe_file(candidate.place, verdict.sha256, verdict.look))
