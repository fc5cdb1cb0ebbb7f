"""Hand-made contents of reports."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_made import hand_sidecar
from PIL import Image

from converters.quantization.findings import LayerSensitivity, PrecisionTrial
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.ondevice.formats.kinds import ARTIFACT_KINDS, ArtifactKind, artifact_kind
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord, Sidecar
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    ChangedPicture,
    ClassResult,
    GateResult,
    Interval,
    Latency,
    Machine,
    Verdict,
)
from resnet_edge.reporting.content import (
    ArtifactRow,
    DataSection,
    EpochPoint,
    ModelSection,
    ReferenceSection,
    ReportContent,
)

MODEL_SHA = "ab" * 32
PASSED = GateResult(Verdict.PASS, "1,000 of 1,000 answers agree", Interval(-0.002, 0.003, 0.95))
NO_LATENCY_GATE = GateResult(Verdict.NOT_CHECKED, "no latency gate was set")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_latency(p50_ms: float = 2.0, threads: int = 1, runtime: str = "LiteRT 2.3.0") -> Latency:
    """Seven times nine equal samples and one of twice the time: p50 = p50_ms, p90 too.

    p99 is twice that, and so is the bound of p90, with 70 samples the slowest of all.
    """
    samples = ((p50_ms / 1e3,) * 9 + (2 * p50_ms / 1e3,)) * 7
    return Latency(runtime, threads, samples, p50_ms / 500, 0.25, 120_000_000, 5)


def make_sidecar(name: str, labels: tuple[str, ...] = ("cat", "dog")) -> Sidecar:
    kind: ArtifactKind = artifact_kind(name)
    calibration = CalibrationRecord(digest("calibration"), 200, 0, "training split", "equalized")
    return hand_sidecar(
        name,
        labels,
        input_shape=(1, 64, 64, 3),
        bytes=25_600_000,
        sha256=digest(name),
        model_name="pets",
        model_sha256=MODEL_SHA,
        parameters=23_591_810,
        multiply_adds=348_000_000,
        multiply_adds_before=386_000_000,
        rewrites=("stride moved up",),
        calibration=calibration if kind.calibrated else None,
        tools={"tensorflow": "2.21.0"},
        options={"rounding": "nearest"},
    )


def make_parity(
    name: str,
    labels: tuple[str, ...] = ("cat", "dog"),
    gate: GateResult = PASSED,
    changed: tuple[ChangedPicture, ...] = (),
) -> ArtifactParity:
    """Ten pictures per class, nine of them right; the tenth answered as the next class."""
    count = len(labels)
    confusion = [[0] * count for _ in labels]
    for index in range(count):
        confusion[index][index] += 9
        confusion[index][(index + 1) % count] += 1
    return ArtifactParity(
        name=name,
        sha256=digest(name),
        runtime="LiteRT 2.3.0",
        images=10 * count,
        top1=0.9,
        top5=1.0,
        agreement=0.995,
        max_abs_logit=0.5,
        mean_abs_logit=0.1,
        logit_range=20.0,
        cosine=0.999,
        sqnr_db=31.25,
        kl=0.001,
        classes=tuple(ClassResult(label, 10, 0.9, 0.95, 0.99) for label in labels),
        confusion=tuple(map(tuple, confusion)),
        changed=changed,
        collapse=None,
        gate=gate,
    )


def make_bench(name: str, *latencies: Latency, gate: GateResult = NO_LATENCY_GATE) -> ArtifactBench:
    return ArtifactBench(name, digest(name), 25_600_000, latencies or (make_latency(),), gate)


def make_row(name: str, labels: tuple[str, ...] = ("cat", "dog"), **changes: object) -> ArtifactRow:
    """A row whose parity record has ``changes``."""
    parity = dataclasses.replace(make_parity(name, labels), **changes)
    return ArtifactRow(make_sidecar(name, labels), parity, make_bench(name))


def make_layer(layer: str, share: float, **changes: object) -> LayerSensitivity:
    made = LayerSensitivity(layer, ("CONV_2D",), -1.5, 20.25, 30.04, 40.06, 0.995, share)
    return dataclasses.replace(made, **changes)


def make_trial(layer: str, *float_layers: str, **changes: object) -> PrecisionTrial:
    made = PrecisionTrial(layer, float_layers, 0.975, 21.3, 25_900_000, 0.0181, holds=False)
    return dataclasses.replace(made, **changes)


@pytest.fixture
def layer() -> Callable[..., LayerSensitivity]:
    return make_layer


@pytest.fixture
def trial() -> Callable[..., PrecisionTrial]:
    return make_trial


@pytest.fixture
def quantization() -> QuantizationResult:
    """Of the sidecars' pictures and method: three layers, two trials."""
    return QuantizationResult(
        model_sha256=MODEL_SHA,
        calibration_sha256=digest("calibration"),
        pictures=200,
        method="equalized",
        findings={"equalisation": "strength 0.5, 3 groups of tensors"},
        layers=(make_layer("conv1", 0.25), make_layer("conv2", 0.625), make_layer("head", 0.125)),
        trials=(
            make_trial(""),
            make_trial("conv2", "conv2", agreement=0.995, latency_s=0.0212, holds=True),
        ),
        best=1,
    )


@pytest.fixture
def content() -> ReportContent:
    """Every artifact of a model of two classes, all of which pass."""
    labels = ("cat", "dog")
    return ReportContent(
        model=ModelSection(
            *("pets", MODEL_SHA, labels, (64, 64), 23_591_810, 348_000_000, 386_000_000, "none")
        ),
        data=DataSection(60, 10, 40, 20, source="photos/"),
        reference=ReferenceSection(
            "CPU: no GPU was found",
            "tensorflow",
            "float32",
            0.95,
            1.0,
            make_latency(8.0, 2, "keras 3.15"),
            ((10, 0), (1, 9)),
        ),
        artifacts=tuple(make_row(kind.name) for kind in ARTIFACT_KINDS),
        history=(
            EpochPoint(1, "head", 0.7, 0.6, 0.6, 0.65),
            EpochPoint(2, "head", 0.4, 0.8, 0.45, 0.78),
            EpochPoint(3, "last stage", 0.2, 0.95, 0.3, 0.9),
        ),
        machine=Machine(
            "desk", "Linux", "AMD EPYC", ("avx2",), 2, "3.11.2", {"ai-edge-litert": "2.3.0"}
        ),
        notes=("trained from random weights",),
        made_by="resnet-edge 0.1.0",
    )


@pytest.fixture
def row() -> Callable[..., ArtifactRow]:
    return make_row


@pytest.fixture
def bench() -> Callable[..., ArtifactBench]:
    return make_bench


@pytest.fixture
def latency() -> Callable[..., Latency]:
    return make_latency


@pytest.fixture
def change(tmp_path: Path) -> Callable[..., tuple[ChangedPicture, Path]]:
    """Make a picture file and the record of an artifact that changed its answer."""

    def make(
        name: str, label: str = "cat", reference: str = "cat", artifact: str = "dog"
    ) -> tuple[ChangedPicture, Path]:
        path = tmp_path / f"{digest(name)[:8]}.png"
        colour = tuple(hashlib.sha256(name.encode()).digest()[:3])
        Image.new("RGB", (120, 100), colour).save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return ChangedPicture(name, sha256, label, reference, artifact, 0.61, 0.52), path

    return make
