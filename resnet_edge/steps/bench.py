"""Latency of every artifact on this machine: ``results/bench-HOST.json``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.errors import InferenceError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts, recorded_hashes
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.latency.bench import bench_artifacts, bench_path, default_threads
from resnet_edge.ondevice.latency.warnings import warning_sentences
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import ArtifactBench, BenchResult, Latency, Machine
from resnet_edge.ondevice.parity.judging import judge_bench_again
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.ondevice.runtimes.installed import all_installed, installed_runtimes
from resnet_edge.options import Options
from resnet_edge.steps.up_to_date import digest, is_current, write_stamp


@dataclass(frozen=True)
class Benched:
    """What ``bench`` left behind."""

    path: Path
    result: BenchResult
    rebuilt: bool


def bench(options: Options, display: Display | None = None) -> Benched:
    """Measure every artifact, each alone in its own process.

    Args:
        options: Where the build is, which artifacts, how long, and latency gates.
        display: Where progress is shown.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    layout = options.layout
    artifacts = load_artifacts(layout.artifacts, options.formats)
    reference_p50_s = _reference_p50_s(layout)
    threads = options.bench.threads or default_threads()
    machine = describe_machine({})
    path = bench_path(layout.results, machine.host)
    inputs = {
        "artifacts": digest([(a.name, a.sidecar.sha256) for a in artifacts]),
        "spec": digest(options.bench.spec, threads),
        "machine": digest(machine),
        "versions": digest(all_installed(a.sidecar.format for a in artifacts)),
    }
    if is_current(options.out, path.stem, inputs):
        display.say(f"{path} is up to date")
        found = read_record(BenchResult, path, InferenceError)
        result = judge_bench_again(
            _only(found, [a.name for a in artifacts]), reference_p50_s, options.gates
        )
        _warn(result, display)
        if (judged := _replaced(found, result)) != found:
            _write(options.out, path, judged, inputs)
        return Benched(path, result, rebuilt=False)
    result = _measure(options, artifacts, threads, reference_p50_s, display)
    kept = _still_true(path, machine, recorded_hashes(layout.artifacts))
    _write(options.out, path, _replaced(kept, result), inputs)
    return Benched(path, result, rebuilt=True)


def _only(result: BenchResult, names: Sequence[str]) -> BenchResult:
    return replace(result, artifacts=tuple(a for a in result.artifacts if a.name in names))


def _replaced(found: BenchResult, result: BenchResult) -> BenchResult:
    """``result``, and of other artifacts what was found before: a subset loses nothing."""
    benches = {bench.name: bench for bench in (*found.artifacts, *result.artifacts)}
    runtimes = {**found.machine.runtimes, **result.machine.runtimes}
    return replace(
        result,
        machine=replace(result.machine, runtimes=runtimes),
        artifacts=tuple(benches[name] for name in ARTIFACT_NAMES if name in benches),
    )


def complete_latency(
    options: Options,
    artifacts: Sequence[Artifact],
    wanted: Sequence[Artifact],
    display: Display | None = None,
) -> Benched:
    """Take what was measured here of these very files, and measure what is missing.

    A latency counts where file, machine, runtime and the runtime's version are the same. Thread
    counts are ``options.bench.threads``; None takes those that are in the record, so that what was
    measured is compared on equal terms.

    Args:
        options: Where the build is, how long to measure, thread counts and gates.
        artifacts: Every artifact of the build, already compared with their sidecars.
        wanted: Those whose latency is needed.
        display: Where progress is shown.

    Returns:
        The whole record; it is written only where something was missing.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    machine = describe_machine({})
    path = bench_path(options.layout.results, machine.host)
    found = _still_true(path, machine, {a.name: a.sidecar.sha256 for a in artifacts})
    known = {bench.name: bench for bench in found.artifacts}
    counts = options.bench.threads or _counts(
        bench for name, bench in known.items() if name in {a.name for a in wanted}
    )
    missing = [a for a in wanted if not _has(known.get(a.name), counts)]
    if not missing:
        return Benched(path, found, rebuilt=False)
    measured = _measure(options, missing, counts, _reference_p50_s(options.layout), display)
    result = _merge(found, measured)
    write_record(path, result)
    return Benched(path, result, rebuilt=True)


def _measure(
    options: Options,
    artifacts: Sequence[Artifact],
    threads: tuple[int, ...],
    reference_p50_s: float | None,
    display: Display,
) -> BenchResult:
    """Measure with a bar, and say what speaks against the result."""
    with display.bar("latency") as advance:
        result = bench_artifacts(
            artifacts,
            options.bench.spec,
            options.gates,
            threads=threads,
            reference_p50_s=reference_p50_s,
            progress=lambda done, total, title: advance(done, total),
        )
    _warn(result, display)
    return result


def _still_true(path: Path, machine: Machine, hashes: dict[str, str]) -> BenchResult:
    """What of a record holds for this machine, its runtimes and these files; perhaps nothing."""
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
    """What of a machine decides latencies, beside the runtimes."""
    return replace(machine, system="", python="", runtimes={})


def _of_installed(bench: ArtifactBench, machine: Machine) -> tuple[Latency, ...]:
    """Latencies in the runtimes that are installed here now, in these versions."""
    valid = {
        runtime.name
        for runtime in installed_runtimes(artifact_kind(bench.name).format)
        if runtime.version in ("", machine.runtimes.get(runtime.name))
    }
    return tuple(latency for latency in bench.latencies if latency.runtime in valid)


def _counts(benches: Iterable[ArtifactBench]) -> tuple[int, ...]:
    found = {latency.threads for bench in benches for latency in bench.latencies}
    return tuple(sorted(found)) or default_threads()


def _has(bench: ArtifactBench | None, counts: tuple[int, ...]) -> bool:
    """Whether every runtime here was measured with these thread counts."""
    if bench is None:
        return False
    names = [runtime.name for runtime in installed_runtimes(artifact_kind(bench.name).format)]
    measured = {(latency.runtime, latency.threads) for latency in bench.latencies}
    return set(itertools.product(names, counts)) <= measured


def _merge(found: BenchResult, measured: BenchResult) -> BenchResult:
    """Put new latencies beside those that hold; of the same runtime and threads the new stays."""
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
    return _replaced(found, replace(measured, artifacts=tuple(benches.values())))


def _reference_p50_s(layout: Layout) -> float | None:
    """The reference's median latency, where there is a reference."""
    if not layout.reference.exists():
        return None
    return read_reference(layout.reference).info.latency.p50_s


def _warn(result: BenchResult, display: Display) -> None:
    measured = [(bench.name, latency) for bench in result.artifacts for latency in bench.latencies]
    for sentence in warning_sentences(measured):
        display.warn(sentence)


def _write(out: Path, path: Path, result: BenchResult, inputs: dict[str, str]) -> None:
    write_record(path, result)
    write_stamp(out, path.stem, inputs, (path,))
