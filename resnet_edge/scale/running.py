"""Compute the shards of stages that are not there yet, and say what was done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.errors import ResnetEdgeError, WorkerError, translate
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.workers.calling import told_error
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent, decode_event
from resnet_edge.ondevice.workers.process import Crew, RunningProcess, crew_of, open_process
from resnet_edge.scale.engine import IN_THIS_PROCESS, Engine, limits
from resnet_edge.scale.finished import Finished, FinishedShard, write_shard
from resnet_edge.scale.jobs import Start, job_line, pack
from resnet_edge.scale.schedule import Progress, Schedule
from resnet_edge.scale.stage import Stage

Count = Callable[[int, int], object]
"""Called with the number of items done and the number of all."""

Tell = Callable[[str], object]
"""Shows a line that a person should not miss."""


@dataclass(frozen=True)
class Computing:
    """Who computes, and where it is told what was done again."""

    engine: Engine
    tell: Tell


HERE = Computing(IN_THIS_PROCESS, lambda _: None)
"""Computing in this process, which starts no other and so does nothing again."""


@dataclass(frozen=True)
class Computed:
    """A stage whose shards are all there."""

    stage: Stage
    finished: Finished
    found: int
    """Items that an earlier run had done."""

    @property
    def maker(self) -> str:
        """See ``Made``."""
        return self.finished.shards[0].maker

    def files(self) -> Iterator[Path]:
        """Yield the files of the shards in order."""
        return self.finished.files()


def run_stage(stage: Stage, computing: Computing, count: Count) -> Computed:
    """Compute one stage; see ``run_stages``."""

    def fail(_: Stage, problem: ResnetEdgeError) -> None:
        raise problem

    (done,) = run_stages([stage], computing, count, fail)
    assert done is not None
    return done


def run_stages(
    stages: Sequence[Stage],
    computing: Computing,
    count: Count,
    fail: Callable[[Stage, ResnetEdgeError], None],
) -> tuple[Computed | None, ...]:
    """Compute the shards that are not there yet.

    Where a process dies, by a signal or because its memory or its machine is gone, another one
    computes what it had, and that is told. What is finished stays on the disk until it is removed,
    whatever happens; the same call goes on from there.

    Args:
        stages: They go on side by side.
        computing: Who computes.
        count: Shows the items done, of all stages.
        fail: Called where a stage cannot be computed, from any thread; raises that, or gives up
            this stage alone.

    Returns:
        Each stage; None for those that failed.

    Raises:
        ResnetEdgeError: What ``fail`` raised; results cannot be written; or machines differ.
    """
    engine = computing.engine
    run = _Run(Schedule(stages), engine, count, computing.tell, fail)
    run.show(sum(run.schedule.found))
    if engine.starters:
        with crew_of(engine.starters) as crew:
            for done in as_completed(
                [crew.pool.submit(run.serve, crew) for _ in range(engine.starters)]
            ):
                done.result()
    else:
        run.here()
    run.tell_machines()
    return tuple(
        None if progress.problem else Computed(progress.stage, progress.finished, found)
        for progress, found in zip(run.schedule.stages, run.schedule.found, strict=True)
    )


@dataclass(frozen=True)
class _Run:
    schedule: Schedule
    engine: Engine
    count: Count
    tell: Tell
    fail: Callable[[Stage, ResnetEdgeError], None]

    def show(self, done: int) -> None:
        total = sum(progress.stage.items for progress in self.schedule.stages)
        self.count(done, total)

    def here(self) -> None:
        """Compute in this process."""
        machine = describe_machine({}).processor
        while (progress := self.schedule.choose()) is not None:
            stage = progress.stage
            try:
                make = stage.work.open()
                while (number := self.schedule.take(progress)) is not None:
                    made = make(stage.job_of(number))
                    shard = write_shard(stage.folder, number, made, machine)
                    self.show(self.schedule.finish(progress, shard))
            except Exception as problem:
                self._give_up(progress, translate(problem))
            self.schedule.leave(progress)

    def serve(self, crew: Crew) -> None:
        """Start processes and give them shards, until nothing is left."""
        while not crew.dismissed.is_set() and (progress := self.schedule.choose()) is not None:
            try:
                _Listener(self, progress, crew).listen()
            finally:
                self.schedule.leave(progress)

    def _give_up(self, progress: Progress, problem: ResnetEdgeError) -> None:
        self.schedule.fail(progress, problem)
        self.fail(progress.stage, problem)

    def tell_machines(self) -> None:
        """Say where shards were computed by processors that may differ in the last bits."""
        for progress in self.schedule.stages:
            kinds = sorted({shard.machine for shard in progress.finished.shards.values()})
            if len(kinds) > 1:
                self.tell(
                    f"{progress.stage.title}: computed on {', '.join(kinds)}; answers of different "
                    "processors may differ in their last bits"
                )


@dataclass
class _Listener:
    """Gives shards of one stage to one process."""

    run: _Run
    progress: Progress
    crew: Crew
    in_hand: list[int] = field(default_factory=list)

    def listen(self) -> None:
        stage, engine = self.progress.stage, self.run.engine
        failure: WorkerEvent | None = None
        try:
            with open_process(
                engine.command, stage.title, environment=limits(engine.threads), crew=self.crew
            ) as process:
                process.send(json.dumps(to_json(self._start())))
                for line in process.lines:
                    event = decode_event(line, stage.title)
                    if event.kind is EventKind.FAILED:
                        failure = event
                    else:
                        self._react(process, event)
        except WorkerError as problem:
            if failure is None:
                self._died(problem)
                return
        if failure is not None:
            prefix = f"{stage.title}: " if stage.failures_named else ""
            self.run._give_up(self.progress, told_error(failure, prefix))

    def _start(self) -> Start:
        stage, engine = self.progress.stage, self.run.engine
        return Start(
            work=pack(stage.work),
            folder=stage.folder.absolute(),
            threads=engine.threads,
            tasks=engine.processes,
            address=engine.address,
            on_gpus=engine.on_gpus,
        )

    def _react(self, process: RunningProcess, event: WorkerEvent) -> None:
        match event.kind:
            case EventKind.READY:
                for _ in range(event.total):
                    self._give(process)
            case EventKind.MADE:
                data = json.loads(event.text)
                shard = from_json(FinishedShard, data, self.progress.stage.title, WorkerError)
                self.in_hand.remove(shard.number)
                self.run.show(self.run.schedule.finish(self.progress, shard))
                self._give(process)
            case EventKind.LOST:
                self._tell_again(event.text, [int(name) for name in event.names])
            case EventKind.WARN:
                self.run.tell(event.text)
            case _:
                pass

    def _give(self, process: RunningProcess) -> None:
        """Give the process its next shard, or let it end."""
        number = self.run.schedule.take(self.progress)
        if number is not None:
            self.in_hand.append(number)
            process.send(job_line(number, self.progress.stage.job_of(number)))
        elif not self.in_hand:
            process.send("")

    def _died(self, problem: WorkerError) -> None:
        """Let another process do again what this one had."""
        if self.crew.dismissed.is_set():
            raise problem
        allowed = self.run.engine.restarts
        if not self.run.schedule.again(self.progress, self.in_hand, allowed) or not allowed:
            self.run._give_up(self.progress, problem)
            return
        self._tell_again(str(problem), self.in_hand)

    def _tell_again(self, why: str, numbers: Sequence[int]) -> None:
        stage = self.progress.stage
        spans = [stage.span(number) for number in numbers]
        words = ", ".join(f"{start + 1} to {stop}" for start, stop in spans)
        again = f"{words} of {stage.items} are done again" if words else "another one is started"
        self.run.tell(f"{why}; {again}")
