"""Latency of every artifact on this machine: ``results/bench-HOST.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.errors import InferenceError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import digest
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts, recorded_hashes
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.latency.bench import bench_artifacts, bench_path, default_threads
from resnet_edge.ondevice.latency.warnings import warning_sentences
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import BenchResult
from resnet_edge.ondevice.parity.judging import judge_bench_again
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.ondevice.runtimes.installed import all_installed, check_asked
from resnet_edge.options import Options
from resnet_edge.steps.bench_record import (
    is_measured,
    merge,
    only,
    still_valid,
    thread_counts,
    with_others,
)
from resnet_edge.steps.evaluation import warn_refused
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.up_to_date import is_current, write_stamp


@dataclass(frozen=True)
class Benched:
    """The record of the measurement, and its file."""

    path: Path
    result: BenchResult
    rebuilt: bool


@sole_writer
def bench(options: Options, display: Display | None = None) -> Benched:
    """Measure every artifact, each alone in its own process.

    Args:
        options: The build, the artifacts, the duration, and the latency gates.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    layout = options.layout
    check_asked(options.also_in)
    artifacts = load_artifacts(layout.artifacts, options.formats)
    reference_p50_s = _reference_p50_s(layout)
    threads = options.bench.threads or default_threads()
    machine = describe_machine({})
    path = bench_path(layout.results, machine.host)
    inputs = {
        "artifacts": digest([(a.name, a.sidecar.sha256) for a in artifacts]),
        "spec": digest(options.bench.spec, threads),
        "machine": digest(machine),
        "versions": digest(all_installed((a.sidecar.format for a in artifacts), options.also_in)),
    }
    if is_current(options.out, path.stem, inputs):
        display.say(f"{path} is up to date")
        found = read_record(BenchResult, path, InferenceError)
        result = judge_bench_again(
            only(found, [a.name for a in artifacts]), reference_p50_s, options.gates
        )
        _warn(result, display)
        if (judged := with_others(found, result)) != found:
            _write(options.out, path, judged, inputs)
        return Benched(path, result, rebuilt=False)
    result = _measure(options, artifacts, threads, reference_p50_s, display)
    kept = still_valid(path, machine, recorded_hashes(layout.artifacts))
    _write(options.out, path, with_others(kept, result), inputs)
    return Benched(path, result, rebuilt=True)


def complete_latency(
    options: Options,
    artifacts: Sequence[Artifact],
    wanted: Sequence[Artifact],
    display: Display | None = None,
) -> Benched:
    """Take the recorded latencies of these files on this machine, and measure those missing.

    A latency counts if file, machine, runtime and the runtime's version are the same. Thread counts
    are ``options.bench.threads``; None takes those of the record, so that all artifacts are
    compared with the same numbers of threads.

    Args:
        options: The build, the duration, thread counts and gates.
        artifacts: Every artifact of the build, already compared with their sidecars.
        wanted: The artifacts whose latency is needed.
        display: Shows the progress.

    Returns:
        The whole record; it is written only if something was missing.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    machine = describe_machine({})
    path = bench_path(options.layout.results, machine.host)
    found = still_valid(path, machine, {a.name: a.sidecar.sha256 for a in artifacts})
    known = {bench.name: bench for bench in found.artifacts}
    counts = options.bench.threads or thread_counts(
        bench for name, bench in known.items() if name in {a.name for a in wanted}
    )
    missing = [a for a in wanted if not is_measured(found, a.name, counts)]
    if not missing:
        return Benched(path, found, rebuilt=False)
    measured = _measure(options, missing, counts, _reference_p50_s(options.layout), display)
    result = merge(found, measured)
    write_record(path, result)
    return Benched(path, result, rebuilt=True)


def _measure(
    options: Options,
    artifacts: Sequence[Artifact],
    threads: tuple[int, ...],
    reference_p50_s: float | None,
    display: Display,
) -> BenchResult:
    """Measure with a bar, then warn of what makes the result doubtful."""
    with display.bar("latency") as advance:
        result = bench_artifacts(
            artifacts,
            options.bench.spec,
            options.gates,
            threads=threads,
            reference_p50_s=reference_p50_s,
            also_in=options.also_in,
            progress=lambda done, total, title: advance(done, total),
        )
    _warn(result, display)
    return result


def _reference_p50_s(layout: Layout) -> float | None:
    """Return the reference's median latency; None without a reference."""
    if not layout.reference.exists():
        return None
    return read_reference(layout.reference).info.latency.p50_s


def _warn(result: BenchResult, display: Display) -> None:
    measured = [(bench.name, latency) for bench in result.artifacts for latency in bench.latencies]
    for sentence in warning_sentences(measured):
        display.warn(sentence)
    warn_refused(result.refused, display)


def _write(out: Path, path: Path, result: BenchResult, inputs: dict[str, str]) -> None:
    write_record(path, result)
    write_stamp(out, path.stem, inputs, (path,))
