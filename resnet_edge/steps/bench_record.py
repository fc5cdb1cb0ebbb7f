"""The record of ``bench``: the part that is still valid, and new latencies added to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.latency.bench import default_threads
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    Latency,
    Machine,
    Unmeasured,
)
from resnet_edge.ondevice.runtimes.installed import installed_runtimes
from resnet_edge.ondevice.runtimes.kinds import REQUESTABLE


def only(result: BenchResult, names: Sequence[str]) -> BenchResult:
    """Return the part of a record that is of some artifacts."""
    return replace(
        result,
        artifacts=tuple(a for a in result.artifacts if a.name in names),
        refused=tuple(gone for gone in result.refused if gone.name in names),
    )


def with_others(found: BenchResult, result: BenchResult) -> BenchResult:
    """Return ``result`` with the latencies in ``found`` of other artifacts."""
    benches = {bench.name: bench for bench in (*found.artifacts, *result.artifacts)}
    runtimes = {**found.machine.runtimes, **result.machine.runtimes}
    return replace(
        result,
        machine=replace(result.machine, runtimes=runtimes),
        artifacts=tuple(benches[name] for name in ARTIFACT_NAMES if name in benches),
        refused=(*_refused_of_others(found, result), *result.refused),
    )


def _refused_of_others(found: BenchResult, result: BenchResult) -> tuple[Unmeasured, ...]:
    measured = {bench.name for bench in result.artifacts}
    return tuple(gone for gone in found.refused if gone.name not in measured)


def still_valid(path: Path, machine: Machine, hashes: dict[str, str]) -> BenchResult:
    """Return the part of a record that is still valid.

    Args:
        path: The record; it may be missing.
        machine: This machine.
        hashes: SHA-256 of the artifacts by name, as they are now.

    Returns:
        Latencies of unchanged files on the same hardware, in runtimes that are installed in the
        same versions, and those of these runtimes that refused a file. There may be none.
    """
    nothing = BenchResult(machine, (), None)
    if not path.exists():
        return nothing
    found = read_record(BenchResult, path, InferenceError)
    if _hardware(found.machine) != _hardware(machine):
        return nothing
    benches = (
        replace(bench, latencies=_of_installed(bench, found.machine))
        for bench in found.artifacts
        if hashes.get(bench.name, bench.sha256) == bench.sha256
    )
    kept = tuple(bench for bench in benches if bench.latencies)
    names = {bench.name for bench in kept}
    refused = (
        gone
        for gone in found.refused
        if gone.name in names and gone.runtime in _same_runtimes(gone.name, found.machine)
    )
    return replace(found, artifacts=kept, refused=tuple(refused))


def _hardware(machine: Machine) -> Machine:
    """Return a machine without what does not decide latencies, and without its runtimes."""
    return replace(machine, system="", python="", runtimes={})


def _of_installed(bench: ArtifactBench, machine: Machine) -> tuple[Latency, ...]:
    """Return the latencies in runtimes that are installed now in the same versions."""
    valid = _same_runtimes(bench.name, machine)
    return tuple(latency for latency in bench.latencies if latency.runtime in valid)


def _same_runtimes(name: str, machine: Machine) -> set[str]:
    """Return the runtimes of an artifact that are installed now as they were on ``machine``."""
    return {
        runtime.name
        for runtime in installed_runtimes(artifact_kind(name).format, asked=REQUESTABLE)
        if runtime.version in ("", machine.runtimes.get(runtime.name))
    }


def thread_counts(benches: Iterable[ArtifactBench]) -> tuple[int, ...]:
    """Return the thread counts in some records; those of ``bench`` if there are none."""
    found = {latency.threads for bench in benches for latency in bench.latencies}
    return tuple(sorted(found)) or default_threads()


def is_measured(result: BenchResult, name: str, counts: tuple[int, ...]) -> bool:
    """Return True if an artifact was measured with these thread counts in every runtime here.

    A runtime that refused it in the same version is not asked again.
    """
    bench = next((bench for bench in result.artifacts if bench.name == name), None)
    if bench is None:
        return False
    refused = {gone.runtime for gone in result.refused if gone.name == name}
    installed = [runtime.name for runtime in installed_runtimes(artifact_kind(name).format)]
    names = [runtime for runtime in installed if runtime not in refused]
    measured = {(latency.runtime, latency.threads) for latency in bench.latencies}
    return set(itertools.product(names, counts)) <= measured


def merge(found: BenchResult, measured: BenchResult) -> BenchResult:
    """Add new latencies to a record; they replace those of the same runtime and threads."""
    benches = {bench.name: bench for bench in found.artifacts}
    for bench in measured.artifacts:
        new = {(latency.runtime, latency.threads) for latency in bench.latencies}
        old = benches[bench.name].latencies if bench.name in benches else ()
        kept = [latency for latency in old if (latency.runtime, latency.threads) not in new]
        kind = artifact_kind(bench.name).format
        order = [runtime.name for runtime in installed_runtimes(kind, asked=REQUESTABLE)]
        together = sorted(
            (*kept, *bench.latencies),
            key=lambda latency: (order.index(latency.runtime), latency.threads),
        )
        benches[bench.name] = replace(bench, latencies=tuple(together))
    refused = (*_refused_of_others(found, measured), *measured.refused)
    return with_others(found, replace(measured, artifacts=tuple(benches.values()), refused=refused))
