"""``resnet-edge bench``, here or on a device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, print_json
from resnet_edge.cli.verdict import AllowInconclusive, exit_with
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.latency.spec import MLPERF, PANEL
from resnet_edge.ondevice.measurements import Verdict, any_refused, worst_verdict
from resnet_edge.ondevice.option import Option
from resnet_edge.options import Options

if TYPE_CHECKING:
    from resnet_edge.steps.bench_on_host import Host

Profile = Annotated[
    bool,
    Option(
        "Time every operator as well, by its Keras layer, where the runtime tells; with 1 thread "
        "unless --threads says otherwise.",
        PANEL,
    ),
]
Mlperf = Annotated[
    bool,
    Option(
        f"Measure as long as MLPerf's SingleStream: at least {MLPERF.min_seconds:g} s and "
        f"{MLPERF.min_queries} queries of every artifact and thread count.",
        PANEL,
    ),
]
HostName = Annotated[
    str | None,
    Option(
        "Measure there, over ssh: a bundle is copied, run, and its result kept. A name that ssh "
        "knows: device or user@device.",
        "Device",
        metavar="USER@DEVICE",
        one_call=True,
    ),
]
Python = Annotated[
    str | None, Option("Python on --host. Default: python3.", "Device", one_call=True)
]
Install = Annotated[
    bool,
    Option(
        "Let pip install NumPy and runtimes that are missing on --host.", "Device", one_call=True
    ),
]


def bench(
    options: Annotated[
        Options,
        only("out", "formats", "also_in", "bench.spec", "bench.threads"),
        only("gates.max_p90_ms", "gates.max_latency_ratio"),
        only("gates.require_delegate", "gates.delegate_except"),
    ],
    profile: Profile = False,
    mlperf: Mlperf = False,
    host: HostName = None,
    python: Python = None,
    install: Install = False,
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Measure every artifact's latency: OUT/results/bench-HOST.json. On a device: --host."""
    there = chosen_host(host, python, install, profile)
    if mlperf:
        longer = options.bench.spec.at_least(MLPERF)
        options = replace(options, bench=replace(options.bench, spec=longer))
    if there is None:
        bench_here(options, profile, allow_inconclusive, as_json)
    else:
        bench_there(options, there, allow_inconclusive, as_json)


def bench_here(options: Options, profile: bool, allow_inconclusive: bool, as_json: bool) -> None:
    """Measure on this machine, print what was found, and exit by the verdicts."""
    from resnet_edge.cli.bench_tables import print_bench, print_profiles
    from resnet_edge.steps import bench as step
    from resnet_edge.steps.profile import profile_operators

    benched = step.bench(options, Terminal(quiet=as_json))
    profiled = profile_operators(options, Terminal(quiet=as_json)) if profile else None
    if as_json:
        both = {"bench": benched.result, "profile": profiled.result} if profiled else None
        print_json(both or benched.result)
    else:
        print_bench(benched.result)
        if profiled:
            print_profiles(profiled.result)
            print(f"operators: {profiled.path}")
    gates = [a.gate.verdict for a in benched.result.artifacts]
    verdict = worst_verdict(v for v in gates if v is not Verdict.NOT_CHECKED)
    exit_with(verdict, allow_inconclusive, "the queries that their reasons name")


def chosen_host(host: str | None, python: str | None, install: bool, profile: bool) -> Host | None:
    """Return the device that the options name; None where this machine is meant.

    Raises:
        UsageError: Options do not go together.
    """
    if host is None:
        if python is not None or install:
            option = "--install" if python is None else "--python"
            raise UsageError(f"{option} is about a device; name it with --host")
        return None
    if profile:
        raise UsageError("--profile times operators on this machine; leave it out, or --host")
    from resnet_edge.steps.bench_on_host import Host

    return Host(host, "python3" if python is None else python, install)


def bench_there(options: Options, host: Host, allow_inconclusive: bool, as_json: bool) -> None:
    """Measure on a device, print what it found, and exit by the verdicts.

    Args:
        options: As of ``bench``. An artifact that ``formats`` names and the device cannot run is
            a failure.
        host: The device.
        allow_inconclusive: True if gates that could not be decided will do.
        as_json: True to print the device's result as JSON and nothing else.
    """
    from resnet_edge.ondevice.command.table import result_lines
    from resnet_edge.steps.bench_on_host import bench_on_host

    benched = bench_on_host(options, host, Terminal(quiet=as_json))
    if as_json:
        print_json(benched.result)
    else:
        print("\n".join(result_lines(benched.result)))
        print(f"result: {benched.path}")
    missing = options.formats is not None and benched.result.left_out
    if any_refused(benched.result.verdicts, allow_inconclusive) or missing:
        raise typer.Exit(1)
