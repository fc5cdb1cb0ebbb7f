"""A process that hands shards to Ray's tasks, on this machine or on many.

Ray is in a process of its own because it ends the one that it runs in when its head is gone. Tasks,
not actors: an actor whose machine was killed waits for a free core that may never come. Ray itself
tries nothing again, so that what is done again can be told.
"""

from __future__ import annotations

import base64
import importlib
import json
import math
import os
import secrets
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import resnet_edge
from resnet_edge.errors import (
    ResnetEdgeError,
    RuntimeMissingError,
    UsageError,
    WorkerError,
    error_class,
)
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.json_records import to_json
from resnet_edge.ondevice.versions import version_of
from resnet_edge.ondevice.workers.serving import Reporter, serve
from resnet_edge.scale.engine import MOST_RESTARTS, limits
from resnet_edge.scale.finished import write_shard
from resnet_edge.scale.jobs import Served, Start, read_job_line
from resnet_edge.scale.ray_task import Answer, Failure, compute

_POLL_S = 0.2
_LOOK_S = 5.0
_CONNECT_S = 5.0
_LOOPBACK = "127.0.0.1"


def main() -> int:
    """Let Ray compute the shards that standard input asks for, until an empty line."""
    return serve(Start, serve_with_ray)


def serve_with_ray(start: Start, reporter: Reporter) -> Served:
    """Let Ray's tasks compute shards, as many at a time as its machines have cores for.

    Raises:
        RuntimeMissingError: Ray is not installed.
        UsageError: Nothing answers at the address.
        WorkerError: Processes or machines died too often, have another resnet-edge, or have no
            space for what they pass on.
        ResnetEdgeError: The work's own error.
    """
    ray = connect(start)
    try:
        return _serve(start, reporter, ray)
    except ray.exceptions.RayError as problem:  # of Ray itself, not of one task
        raise WorkerError(
            f"--engine ray: {_words(problem)}; what is finished is kept: run it again"
        ) from problem


def _serve(start: Start, reporter: Reporter, ray: Any) -> Served:  # noqa: ANN401 - Ray's module
    tasks = _Tasks(start, reporter, ray)
    while True:
        tasks.ask_for_more()
        while (
            line := reporter.line_if_any() if tasks.pending else reporter.next_line()
        ) is not None:
            if not line:
                return Served(tasks.done)
            tasks.submit(*read_job_line(line))
        tasks.collect()


def connect(start: Start) -> Any:  # noqa: ANN401 - Ray's module
    """Return Ray, connected to the head that was named, or started on this machine alone.

    Nothing is reported to anyone, there is no dashboard, and what is started here asks for a token.

    Raises:
        RuntimeMissingError: Ray is not installed.
        UsageError: Nothing answers at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # what Ray will do, without its warning
    if not start.address:  # its servers listen on all addresses: nobody else knows this token
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16))
    try:
        ray = importlib.import_module("ray")
    except ImportError as problem:
        raise RuntimeMissingError(
            "--engine ray: Ray is not installed; `pip install 'resnet-edge[ray]'`, or leave the "
            "option out",
        ) from problem
    if start.address:
        _check_address(start.address)
    try:
        ray.init(**_how(start), log_to_driver=False, logging_level="error")
    except Exception as problem:  # of a dozen kinds
        lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
        where = f"joined at {start.address}" if start.address else "started"
        raise WorkerError(
            f"--engine ray: Ray cannot be {where} ({type(problem).__name__}: {lines[-1]}); "
            "expected the token and the version of its head; check RAY_AUTH_TOKEN, or leave the "
            "option out"
        ) from problem
    return ray


def _how(start: Start) -> dict[str, Any]:
    """Return what Ray is told when it is joined or started."""
    if start.address:
        return {"address": start.address}
    return {
        "address": "local",  # else it joins what an earlier program left
        "num_cpus": start.tasks * start.threads or available_cores(),
        "include_dashboard": False,
        "_node_ip_address": _LOOPBACK,
    }


def _check_address(address: str) -> None:
    """Ask at the address first: Ray would try for minutes, then end the process."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            pass
    except (OSError, ValueError, OverflowError) as problem:
        raise UsageError(
            f"--ray-address: nothing answers at {address} ({problem}); expected host:port of a "
            "head node; start one with `ray start --head`"
        ) from problem


@dataclass
class _Tasks:
    """The tasks that Ray has."""

    start: Start
    reporter: Reporter
    ray: Any
    pending: dict[Any, tuple[int, bytes]] = field(default_factory=dict)
    """Number and job of each shard, by the reference to its answer."""
    lost: dict[int, int] = field(default_factory=dict)
    """How many times a shard was lost."""
    done: int = 0
    places: int = 0
    """Shards that the parent was asked for at a time."""
    looked: float = -math.inf
    """When the machines were counted last."""

    def __post_init__(self) -> None:
        self._work = self.ray.put(base64.b64decode(self.start.work))
        self._gpus = int(self.start.on_gpus and bool(self._resource("GPU")))
        self._remote = self.ray.remote(compute).options(
            num_cpus=self.start.threads,
            num_gpus=self._gpus,
            max_retries=0,
            runtime_env={"env_vars": self._environment()},
        )

    def _environment(self) -> dict[str, str]:
        # Another value for each stage gives each processes of its own: TensorFlow and TFLite's
        # runtimes cannot share one.
        home = str(Path(resnet_edge.__file__).parent.parent)
        return {
            **limits(self.start.threads),
            "PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")])),
            "RESNET_EDGE_STAGE": self.start.folder.name,
        }

    def ask_for_more(self) -> None:
        """Ask for two shards a task, so that none waits; machines may join at any time.

        Raises:
            WorkerError: No machine has the cores for a task.
        """
        if time.monotonic() - self.looked < _LOOK_S:
            return
        self.looked = time.monotonic()
        cores, threads = self._resource("CPU"), self.start.threads
        tasks = min(self.start.tasks or cores, cores // threads)
        if self._gpus:
            tasks = min(tasks, self._resource("GPU"))
        if not tasks and not self.pending:
            raise WorkerError(
                f"--engine ray: its machines have {cores} cores, a task takes {threads}; expected "
                "at least as many; add machines"
            )
        if (more := 2 * tasks - self.places) > 0:
            self.places += more
            self.reporter.ready(places=more)

    def _resource(self, name: str) -> int:
        """Return how many of a resource all machines have."""
        return int(self.ray.cluster_resources().get(name, 0))

    def submit(self, number: int, job: bytes) -> None:
        """Hand a shard to Ray."""
        self.pending[self._remote.remote(self._work, job)] = (number, job)

    def collect(self) -> None:
        """Take what is finished; what was lost is handed to Ray again."""
        finished, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=_POLL_S)
        for reference in finished:
            number, job = self.pending.pop(reference)
            try:
                answer = self.ray.get(reference)
            except self.ray.exceptions.RayError as problem:
                self._lose(number, problem)
                self.submit(number, job)
                continue
            self._keep(number, answer)

    def _keep(self, number: int, answer: Answer) -> None:
        if answer.version != version_of("resnet-edge"):
            raise WorkerError(
                f"--engine ray: one of its machines has resnet-edge {answer.version}, this one "
                f"{version_of('resnet-edge')}; expected the same; install it there"
            )
        if isinstance(answer.made, Failure):
            error: ResnetEdgeError = error_class(answer.made.kind)(answer.made.text)
            error.__cause__ = RuntimeError(f"\n{answer.made.traceback}")
            raise error
        shard = write_shard(self.start.folder, number, answer.made, answer.machine)
        self.reporter.made(json.dumps(to_json(shard)))
        self.done += 1

    def _lose(self, number: int, problem: Exception) -> None:
        self.lost[number] = self.lost.get(number, 0) + 1
        words = _words(problem)
        if self.lost[number] > MOST_RESTARTS:
            raise WorkerError(
                f"shard {number + 1} was lost {self.lost[number]} times, at last because {words}; "
                "what is finished is kept: run it again"
            ) from problem
        self.reporter.lost((str(number),), WorkerError(words))


def _words(problem: Exception) -> str:
    """Return the reason why a task was lost."""
    known: dict[str, str] = {
        "OutOfMemoryError": "a machine's memory ran out",
        "NodeDiedError": "a machine died",
        "ObjectLostError": "its result was lost with a machine",
        "WorkerCrashedError": "its process died",
        "OutOfDiskError": "a machine's disk is full, where Ray has its temporary folder",
        "ObjectStoreFullError": "Ray's object store is full",
    }
    for kind in type(problem).__mro__:
        if kind.__name__ in known:
            return known[kind.__name__]
    first = next((line for line in str(problem).splitlines() if line.strip()), "")
    return f"{type(problem).__name__}: {first.strip()}"


if __name__ == "__main__":
    sys.exit(main())
