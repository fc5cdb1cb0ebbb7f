"""Which shard is computed next: shared by the threads that each listen to one process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from resnet_edge.errors import ResnetEdgeError, WorkerError
from resnet_edge.scale.finished import Finished, FinishedShard
from resnet_edge.scale.stage import Stage


@dataclass
class Progress:
    """One stage, and how far it is."""

    stage: Stage
    finished: Finished
    left: deque[int]
    """Shards that nobody computes."""
    computing: int = 0
    """Processes that have it open."""
    restarts: dict[int, int] = field(default_factory=dict)
    """How many times a shard was given away anew."""
    failed_starts: int = 0
    """Processes that died before they took a shard."""
    problem: ResnetEdgeError | None = None
    items: int = 0
    """Number of items that are done."""

    def __post_init__(self) -> None:
        self.items = sum(map(self.size, self.finished.shards))

    def size(self, number: int) -> int:
        """Return the number of items of a shard."""
        start, stop = self.stage.span(number)
        return stop - start


class Schedule:
    """The shards of several stages.

    A process that has a stage open goes on with it. One that is free takes a stage that nobody has
    open, and else helps where most is left.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = []
        for stage in stages:
            finished = Finished(stage)
            left = deque(n for n in range(stage.shards) if n not in finished.shards)
            self.stages.append(Progress(stage, finished, left))
        self.found = [progress.items for progress in self.stages]
        """Items of each stage that an earlier run had done."""
        self._lock = threading.Lock()

    def choose(self) -> Progress | None:
        """Return the stage that a free process opens; None where nothing is left."""
        with self._lock:
            open_ones = [p for p in self.stages if p.left and p.problem is None]
            if not open_ones:
                return None
            chosen = min(open_ones, key=lambda p: (p.computing, -len(p.left)))
            chosen.computing += 1
            return chosen

    def leave(self, progress: Progress) -> None:
        """Note that a process closed a stage."""
        with self._lock:
            progress.computing -= 1

    def take(self, progress: Progress) -> int | None:
        """Return the next shard of a stage; None where none is left."""
        with self._lock:
            if progress.problem is not None or not progress.left:
                return None
            return progress.left.popleft()

    def finish(self, progress: Progress, shard: FinishedShard) -> int:
        """Note a shard that was computed.

        Returns:
            The number of items done, of all stages.

        Raises:
            WorkerError: It was computed by other versions than the shards before.
            OutputError: The list of shards cannot be written.
        """
        with self._lock:
            first = next(iter(progress.finished.shards.values()), shard)
            if first.maker != shard.maker:
                raise WorkerError(
                    f"{progress.stage.title}: made by {shard.maker} on one machine and by "
                    f"{first.maker} on another; expected the same everywhere; install the same "
                    "versions"
                )
            progress.finished.add(shard)
            progress.items += progress.size(shard.number)
            return sum(each.items for each in self.stages)

    def again(self, progress: Progress, numbers: Sequence[int], most: int) -> bool:
        """Give back the shards of a process that died.

        Returns:
            False if one of them was given away too often already, or if too many processes died
            before they took one.
        """
        with self._lock:
            progress.failed_starts += not numbers
            for number in numbers:
                progress.restarts[number] = progress.restarts.get(number, 0) + 1
                progress.left.appendleft(number)
            often = max((progress.restarts[number] for number in numbers), default=0)
            return max(often, progress.failed_starts) <= most

    def fail(self, progress: Progress, problem: ResnetEdgeError) -> None:
        """Give a stage up; what is finished of it stays."""
        with self._lock:
            progress.problem = progress.problem or problem
