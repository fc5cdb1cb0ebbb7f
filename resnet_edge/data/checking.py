"""Every file that must be a picture: checked by all cores, and remembered."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data.check_stage import check_in_shards
from resnet_edge.data.checked_files import (
    CheckedFiles,
    GrowingFiles,
    Memory,
    describe_file,
    read_memory,
    write_memory,
)
from resnet_edge.data.listing import Candidates
from resnet_edge.data.picture_check import Verdict, check_picture, checker
from resnet_edge.data.workers import threads_for
from resnet_edge.scale.running import HERE, Computing, Count

_AT_ONCE = 1024
"""Pictures that wait for a thread at once."""


@dataclass(frozen=True, eq=False)
class Checks:
    """Files that were checked: sound pictures, and defects."""

    files: CheckedFiles
    """A row for each file, in order."""
    problems: dict[int, str]
    """Defects by row, as ``name: reason``."""


def check_all(
    candidates: Candidates,
    folder: Path,
    progress: Count | None,
    computing: Computing = HERE,
) -> Checks:
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
    known = _find(candidates, memory)
    new = candidates[known < 0]
    shared = computing.engine.starters_for(len(new)) > 0
    settled = len(candidates) - len(new)

    def count(done: int, _: int) -> None:
        if progress is not None:
            progress(settled + done, len(candidates))

    if shared:
        verdicts = check_in_shards(new, folder, computing, count)
    else:
        verdicts = _check_here(new, memory)
    found, problems = GrowingFiles(), dict[int, str]()
    try:
        for row, (place, name) in zip(known.tolist(), candidates.places(), strict=True):
            if row >= 0:
                found.append(memory.files.at(row))
            elif (verdict := next(verdicts)).problem:
                problems[len(found)] = verdict.problem
                found.append_defect()
            else:
                stamp = candidates.columns.places.stamp(place, name)
                found.append(describe_file(stamp, verdict.sha256, verdict.look))
            if progress is not None and not shared:
                progress(len(found), len(candidates))
    finally:
        verdicts.close()
        files = found.done()

        def sound() -> Iterator[tuple[int, str]]:
            keys = candidates[: len(files)].place_keys()
            return ((row, key) for row, key in enumerate(keys) if row not in problems)

        write_memory(path, memory, files, sound)
    return Checks(files, problems)


def _find(candidates: Candidates, memory: Memory) -> npt.NDArray[np.int64]:
    """Return the row in the memory of each picture that was not changed since, else -1; (n,)."""
    places = candidates.columns.places
    found = np.full(len(candidates), -1, np.int64)
    if not len(memory):
        return found
    for at, (place, name) in enumerate(candidates.places()):
        row = memory.row(places.key(place, name))
        if row is not None and memory.is_current(row, places.stamp(place, name)):
            found[at] = row
    return found


def _check_here(candidates: Candidates, memory: Memory) -> Generator[Verdict, None, None]:
    """Check pictures with threads; those of a store wait for the network, so with more."""
    if not len(candidates):
        return
    pool = ThreadPoolExecutor(threads_for(candidates[0].place))
    try:
        for start in range(0, len(candidates), _AT_ONCE):  # a task for each would fill the memory
            some = candidates[start : start + _AT_ONCE]
            yield from pool.map(lambda candidate: check_picture(candidate, memory), some)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for thousands of pictures
