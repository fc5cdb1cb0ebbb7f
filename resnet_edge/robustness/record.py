"""The artifacts against the reference on corrupted pictures: ``results/corruptions.json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from resnet_edge.ondevice.measurements import GateResult, PictureAnswers, Verdict
from resnet_edge.ondevice.measurements.schema import SCHEMA_VERSION
from resnet_edge.robustness.corruptions import Corruption


@dataclass(frozen=True)
class CorruptedReference:
    """The reference's answers to the test split under one corruption."""

    corruption: Corruption
    answers_sha256: str
    """Hash of the file that holds them."""
    top1: float
    collapse: str | None
    """The reason why they are worthless (one class, chance level), else None."""


@dataclass(frozen=True)
class CorruptedParity:
    """One artifact against the reference on the test split under one corruption.

    Raises:
        ValueError: The answers are not of so many pictures.
    """

    corruption: Corruption
    name: str
    sha256: str
    runtime: str
    inputs_sha256: str
    """A hash over all that the figures follow from: file, reference's answers, versions."""
    images: int
    top1: float
    agreement: float
    sqnr_db: float
    unusable: str | None
    """The reason why the answers are no answers (NaN), else None."""
    answers: PictureAnswers
    gate: GateResult

    def __post_init__(self) -> None:
        self.answers.check_count(self.images)


@dataclass(frozen=True)
class CorruptionResult:
    """``results/corruptions.json``.

    Raises:
        ValueError: An artifact was compared with no reference, or with one of two.
    """

    model_sha256: str
    references: tuple[CorruptedReference, ...]
    """In the order of ``Corruption``."""
    artifacts: tuple[CorruptedParity, ...]
    gates: dict[str, float] = field(default_factory=dict)
    """The gates of accuracy, by the names of ``resnet_edge.ondevice.parity.gates.Gates``."""
    schema: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        known = [reference.corruption for reference in self.references]
        for each in self.artifacts:
            if known.count(each.corruption) != 1:
                raise ValueError(
                    f"{each.name} under {each.corruption.value}: got "
                    f"{known.count(each.corruption)} references; expected one"
                )

    def reference_under(self, corruption: Corruption) -> CorruptedReference:
        """Return the reference that a corruption's artifacts were compared with."""
        return next(each for each in self.references if each.corruption is corruption)

    def of(self, name: str) -> tuple[CorruptedParity, ...]:
        """Return one artifact's comparisons."""
        return tuple(each for each in self.artifacts if each.name == name)

    def only(self, corruptions: Iterable[Corruption], names: Iterable[str]) -> CorruptionResult:
        """Return the part that is about these corruptions and artifacts."""
        wanted, of_these = set(corruptions), set(names)
        return replace(
            self,
            references=tuple(each for each in self.references if each.corruption in wanted),
            artifacts=tuple(
                each
                for each in self.artifacts
                if each.corruption in wanted and each.name in of_these
            ),
        )

    @property
    def failed(self) -> tuple[CorruptedParity, ...]:
        """The comparisons that show a loss which no chance explains."""
        return tuple(each for each in self.artifacts if each.gate.verdict is Verdict.FAIL)
