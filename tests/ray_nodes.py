"""Two nodes of Ray on this machine: each with ports and a folder of its own, and a token."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
_START_S = 120.0
_WAIT = """
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
while sum(node["Alive"] for node in ray.nodes()) != int(sys.argv[2]):
    time.sleep(0.2)
"""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # A node that is gone is known to be gone after seconds, not half a minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A head, and a node that can be killed and started anew."""

    folder: Path
    store_bytes: int = 100 << 20
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    """Of the nodes and of who joins them; given are those besides the usual ones."""
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        token = {"RAY_AUTH_TOKEN": secrets.token_hex(16)}
        self.environment = {**_QUIET, **token, **self.environment}

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start_head(self) -> None:
        self._start("--head", f"--port={self.port}", "--include-dashboard=false")
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1):
                return
            time.sleep(0.2)
        raise AssertionError(f"no head at {self.address}: {self._log()}")

    def start_node(self) -> subprocess.Popen[bytes]:
        """Start one more node of one core."""
        return self._start(f"--address={self.address}")

    def wait_for(self, count: int) -> None:
        """Wait until so many nodes are alive."""
        environment = {**os.environ, **self.environment}
        command = [sys.executable, "-c", _WAIT, self.address, str(count)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_START_S)
        assert done.returncode == 0, done.stderr.decode() + self._log()

    def _start(self, *how: str) -> subprocess.Popen[bytes]:
        # The folder's path has to be short: sockets lie in it.
        place = self.folder / str(len(self.nodes))
        place.mkdir()
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *how, "--block"]
        command += [f"--temp-dir={place}"]
        command += [f"--node-ip-address={LOOPBACK}", "--num-cpus=1", "--disable-usage-stats"]
        command += [f"--object-store-memory={self.store_bytes}"]
        with (self.folder / f"node-{len(self.nodes)}.log").open("wb") as log:
            node = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.nodes.append(node)
        return node

    def _log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("node-*.log")))

    def stop(self) -> None:
        for node in self.nodes:
            kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node and all its processes with ``kill -9``, as a machine that loses power."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


@contextlib.contextmanager
def cluster_of_two(more: dict[str, str] | None = None) -> Iterator[Cluster]:
    """Start a head and one node of one core each; everything is gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    cluster = Cluster(folder, environment=more or {})
    try:
        cluster.start_head()
        cluster.start_node()
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
