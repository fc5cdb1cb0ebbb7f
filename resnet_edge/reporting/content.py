"""The content of a report, as frozen dataclasses; the three renderings read nothing else.

Shares are in [0, 1], times seconds, sizes bytes. A figure that was not measured is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from resnet_edge.errors import ArtifactError
from resnet_edge.exporting.failures import Failure
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.ondevice.formats.sidecar import Sidecar
from resnet_edge.ondevice.latency.noise import best_latency
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    Browser,
    FurtherGate,
    GateResult,
    Latency,
    Machine,
    Throughput,
    Unmeasured,
    Verdict,
    combine_gates,
    combine_results,
    failed_everywhere,
    worst_verdict,
)
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference

Confusion = tuple[tuple[int, ...], ...]
"""Counts; rows are true classes, columns are answers."""


class PictureFile(Protocol):
    """A picture wherever it lies; a path is one."""

    def read_bytes(self) -> bytes:
        """Return the file's content.

        Raises:
            OSError: It cannot be read.
            DataError: It lies in a store that does not give it.
        """


@dataclass(frozen=True)
class ModelSection:
    """The model that every artifact was made from."""

    name: str
    sha256: str
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    """Height and width in pixels."""
    parameters: int
    multiply_adds: int
    """The multiply-adds of one inference, batch 1, after the rewrites."""
    multiply_adds_before: int
    """The same before the rewrites."""
    weights: str
    """The source of the weights, in words."""
    rewrites: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSection:
    """The number of pictures in each split; 0 if a split does not exist."""

    train: int
    validation: int
    calibration: int
    test: int
    source: str = ""
    """The source of the pictures, in words."""
    skipped: tuple[str, ...] = ()
    """Unreadable pictures that ``--skip-unreadable`` left out, each with its reason."""
    split_reason: str = ""
    """What decided where each picture goes, in words; empty where it is not known."""


@dataclass(frozen=True)
class ReferenceSection:
    """The reference: the full-precision answers with which artifacts are compared."""

    device: str
    """In words, for instance ``CPU: no GPU was found``."""
    backend: str
    dtype: str
    top1: float | None
    top5: float | None
    latency: Latency | None
    confusion: Confusion | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    """Facts about the device: driver, CUDA and the like."""
    float32: str = ""
    """The proof that the device multiplies in full float32, in words."""
    throughput: tuple[Throughput, ...] = ()
    throughput_stopped: str = ""
    """The reason why larger batches were left out; empty if none was."""
    host: str = ""
    """Name of the machine that answered."""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochPoint:
    """One epoch of the training curves; accuracies are shares."""

    epoch: int
    """Counted from 1 over all phases."""
    phase: str
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class ArtifactRow:
    """One exported file with all its measurements.

    Raises:
        ArtifactError: A measurement was made of other bytes than the sidecar's.
    """

    sidecar: Sidecar
    parity: ArtifactParity | None
    bench: ArtifactBench | None
    in_further_runtimes: tuple[ArtifactParity, ...] = ()
    """The same artifact's answers in further runtimes."""
    corrupted: tuple[CorruptedParity, ...] = ()
    """The same artifact's answers to corrupted test pictures, as far as they were asked."""

    def __post_init__(self) -> None:
        for step, result in (("parity", self.parity), ("bench", self.bench)):
            if result is not None and result.sha256 != self.sidecar.sha256:
                raise ArtifactError(
                    f"{self.name}: {step} measured sha256 {result.sha256[:16]}…, the artifact is "
                    f"{self.sidecar.sha256[:16]}…; run `resnet-edge {step}` again"
                )

    @property
    def name(self) -> str:
        """The artifact's name, for instance ``int8.tflite``."""
        return self.sidecar.name

    @property
    def runtime(self) -> str | None:
        """The runtime that answered, or else was timed; None where neither was done."""
        if self.parity is not None:
            return self.parity.runtime
        best = self.latency
        return best.runtime if best is not None else None

    @property
    def latency(self) -> Latency | None:
        """In the preferred runtime, with the thread count to deploy; see ``best_latency``."""
        if self.bench is None or not self.bench.latencies:
            return None
        return best_latency(self.bench.preferred)

    @property
    def accuracy_gate(self) -> GateResult:
        """The accuracy gate; NaN and collapse are failures, whatever the gate's verdict."""
        if self.parity is None:
            return GateResult(
                Verdict.NOT_CHECKED, "its answers were not compared: no parity results"
            )
        gate = self.parity.gate
        unchecked = gate.verdict is Verdict.NOT_CHECKED and self.parity.images == 0
        if unchecked or gate.verdict is Verdict.FAIL:
            return gate
        if self.parity.collapse is not None:
            return replace(gate, verdict=Verdict.FAIL, reason=self.parity.collapse)
        if unusable := _nan_metrics(self.parity):
            reason = f"{', '.join(unusable)} not a number: the answers are worthless"
            return replace(gate, verdict=Verdict.FAIL, reason=reason)
        return gate

    @property
    def further_gates(self) -> tuple[FurtherGate, ...]:
        """The gates of calibration and classes, where a limit was given."""
        return self.parity.further_gates if self.parity is not None else ()

    @property
    def answers_gate(self) -> GateResult:
        """All gates of the answers as one; see ``combine_results``."""
        return combine_results(self.accuracy_gate, self.further_gates)

    @property
    def gates(self) -> tuple[tuple[str, GateResult], ...]:
        """Every gate with its name."""
        further = ((each.name, each.result) for each in self.further_gates)
        return (("accuracy", self.accuracy_gate), *further, ("latency", self.latency_gate))

    @property
    def latency_gate(self) -> GateResult:
        """The latency gate."""
        if self.bench is None:
            return GateResult(Verdict.NOT_CHECKED, "it was not timed: no bench results")
        return self.bench.gate

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates, see ``combine_gates``; a fail where it falls."""
        if self.falls:
            return Verdict.FAIL
        return combine_gates(self.answers_gate.verdict, self.latency_gate.verdict)

    @property
    def falls(self) -> tuple[CorruptedParity, ...]:
        """The corruptions under which it fails; an undecided one does not count."""
        return tuple(each for each in self.corrupted if each.gate.verdict is Verdict.FAIL)


@dataclass(frozen=True)
class DeviceSection:
    """A device, and its measurements of the same files on a sample of the test split."""

    machine: Machine
    emulated: bool
    bundle_sha256: str
    images: int
    """Pictures of the sample."""
    reference_top1: float | None
    """On the sample."""
    artifacts: tuple[ArtifactRow, ...]
    failed: tuple[Unmeasured, ...] = ()
    """What a runtime refused, or crashed with; see ``lost``."""
    left_out: tuple[Unmeasured, ...] = ()
    pictures: tuple[str, ...] = ()
    """SHA-256 of the sample's files."""
    browser: Browser | None = None
    """What a browser tells of its runs; None where Python measured."""

    @property
    def lost(self) -> tuple[str, ...]:
        """The artifacts that no runtime came through with; see ``failed_everywhere``."""
        parities = (
            parity for row in self.artifacts for parity in (row.parity, *row.in_further_runtimes)
        )
        return failed_everywhere(
            self.failed,
            (parity for parity in parities if parity is not None),
            (row.bench for row in self.artifacts if row.bench is not None),
        )

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its artifacts; one that no runtime came through with failed."""
        crashed = [Verdict.FAIL for _ in self.lost]
        return worst_verdict([*(row.verdict for row in self.artifacts), *crashed])


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows.

    Raises:
        ArtifactError: An artifact, or the quantization, is of another model.
    """

    model: ModelSection
    data: DataSection
    reference: ReferenceSection | None
    artifacts: tuple[ArtifactRow, ...]
    history: tuple[EpochPoint, ...] = ()
    machine: Machine | None = None
    notes: tuple[str, ...] = ()
    """Sentences that a reader must know: random weights, steps that were left out, …"""
    made_by: str = "resnet-edge"
    pictures: Mapping[str, PictureFile] = field(default_factory=dict)
    """The files of the test pictures, by the SHA-256 of their bytes."""
    quantization: QuantizationResult | None = None
    """The making of the integer artifacts; None where it is not known."""
    devices: tuple[DeviceSection, ...] = ()
    """The devices' measurements, in the order of the devices' names."""
    failed: tuple[Failure, ...] = ()
    """The artifacts that could not be made."""
    refused: tuple[Unmeasured, ...] = ()
    """Further runtimes here that refused an artifact; no verdict depends on them."""
    corrupted: tuple[CorruptedReference, ...] = ()
    """The reference on corrupted test pictures, in the order of the corruptions."""

    def __post_init__(self) -> None:
        for row in self.artifacts:
            if row.sidecar.model_sha256 != self.model.sha256:
                raise ArtifactError(
                    f"{row.name}: made from model {row.sidecar.model_sha256[:16]}…, this report is "
                    f"about {self.model.sha256[:16]}…; run `resnet-edge export` again"
                )
        made = self.quantization
        if made is not None and made.model_sha256 != self.model.sha256:
            raise ArtifactError(
                f"quantization is of model {made.model_sha256[:16]}…, this report is about "
                f"{self.model.sha256[:16]}…; run `resnet-edge export` again"
            )

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the artifacts; ``not checked`` where there are none.

        An artifact that could not be made is a failure, and a failure on a device counts. A
        device's sample is smaller than the test split, so an inconclusive verdict there does not.
        """
        failed = [d.verdict for d in self.devices if d.verdict is Verdict.FAIL]
        failed += [Verdict.FAIL for _ in self.failed]
        return worst_verdict([*(row.verdict for row in self.artifacts), *failed])


def _nan_metrics(parity: ArtifactParity) -> list[str]:
    metrics = {
        "top-1": parity.top1,
        "top-5": parity.top5,
        "agreement": parity.agreement,
        "max |Δlogit|": parity.max_abs_logit,
        "mean |Δlogit|": parity.mean_abs_logit,
        "SQNR": parity.sqnr_db,
        "KL": parity.kl,
        "cosine": parity.cosine,
    }
    return [name for name, value in metrics.items() if math.isnan(value)]
