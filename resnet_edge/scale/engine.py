"""Who computes the shards of stages: processes of this machine, or Ray's on many machines."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.option import AT_LEAST_1, check_options, option
from resnet_edge.ondevice.workers.process import module_command

_SCALE = "Scale"


class EngineKind(enum.Enum):
    """The engines."""

    LOCAL = "local"
    RAY = "ray"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Engine:
    """Processes that compute shards."""

    kind: EngineKind
    processes: int
    """Local: processes at a time; 0 computes in this one. Ray: tasks at a time, 0 for as many as
    its machines have cores for."""
    threads: int
    """Threads of each."""
    address: str = ""
    """Of Ray's head node, ``host:port``; empty starts Ray on this machine alone."""
    on_gpus: bool = False
    """Ray: a task takes a GPU as well, where the machines have some."""
    fewest: int = 0
    """Fewer items than these are not worth the start of processes."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command that starts a process that takes jobs."""
        return module_command(f"resnet_edge.scale.{_MODULES[self.kind]}")

    @property
    def starters(self) -> int:
        """Number of processes that this one starts: Ray has one for all machines."""
        return 1 if self.kind is EngineKind.RAY else self.processes

    def starters_for(self, items: int) -> int:
        """Return ``starters`` for so many items: 0 for few, which this process computes."""
        return self.starters if items >= self.fewest else 0

    @property
    def restarts(self) -> int:
        """The number of times that a shard is given to a further process, where one died."""
        return 0 if self.kind is EngineKind.RAY else MOST_RESTARTS


IN_THIS_PROCESS = Engine(EngineKind.LOCAL, 0, 1)
"""Nothing is started; what computes takes the threads that it takes."""

_MODULES = {EngineKind.LOCAL: "shard_worker", EngineKind.RAY: "ray_worker"}

MOST_RESTARTS = 2
"""A shard that ends three processes is at fault itself."""


@dataclass(frozen=True)
class ScaleOptions:
    """Who computes what many pictures need. The bytes of the results are the same.

    Raises:
        UsageError: A value is out of its range, or an address is given without Ray.
    """

    engine: EngineKind = option(
        EngineKind.LOCAL,
        "Who computes: local, processes of this machine; or ray, tasks on one machine or many.",
        _SCALE,
    )
    workers: int | None = option(
        None,
        "Processes at a time, each with its share of the cores. Default: one a core for the "
        "answers of artifacts, this process for the model; with ray one a core of all machines.",
        _SCALE,
        within=AT_LEAST_1,
    )
    ray_address: str = option(
        "",
        "Ray's head node. Default: Ray is started on this machine alone.",
        _SCALE,
        metavar="HOST:PORT",
        show_default=False,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.ray_address and self.engine is not EngineKind.RAY:
            raise UsageError(
                f"--ray-address: got {self.ray_address}, and the engine {self.engine}; expected "
                "the engine ray with it, or no address"
            )

    def for_runtimes(self) -> Engine:
        """Return processes of one thread, which beat threads where a file loads in no time."""
        return self._engine(available_cores(), 1)

    def for_models(self) -> Engine:
        """Return processes for what takes seconds to load: one with all cores, if not told."""
        return replace(self._engine(0, available_cores()), on_gpus=True)

    def for_checks(self) -> Engine:
        """Return processes that check pictures, which takes more of Python than of its libraries.

        What is told is done; by default few pictures are checked by threads of this process.
        """
        cores = available_cores()
        told = self.workers is not None or self.engine is EngineKind.RAY
        engine = self._engine(cores if cores > 1 else 0, 1)
        return engine if told else replace(engine, fewest=MANY_CHECKS)

    def for_pixels(self) -> Engine:
        """Return processes for pixels: beyond a few cores, where Python's lock stops threads."""
        cores = available_cores()
        return self._engine(cores if cores > _THREADS_SUFFICE else 0, 1)

    def _engine(self, processes: int, threads: int) -> Engine:
        if self.engine is EngineKind.RAY:
            return Engine(EngineKind.RAY, self.workers or 0, 1, self.ray_address)
        if self.workers is not None:
            threads = max(1, available_cores() // self.workers)
        return Engine(EngineKind.LOCAL, self.workers or processes, threads)


MANY_CHECKS = 2000
"""Pictures from which processes are faster. They start in a second. Two threads check fewer small
pictures a second than one, since they wait for Python's lock."""

_THREADS_SUFFICE = 4
"""Threads that decode pictures do not get faster with more cores than these. Up to here they are
faster than processes, which write their shards first."""


TENSORFLOW = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Off by default on some processors, 3 times slower then, and other answers in the last bits.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # where there is a GPU: processes share its memory
}
"""What TensorFlow is told in processes that share a machine."""


def limits(threads: int) -> dict[str, str]:
    """Return the variables that keep a process to its share of the cores."""
    count = str(threads)
    return {
        **TENSORFLOW,
        **dict.fromkeys(_THREAD_VARIABLES, count),
        "TF_NUM_INTEROP_THREADS": "1",
    }


_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
