"""An artifact's answers against the reference's: the records of ``results/parity.json``."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnet_edge.ondevice.measurements.picture_digits import (
    PictureAnswers,
    PictureProbabilities,
)
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.unmeasured import Unmeasured
from resnet_edge.ondevice.measurements.verdict import FurtherGate, GateResult, combine_results


@dataclass(frozen=True)
class ClassResult:
    """One class's share of the answers."""

    label: str
    images: int
    top1: float
    reference_top1: float
    agreement: float
    gained: int | None = None
    """Pictures that only the artifact has right; None in records of earlier versions."""
    lost: int | None = None
    """Pictures that only the reference has right; None in records of earlier versions."""

    def __post_init__(self) -> None:
        gained, lost = self.gained or 0, self.lost or 0
        if min(gained, lost) < 0 or gained + lost > self.images:
            raise ValueError(
                f"class {self.label}: {self.gained} gained and {self.lost} lost; expected counts "
                f"that add up to at most its {self.images} pictures"
            )


@dataclass(frozen=True)
class ConfusedPair:
    """A wrong answer to pictures of a class."""

    label: str
    """The true class."""
    answer: str
    before: int
    """Pictures of the class to which the reference gives this answer."""
    after: int
    """The same of the artifact."""


@dataclass(frozen=True)
class ChangedPicture:
    """A picture to which the artifact gives another answer than the reference."""

    picture: str
    sha256: str
    label: str
    reference_answer: str
    artifact_answer: str
    reference_probability: float
    artifact_probability: float


@dataclass(frozen=True)
class ArtifactParity:
    """One artifact against the reference, over the whole test split."""

    name: str
    sha256: str
    runtime: str
    images: int
    top1: float
    top5: float
    agreement: float
    max_abs_logit: float
    mean_abs_logit: float
    logit_range: float
    """The largest reference logit minus the smallest; ``max_abs_logit`` is relative to it."""
    cosine: float
    sqnr_db: float
    kl: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes, columns are answers; empty where there are more than 100 classes."""
    changed: tuple[ChangedPicture, ...]
    collapse: str | None
    """The reason why the answers are worthless (NaN, one class, chance level), else None."""
    gate: GateResult
    answers: PictureAnswers | None = None
    """None where no answers were compared, and in records of earlier versions."""
    probabilities: PictureProbabilities | None = None
    """None where an answer is no probability, and in records of earlier versions."""
    grown: tuple[ConfusedPair, ...] | None = None
    """The confusions that grew most; None where no answers were compared, and in records of
    earlier versions."""
    confused: tuple[ConfusedPair, ...] | None = None
    """The reference's most frequent confusions; None as ``grown``."""
    further_gates: tuple[FurtherGate, ...] = ()
    """The gates beside that of the accuracy; only those that a limit was given for."""

    @property
    def answers_gate(self) -> GateResult:
        """All gates of the answers as one; see ``combine_results``."""
        return combine_results(self.gate, self.further_gates)

    @property
    def runtime_name(self) -> str:
        """The runtime without its version."""
        return self.runtime.rpartition(" ")[0] or self.runtime

    def __post_init__(self) -> None:
        if self.answers is not None:
            self.answers.check_count(self.images)
        if self.probabilities is not None:
            self.probabilities.check_count(self.images)


@dataclass(frozen=True)
class ParityResult:
    """``results/parity.json``."""

    model_sha256: str
    reference_sha256: str
    images: int
    labels: tuple[str, ...]
    reference_top1: float
    reference_top5: float
    artifacts: tuple[ArtifactParity, ...]
    gates: dict[str, float] = field(default_factory=dict)
    """The gates of accuracy, by the names of ``resnet_edge.ondevice.parity.gates.Gates``."""
    elsewhere: tuple[ArtifactParity, ...] = ()
    """The same artifacts in further runtimes that are installed. A runtime may be recommended only
    if the answers in it pass; the artifact's verdict does not depend on them."""
    refused: tuple[Unmeasured, ...] = ()
    """Further runtimes that refused a file or crashed; no verdict depends on them. Those of a
    device stand in its ``DeviceResult``."""
    schema: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for artifact in (*self.artifacts, *self.elsewhere):
            if artifact.confusion:
                _check_confusion(artifact, len(self.labels))


def _check_confusion(artifact: ArtifactParity, labels: int) -> None:
    rows = artifact.confusion
    if {len(rows), *map(len, rows)} != {labels}:
        raise ValueError(
            f"{artifact.name}: its confusion matrix has {len(rows)} rows; "
            f"expected {labels} rows and columns, one per label"
        )
    counts = [count for row in rows for count in row]
    answers = sum(counts)  # one that is NaN is none, and a collapse
    fits = answers <= artifact.images if artifact.collapse else answers == artifact.images
    if not fits or min(counts) < 0:
        raise ValueError(
            f"{artifact.name}: its confusion matrix counts {answers} pictures; "
            f"expected {artifact.images}, none of them below 0"
        )
