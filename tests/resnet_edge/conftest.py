"""Measurements made by hand, and builds of them: neither TensorFlow nor a runtime is needed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hand_made import hand_sidecar

from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import Format, artifact_kind
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import Artifact, write_sidecar
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.latency.bench import bench_path
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    GateResult,
    Latency,
    ParityResult,
    Verdict,
)
from resnet_edge.ondevice.runtimes import kinds
from resnet_edge.options import BenchOptions, DataOptions, ModelOptions, Options
from resnet_edge.training.training_settings import TrainingSettings

FORMATS = "fp32.tflite,int8.tflite,fp32.onnx"
RUNTIMES = {format_: kinds.runtimes_for(format_)[0].name for format_ in Format}
NOT_ASKED = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")


@pytest.fixture(autouse=True)
def one_runtime_for_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional second runtime changes what is measured: tests that are about it say so."""
    rows = tuple(kind for kind in kinds.RUNTIME_KINDS if kind.name != "OpenVINO")
    monkeypatch.setattr(kinds, "RUNTIME_KINDS", rows)


def hand_latency(
    p50_ms: float, threads: int = 1, runtime: str = "onnxruntime", spread: float = 0.0
) -> Latency:
    """65 samples: their quartiles lie ``spread`` of the median below and above it."""
    below, above = p50_ms * (1 - spread), p50_ms * (1 + spread)
    samples = tuple(ms / 1e3 for ms in (below, below, p50_ms, above, above) * 13)
    return Latency(runtime, threads, samples, p50_ms / 500, 0.25, 120_000_000, 5)


def hand_parity(
    name: str,
    verdict: Verdict = Verdict.PASS,
    agreement: float = 1.0,
    sqnr_db: float = 120.0,
    sha256: str | None = None,
) -> ArtifactParity:
    return ArtifactParity(
        name=name,
        sha256=sha256 or hashlib.sha256(name.encode()).hexdigest(),
        runtime=RUNTIMES[artifact_kind(name).format],
        images=1000,
        top1=0.9,
        top5=1.0,
        agreement=agreement,
        max_abs_logit=0.1,
        mean_abs_logit=0.01,
        logit_range=20.0,
        cosine=1.0,
        sqnr_db=sqnr_db,
        kl=0.0,
        classes=(),
        confusion=(),
        changed=(),
        collapse=None,
        gate=GateResult(verdict, f"{verdict.value} by hand"),
    )


def hand_bench(name: str, size: int, *times_ms: float, spread: float = 0.0) -> ArtifactBench:
    """Latencies with 1, 2, … threads."""
    runtime = RUNTIMES[artifact_kind(name).format]
    latencies = tuple(
        hand_latency(ms, threads, runtime, spread) for threads, ms in enumerate(times_ms, start=1)
    )
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return ArtifactBench(name, sha256, size, latencies, NOT_ASKED)


def hand_artifact(folder: Path, name: str, data: bytes | None = None) -> Artifact:
    """A file and its sidecar; its bytes are its name unless ``data`` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(name.encode() if data is None else data)
    sidecar = hand_sidecar(
        name,
        preprocessing="none",
        bytes=path.stat().st_size,
        sha256=hash_path(path),
        model_sha256="ab" * 32,
    )
    write_sidecar(path, sidecar)
    return Artifact(path, sidecar)


def hand_build(
    out: Path, benches: tuple[ArtifactBench, ...], parities: tuple[ArtifactParity, ...]
) -> Layout:
    """Artifacts of these names, measured on this machine in the runtimes installed here."""
    from resnet_edge.ondevice.runtimes.installed import installed_runtime

    layout = Layout(out)
    for parity in parities:
        hand_artifact(layout.artifacts, parity.name)
    found = [installed_runtime(kind) for kind in (Format.TFLITE, Format.ONNX)]
    machine = describe_machine({r.name: r.version for r in found if r is not None})
    write_record(bench_path(layout.results, machine.host), BenchResult(machine, benches, None))
    write_record(
        layout.parity, ParityResult("ab" * 32, "cd" * 32, 1000, ("cat", "dog"), 0.9, 1.0, parities)
    )
    return layout


@pytest.fixture(name="hand_latency", scope="session")
def _hand_latency() -> Callable[..., Latency]:
    return hand_latency


@pytest.fixture(name="hand_parity", scope="session")
def _hand_parity() -> Callable[..., ArtifactParity]:
    return hand_parity


@pytest.fixture(name="hand_bench", scope="session")
def _hand_bench() -> Callable[..., ArtifactBench]:
    return hand_bench


@pytest.fixture(name="hand_artifact", scope="session")
def _hand_artifact() -> Callable[..., Artifact]:
    return hand_artifact


@pytest.fixture
def measured_build(tmp_path: Path) -> Layout:
    """Two float files that pass, an int8 file that passes, one undecided and one that fails."""
    parities = (
        hand_parity("fp32.tflite"),
        hand_parity("int8.tflite", Verdict.INCONCLUSIVE, 0.99, 30.0),
        hand_parity("int8_full.tflite", Verdict.FAIL, 0.5, 3.0),
        hand_parity("fp32.onnx"),
        hand_parity("int8.onnx", agreement=0.98, sqnr_db=28.0),
    )
    benches = (
        hand_bench("fp32.tflite", 94_000_000, 105, 59),
        hand_bench("int8.tflite", 24_000_000, 105, 68),
        hand_bench("int8_full.tflite", 24_000_000, 104, 67),
        hand_bench("fp32.onnx", 94_000_000, 102, 62),
        hand_bench("int8.onnx", 24_200_000, 61, 29.5),
    )
    return hand_build(tmp_path / "build", benches, parities)


@pytest.fixture
def unmeasured(measured_build: Layout) -> Callable[[str], Layout]:
    """Take an artifact's latencies out of the record of ``measured_build``."""
    from resnet_edge.errors import InferenceError
    from resnet_edge.ondevice.json_records import read_record

    def forget(name: str) -> Layout:
        path = bench_path(measured_build.results, describe_machine({}).host)
        result = read_record(BenchResult, path, InferenceError)
        kept = tuple(bench for bench in result.artifacts if bench.name != name)
        write_record(path, replace(result, artifacts=kept))
        return measured_build

    return forget


COPYING_WORKER = """
import os, shutil, sys
from pathlib import Path
from converters.errors import ModelConversionError
from resnet_edge.exporting.attempt import attempt
from resnet_edge.exporting.job import ExportPlan, ExportResult
from resnet_edge.ondevice.workers.serving import serve

def work(plan, reporter):
    for job in plan.jobs:
        staging = job.inputs.staging
        staging.mkdir(parents=True, exist_ok=True)
        for name in job.names:
            with attempt((name,), reporter):
                if name == "int8.tflite":
                    {deed}
                for file in (name, f"{name}.json"):
                    shutil.copy(Path(SOURCE) / file, staging / file)
                reporter.made(name)
    return ExportResult(())

sys.exit(serve(ExportPlan, work))
"""


@pytest.fixture(scope="session")
def copying_worker(edge_build: Path) -> Callable[[str], tuple[str, ...]]:
    """An export worker that copies the files of the finished build.

    The deed, a line of Python, is done in place of ``int8.tflite``, or before it.
    """

    def make(deed: str) -> tuple[str, ...]:
        script = COPYING_WORKER.replace("{deed}", deed)
        script = script.replace("SOURCE", repr(str(edge_build / "artifacts")))
        return (sys.executable, "-c", script)

    return make


@pytest.fixture(scope="session")
def options_for(edge_photos: Path, edge_model: Path) -> Callable[[Path], Options]:
    """The same as the arguments that the build in tests/conftest.py was made with."""

    def make(out: Path) -> Options:
        return Options(
            out=out,
            data=DataOptions(edge_photos),
            model=ModelOptions(str(edge_model)),
            training=TrainingSettings(epochs=30, learning_rate=0.2, augment=False),
            formats=parse_formats(FORMATS),
            bench=BenchOptions(LatencySpec(0.05, 8), (1,)),
        )

    return make


@pytest.fixture
def options(options_for: Callable[[Path], Options], build: Path) -> Options:
    """For the copy of the finished build."""
    return options_for(build)
