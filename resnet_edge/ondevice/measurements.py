"""What the measuring steps find out: the records between ``parity``, ``bench`` and ``report``.

Leaf module: standard library only, also on the device. Times are seconds, sizes bytes, shares in
[0, 1].
"""

from __future__ import annotations

import enum
import math
import statistics
from dataclasses import dataclass, field

from resnet_edge.ondevice.latency.cpu_state import Conditions
from resnet_edge.ondevice.latency.early_stopping import upper_bound
from resnet_edge.ondevice.latency.trend import change_of_median, drifts, in_groups

SCHEMA_VERSION = 1


class Verdict(enum.Enum):
    """A gate's answer."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a difference, as shares."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class GateResult:
    """One gate's verdict with the sentence that explains it."""

    verdict: Verdict
    reason: str
    interval: Interval | None = None
    images_needed: int | None = None
    """How many more pictures an inconclusive verdict needs, as far as can be told."""
    queries_needed: int | None = None
    """How many queries in all an inconclusive latency needs, as far as can be told."""


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
    """A picture that the artifact answers otherwise than the reference."""

    picture: str
    sha256: str
    label: str
    reference_answer: str
    artifact_answer: str
    reference_probability: float
    artifact_probability: float


@dataclass(frozen=True)
class PictureAnswers:
    """What was right, picture by picture: verdicts and paired comparisons follow from it alone.

    The pictures are in the order of their hashes and labels, so that the records of two builds can
    be laid side by side. The other three have a bit per picture, in hexadecimal, the first picture
    first, and zeros up to the next whole byte.
    """

    pictures_sha256: str
    """Of the pictures' hashes and labels: equal where two records are about the same pictures."""
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
    """Largest minus smallest reference logit: what ``max_abs_logit`` is relative to."""
    cosine: float
    sqnr_db: float
    kl: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes, columns are answers; empty where there are more than 100 classes."""
    changed: tuple[ChangedPicture, ...]
    collapse: str | None
    """What is wrong where the answers are worthless (NaN, one class, chance level), else None."""
    gate: GateResult
    answers: PictureAnswers | None = None
    """None where no answers were compared, and in records of earlier versions."""

    @property
    def runtime_name(self) -> str:
        """The runtime without its version."""
        return self.runtime.rpartition(" ")[0] or self.runtime

    def __post_init__(self) -> None:
        if self.answers is None:
            return
        wanted = 2 * -(-self.images // 8)
        for name in ("right", "reference_right", "agrees"):
            found = len(getattr(self.answers, name))
            if found != wanted:
                raise ValueError(
                    f"answers: {name}: {found} hexadecimal digits; expected {wanted} for "
                    f"{self.images} pictures"
                )


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
    """What was asked of accuracy, by the names of ``resnet_edge.ondevice.parity.gates.Gates``."""
    elsewhere: tuple[ArtifactParity, ...] = ()
    """The same artifacts in further runtimes that are installed: a runtime is part of the answer,
    and each may be recommended only where its own answers hold. They decide nothing else."""
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Provider:
    """What computes inside a runtime: its delegate or execution provider."""

    requested: str
    used: str
    """What the runtime says that it took; empty where it does not tell."""


@dataclass(frozen=True)
class Latency:
    """Latency of one artifact in one runtime with one thread count, batch 1.

    It keeps its raw samples; every figure is a property.
    """

    runtime: str
    threads: int
    samples_s: tuple[float, ...]
    first_s: float
    """The first inference, before any warm-up."""
    load_s: float
    """From the file to a runtime that is ready, in a fresh process."""
    peak_memory_bytes: int
    """Peak resident memory of the measuring process."""
    warmup: int
    """Inferences between the first one and the samples."""
    settled: bool = True
    """Whether the warm-up had become stable when it ended."""
    provider: Provider | None = None
    """None in records of earlier versions."""
    conditions: Conditions | None = None
    """None where they were not read."""

    def __post_init__(self) -> None:
        if not self.samples_s:
            raise ValueError("latency without samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("latency with a sample that is not positive; expected seconds")

    def quantile_s(self, share: float) -> float:
        """The sample at ``share`` of the sorted samples, by the nearest-rank method."""
        ordered = sorted(self.samples_s)
        return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]

    @property
    def p50_s(self) -> float:
        """Median."""
        return statistics.median(self.samples_s)

    @property
    def p90_s(self) -> float:
        """90th percentile."""
        return self.quantile_s(0.90)

    @property
    def p90_bound_s(self) -> float | None:
        """What the 90th percentile is at most, by MLPerf's early stopping, with 99 % confidence.

        None where there are too few samples.
        """
        return upper_bound(self.samples_s, 0.90)

    @property
    def p97_s(self) -> float:
        """97th percentile."""
        return self.quantile_s(0.97)

    @property
    def p99_s(self) -> float:
        """99th percentile."""
        return self.quantile_s(0.99)

    @property
    def mean_s(self) -> float:
        """Mean."""
        return statistics.fmean(self.samples_s)

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        return (self.quantile_s(0.75) - self.quantile_s(0.25)) / self.p50_s

    @property
    def noisy(self) -> bool:
        """Whether the spread is over 10 %: the host did something else as well."""
        return self.spread > 0.10

    @property
    def drift(self) -> float:
        """Relative change of the median from the first half of the samples to the second."""
        return change_of_median(self.samples_s)

    @property
    def drifting(self) -> bool:
        """Whether that change is large, and no chance."""
        return drifts(self.samples_s)

    @property
    def in_groups(self) -> bool:
        """Whether slow queries came in groups: the bound of p90 then promises less than 99 %."""
        return in_groups(self.samples_s, self.p90_s)


@dataclass(frozen=True)
class Throughput:
    """How fast whole batches are answered, one batch after another."""

    batch: int
    """Pictures in a batch."""
    samples_s: tuple[float, ...]
    """Time of each batch, from pixels in the host's memory to answers in it."""

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.samples_s:
            raise ValueError("throughput without pictures or samples: expected at least one")
        if not all(0 < sample < math.inf for sample in self.samples_s):
            raise ValueError("throughput with a sample that is not positive; expected seconds")

    @property
    def batch_s(self) -> float:
        """Median time of a batch."""
        return statistics.median(self.samples_s)

    @property
    def pictures_per_s(self) -> float:
        """Pictures a second, by that median."""
        return self.batch / self.batch_s


@dataclass(frozen=True)
class ArtifactBench:
    """One artifact's latencies on this machine."""

    name: str
    sha256: str
    bytes: int
    latencies: tuple[Latency, ...]
    """Runtime by runtime, the preferred one first."""
    gate: GateResult

    @property
    def preferred(self) -> tuple[Latency, ...]:
        """Those in the preferred runtime, in which the answers are judged too."""
        return self.in_runtime(self.latencies[0].runtime) if self.latencies else ()

    def in_runtime(self, name: str) -> tuple[Latency, ...]:
        """Those in one runtime."""
        return tuple(latency for latency in self.latencies if latency.runtime == name)


@dataclass(frozen=True)
class Machine:
    """Where a measurement was made."""

    host: str
    system: str
    processor: str
    cpu_features: tuple[str, ...]
    cores: int
    python: str
    runtimes: dict[str, str]
    """Name and version of every runtime that was used."""


@dataclass(frozen=True)
class BenchResult:
    """``results/bench-HOST.json``."""

    machine: Machine
    artifacts: tuple[ArtifactBench, ...]
    reference_p50_s: float | None
    """Median latency of the reference, where it was measured."""
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True)
class OperatorTime:
    """One operator of the graph as the runtime executes it."""

    layer: str
    """The Keras layer that it computes; empty where converter or runtime added it."""
    operator: str
    """Its kind, for instance ``Conv``."""
    node: str
    """Its name in the runtime."""
    median_s: float
    """Of one inference; runtimes count whole microseconds."""
    share: float
    """Of the sum over all operators."""


@dataclass(frozen=True)
class OperatorProfile:
    """Times of all operators of one artifact with one thread count."""

    runtime: str
    threads: int
    queries: int
    """Inferences that the medians are of."""
    operators: tuple[OperatorTime, ...]
    """In the order of execution."""

    @property
    def total_s(self) -> float:
        """Sum over all operators."""
        return math.fsum(operator.median_s for operator in self.operators)


@dataclass(frozen=True)
class ArtifactProfile:
    """Where one artifact's time goes, or why that cannot be told."""

    name: str
    sha256: str
    profiles: tuple[OperatorProfile, ...]
    """One per thread count; empty where the runtime does not tell."""
    unavailable: str | None = None
    """Why there are none."""


@dataclass(frozen=True)
class ProfileResult:
    """``results/profile-HOST.json``."""

    machine: Machine
    artifacts: tuple[ArtifactProfile, ...]
    schema: int = SCHEMA_VERSION
