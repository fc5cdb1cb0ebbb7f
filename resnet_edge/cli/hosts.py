"""``bench --host``: its options and what it prints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from resnet_edge.cli.console import Terminal, print_json
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.options import Options

if TYPE_CHECKING:
    from resnet_edge.devices.ssh.bench import Host


def chosen_host(host: str | None, python: str | None, install: bool, profile: bool) -> Host | None:
    """The device that the options name; None where this machine is meant.

    Raises:
        UsageError: Options do not go together.
    """
    from resnet_edge.devices.ssh.bench import Host

    if host is None:
        if python is not None or install:
            option = "--install" if python is None else "--python"
            raise UsageError(f"{option} is about a device; name it with --host")
        return None
    if profile:
        raise UsageError("--profile times operators on this machine; leave it out, or --host")
    return Host(host, "python3" if python is None else python, install)


def bench_there(
    options: Options, host: Host, formats: str, allow_inconclusive: bool, as_json: bool
) -> None:
    """Measure on a device and print what it found out.

    Args:
        options: As of ``bench``.
        host: The device.
        formats: As the person wrote them; what they name and the device cannot run is a failure.
        allow_inconclusive: Whether gates that could not be decided will do.
        as_json: Whether to print the device's result as JSON and nothing else.
    """
    from resnet_edge.devices.ssh.bench import bench_on_host
    from resnet_edge.ondevice.command.table import result_lines

    if not formats:
        options = replace(options, formats=None)
    benched = bench_on_host(options, host, Terminal(quiet=as_json))
    if as_json:
        print_json(benched.result)
    else:
        print("\n".join(result_lines(benched.result)))
        print(f"result: {benched.path}")
    bad = {Verdict.FAIL} if allow_inconclusive else {Verdict.FAIL, Verdict.INCONCLUSIVE}
    if bad & set(benched.result.verdicts) or (formats and benched.result.left_out):
        raise typer.Exit(1)
