"""An artifact's answers against the reference's: the records of ``results/parity.json``."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.ondevice.measurements.verdict import GateResult


@dataclass(frozen=True)
class ClassResult:
    """One class's share of the answers."""

    label: str
    images: int
    top1: float
    reference_top1: float
    agreement: float


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
class PictureAnswers:
    """The right answers, picture by picture: verdicts and paired comparisons need nothing else.

    The pictures are in the order of their hashes and labels, so that the records of two builds can
    be laid side by side. The other three have a bit per picture, in hexadecimal, the first picture
    first, and zeros up to the next whole byte.
    """

    pictures_sha256: str
    """A hash over the pictures' hashes and labels: equal if two records have the same pictures."""
    right: str
    """Pictures that the artifact has right."""
    reference_right: str
    """Pictures that the reference has right."""
    agrees: str
    """Pictures to which both give the same answer."""

    def __post_init__(self) -> None:
        for name in ("right", "reference_right", "agrees"):
            bits = getattr(self, name)
            if len(bits) % 2 or not set(bits) <= set("0123456789abcdef"):
                raise ValueError(f"{name}: got {bits[:16]!r}; expected whole bytes in hexadecimal")

    def check_count(self, images: int) -> None:
        """Refuse records that are not of so many pictures.

        Raises:
            ValueError: There are more or fewer bits, or the bits that fill the last byte are not 0.
        """
        wanted = 2 * -(-images // 8)
        for name in ("right", "reference_right", "agrees"):
            bits = getattr(self, name)
            if len(bits) != wanted:
                raise ValueError(
                    f"answers: {name}: {len(bits)} hexadecimal digits; expected {wanted} for "
                    f"{images} pictures"
                )
            if int(bits or "0", 16) % (1 << (4 * wanted - images)):
                raise ValueError(f"answers: {name}: marks more than {images} pictures")


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

    @property
    def runtime_name(self) -> str:
        """The runtime without its version."""
        return self.runtime.rpartition(" ")[0] or self.runtime

    def __post_init__(self) -> None:
        if self.answers is not None:
            self.answers.check_count(self.images)


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
    if sum(counts) != artifact.images or min(counts) < 0:
        raise ValueError(
            f"{artifact.name}: its confusion matrix counts {sum(counts)} pictures; "
            f"expected {artifact.images}, none of them below 0"
        )
