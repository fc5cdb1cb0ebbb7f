"""The check of many pictures as a stage: read, hashed and decoded by many processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.listing import Candidate, Candidates
from resnet_edge.data.picture_check import Verdict, check_picture, checker
from resnet_edge.data.workers import in_order, threads_for
from resnet_edge.errors import DataError
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.scale.running import Computing, Count, run_stage
from resnet_edge.scale.stage import Made, Make, Stage

SHARD = 512
"""Pictures of a shard."""


@dataclass(frozen=True)
class CheckWork:
    """Checks pictures."""

    def open(self) -> Make:
        """Load nothing: Pillow does."""
        maker = checker()

        def make(candidates: tuple[Candidate, ...]) -> Made:
            threads = threads_for(candidates[0].place, on_disk=1)
            verdicts = in_order(lambda one: check_picture(one, {}), candidates, threads)
            lines = (json.dumps(to_json(verdict)) + "\n" for verdict in verdicts)
            return Made("".join(lines).encode(), maker)

        return make


def check_in_shards(
    candidates: Candidates, folder: Path, computing: Computing, count: Count
) -> Generator[Verdict, None, None]:
    """Let processes check pictures.

    Args:
        candidates: What is to be read.
        folder: The cache folder.
        computing: Who computes.
        count: Shows the number of pictures done.

    Yields:
        A verdict on each, in order.

    Raises:
        OutputError: Nothing can be written.
    """
    stage = Stage(
        title="checking pictures",
        key=_key(candidates),
        work=CheckWork(),
        items=len(candidates),
        job=lambda start, stop: tuple(candidates[start:stop]),
        folder=folder / "checks",
        shard=SHARD,
    )
    computed = run_stage(stage, computing, count)
    for path in computed.files():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield from_json(Verdict, json.loads(line), str(path), DataError)
    computed.finished.remove()


def _key(candidates: Candidates) -> str:
    """Hash of the places and what tells their versions, one after another."""
    places = candidates.columns.places
    found = hashlib.sha256(checker().encode())
    for row, name in candidates.places():
        found.update(
            f"\0{places.key(row, name)}\0{places.stamp(row, name)}".encode(errors="replace")
        )
    return found.hexdigest()
