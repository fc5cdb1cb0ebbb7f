"""The artifacts on a device that ssh reaches: bundled, run there, collected, kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from resnet_edge import units
from resnet_edge.devices.device_results import keep_device_result
from resnet_edge.devices.ssh import scripts
from resnet_edge.devices.ssh.connection import Ssh
from resnet_edge.devices.ssh.session import Session, check_python
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ConnectionLostError, RemoteError
from resnet_edge.ondevice.command.device_result import DeviceResult, read_device_result
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.options import Options
from resnet_edge.steps.bundle import Bundled, bundle


@dataclass(frozen=True)
class Host:
    """A device and the way to use it."""

    name: str
    """The name for ssh: ``device`` or ``user@device``."""
    python: str = "python3"
    """A command or path there."""
    install: bool = False
    """True if NumPy and runtimes that are missing there are to be installed."""


@dataclass(frozen=True)
class HostBench:
    """The result of a device, and the file that keeps it."""

    result: DeviceResult
    path: Path


def bench_on_host(options: Options, host: Host, display: Display | None = None) -> HostBench:
    """Measure the artifacts on a device.

    A run goes on there when the connection is lost; the next call with the same options collects
    it. Ctrl-C stops it and clears up there.

    Args:
        options: The build folder, artifacts, gates, and the measuring of latency.
        host: The device.
        display: Shows the progress.

    Raises:
        UsageError: The host's or Python's name cannot be one, or the device was asked for something
            else before.
        RemoteError: The device cannot be reached, or its run ended without a result.
        ResnetEdgeError: As ``bundle`` and ``keep_device_result``.
    """
    display = display or Silent()
    ssh = Ssh(host.name)
    check_python(host.python)
    made = bundle(options, display)
    session = Session(ssh, made.path, made.sha256, host.python, _words(options), display)
    try:
        return _measure(options, host, made, session, display)
    except ConnectionLostError as problem:
        raise RemoteError(
            f"connection to {host.name} lost ({problem}); the measurement goes on there; run the "
            "same command again to collect it"
        ) from problem
    except KeyboardInterrupt:
        _stop(session, display)
        raise


def _measure(
    options: Options, host: Host, made: Bundled, session: Session, display: Display
) -> HostBench:
    state = session.look()
    if state.word == "ended":
        display.warn(
            f"{host.name}: the run before ended without a result (was the device restarted?); "
            "measuring again"
        )
        session.forget()
        state = session.look()
    if state.word == "running":
        display.say(f"{host.name} is measuring already; following")
    if state.word == "empty":
        display.say(f"copying {made.path.name}, {units.size(made.bytes)}, to {host.name}")
        session.copy()
    if state.word in ("empty", "ready"):
        if host.install:
            formats = frozenset(artifact_kind(name).format for name in made.artifacts)
            try:
                session.install(formats)
            except ConnectionLostError as problem:
                raise RemoteError(
                    f"connection to {host.name} lost ({problem}) while packages were installed; "
                    "run the same command again"
                ) from problem
        session.start()
    session.follow()
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "result.json"
        session.collect(fetched)
        path = keep_device_result(options.layout, fetched, display)
    try:
        session.remove()
    except RemoteError as problem:
        display.warn(_left_over(session, problem))
    return HostBench(read_device_result(path), path)


def _words(options: Options) -> tuple[str, ...]:
    """Return the options of the bundle's ``run``; the gates travel in the bundle."""
    spec, threads = options.bench.spec, options.bench.threads
    words = ["--min-seconds", repr(spec.min_seconds), "--min-queries", str(spec.min_queries)]
    if threads is not None:
        words += ["--threads", ",".join(map(str, threads))]
    if options.also_in:
        words += ["--also-in", ",".join(options.also_in)]
    return tuple(words)


def _stop(session: Session, display: Display) -> None:
    """Stop the run and remove everything, as far as the device can be reached."""
    name = session.ssh.host
    display.say(f"stopping the measurement on {name}")
    try:
        session.remove()
        display.say(f"{name}: stopped, nothing is left there")
    except RemoteError as problem:
        display.warn(_left_over(session, problem))
    except KeyboardInterrupt:
        display.warn(_left_over(session, RemoteError("interrupted")))


def _left_over(session: Session, problem: RemoteError) -> str:
    name = session.ssh.host
    return (
        f"{name}: ~/{scripts.HOME}/{session.key} may be left there ({problem}); remove it with "
        f"`ssh {name} rm -r {scripts.HOME}/{session.key}`"
    )
