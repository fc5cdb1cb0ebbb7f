"""Latency of every artifact on this machine: ``results/bench-HOST.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.artifacts import load_artifacts
from resnet_edge.bench import bench_artifacts, bench_path, default_threads
from resnet_edge.display import Display, Silent
from resnet_edge.errors import InferenceError
from resnet_edge.machine import describe_machine
from resnet_edge.options import Options
from resnet_edge.parity.gates import Gates, judge_latency
from resnet_edge.records import read_record, write_record
from resnet_edge.reference_file import read_reference
from resnet_edge.results import BenchResult
from resnet_edge.steps.stamps import digest, is_current, version_of, write_stamp


@dataclass(frozen=True)
class Benched:
    """What ``bench`` left behind."""

    path: Path
    result: BenchResult
    rebuilt: bool


def measure_latency(options: Options, display: Display | None = None) -> Benched:
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
    reference_p50_s = (
        read_reference(layout.reference).info.latency.p50_s if layout.reference.exists() else None
    )
    threads = options.bench.threads or default_threads()
    machine = describe_machine({})
    path = bench_path(layout.results, machine.host)
    inputs = {
        "artifacts": digest([(a.name, a.sidecar.sha256) for a in artifacts]),
        "spec": digest(options.bench.spec, threads),
        "machine": digest(machine),
        "versions": digest(
            [version_of(p) for p in ("ai-edge-litert", "onnxruntime", "tensorflow")]
        ),
    }
    if is_current(options.out, path.stem, inputs):
        display.say(f"{path} is up to date")
        found = read_record(BenchResult, path, InferenceError)
        result = _judge_again(found, reference_p50_s, options.gates)
        if result != found:
            _write(options.out, path, result, inputs)
        return Benched(path, result, rebuilt=False)
    with display.bar("latency") as advance:
        result = bench_artifacts(
            artifacts,
            options.bench.spec,
            options.gates,
            threads=threads,
            reference_p50_s=reference_p50_s,
            progress=lambda done, total, title: advance(done, total),
        )
    _write(options.out, path, result, inputs)
    for artifact in result.artifacts:
        if any(latency.noisy for latency in artifact.latencies):
            display.warn(
                f"{artifact.name}: noisy host: latency spreads by more than 10 % of its median"
            )
    return Benched(path, result, rebuilt=True)


def _judge_again(result: BenchResult, reference_p50_s: float | None, gates: Gates) -> BenchResult:
    """What was measured stays true; only the verdicts depend on gates and reference."""
    artifacts = tuple(
        replace(a, gate=judge_latency(a.latencies, reference_p50_s, gates))
        for a in result.artifacts
    )
    return replace(result, artifacts=artifacts, reference_p50_s=reference_p50_s)


def _write(out: Path, path: Path, result: BenchResult, inputs: dict[str, str]) -> None:
    write_record(path, result)
    write_stamp(out, path.stem, inputs, (path,))
