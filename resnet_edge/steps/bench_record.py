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
from resnet_edge.ondevice.measurements import ArtifactBench, BenchResult, Latency, Machine
from resnet_edge.ondevice.runtimes.installed import installed_runtimes


def only(result: BenchResult, names: Sequence[str]) -> BenchResult:
    """Return the part of a record that is of some artifacts."""
    return replace(result, artifacts=tuple(a for a in result.artifacts if a.name in names))


def with_others(found: BenchResult, result: BenchResult) -> BenchResult:
    """Return ``result`` with the latencies in ``found`` of other artifacts."""
    benches = {bench.name: bench for bench in (*found.artifacts, *result.artifacts)}
    runtimes = {**found.machine.runtimes, **result.machine.runtimes}
    return replace(
        result,
        machine=replace(result.machine, runtimes=runtimes),
        artifacts=tuple(benches[name] for name in ARTIFACT_NAMES if name in benches),
    )


def still_valid(path: Path, machine: Machine, hashes: dict[str, str]) -> BenchResult:
    """Return the part of a record that is still valid.

    Args:
        path: The record; it may be missing.
        machine: This machine.
        hashes: SHA-256 of the artifacts by name, as they are now.

    Returns:
        Latencies of unchanged files on the same hardware, in runtimes that are installed in the
        same versions. There may be none.
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
    return replace(found, artifacts=tuple(bench for bench in benches if bench.latencies))


def _hardware(machine: Machine) -> Machine:
    """Return a machine without what does not decide latencies, and without its runtimes."""
    return replace(machine, system="", python="", runtimes={})


def _of_installed(bench: ArtifactBench, machine: Machine) -> tuple[Latency, ...]:
    """Return the latencies in runtimes that are installed now in the same versions."""
    valid = {
        runtime.name
        for runtime in installed_runtimes(artifact_kind(bench.name).format)
        if runtime.version in ("", machine.runtimes.get(runtime.name))
    }
    return tuple(latency for latency in bench.latencies if latency.runtime in valid)


def thread_counts(benches: Iterable[ArtifactBench]) -> tuple[int, ...]:
    """Return the thread counts in some records; those of ``bench`` if there are none."""
    found = {latency.threads for bench in benches for latency in bench.latencies}
    return tuple(sorted(found)) or default_threads()


def is_measured(bench: ArtifactBench | None, counts: tuple[int, ...]) -> bool:
    """Return True if every runtime here was measured with these thread counts."""
    if bench is None:
        return False
    names = [runtime.name for runtime in installed_runtimes(artifact_kind(bench.name).format)]
    measured = {(latency.runtime, latency.threads) for latency in bench.latencies}
    return set(itertools.product(names, counts)) <= measured


def merge(found: BenchResult, measured: BenchResult) -> BenchResult:
    """Add new latencies to a record; they replace those of the same runtime and threads."""
    benches = {bench.name: bench for bench in found.artifacts}
    for bench in measured.artifacts:
        new = {(latency.runtime, latency.threads) for latency in bench.latencies}
        old = benches[bench.name].latencies if bench.name in benches else ()
        kept = [latency for latency in old if (latency.runtime, latency.threads) not in new]
        order = [runtime.name for runtime in installed_runtimes(artifact_kind(bench.name).format)]
        together = sorted(
            (*kept, *bench.latencies),
            key=lambda latency: (order.index(latency.runtime), latency.threads),
        )
        benches[bench.name] = replace(bench, latencies=tuple(together))
    return with_others(found, replace(measured, artifacts=tuple(benches.values())))
