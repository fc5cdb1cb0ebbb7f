"""What a run can be told: one frozen record behind the command line, the configuration file and the
API.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from converters.preprocessing import PREPROCESSINGS
from converters.quantization.settings import Level, RangeMethod, Target
from resnet_edge.data.split import SplitShares
from resnet_edge.errors import UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.latency.measure import LatencySpec
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.pictures import Fit
from resnet_edge.training.settings import TrainingSettings

EMBEDDED_DATA = Path(__file__).resolve().parent.parent / "calibration_data" / "digits.zip"
"""The embedded default: handwritten digits (see ``calibration_data/README.md``)."""

SMALL_IMAGE_SIZE = 64
"""Default side without pretrained weights: a whole network trains on a laptop in minutes."""

CALIBRATION_COUNT = 200
"""Default number of calibration pictures (see ``resnet_edge.data.calibration``)."""

PRETRAINED_IMAGE_SIZE = 224
"""Default side with ImageNet weights: what they were trained at."""


@dataclass(frozen=True)
class DataOptions:
    """Which pictures, and how they are split and brought to size."""

    data: Path = EMBEDDED_DATA
    test: Path | None = None
    split: SplitShares = field(default_factory=SplitShares)
    image_size: int | None = None
    fit: Fit = Fit.CROP
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None and not 32 <= self.image_size <= 4096:
            raise UsageError(
                f"--image-size: got {self.image_size}; expected 32 to 4096 pixels a side"
            )
        for option, path in (("--data", self.data), ("--test", self.test)):
            if path is not None and not path.exists():
                raise UsageError(
                    f"{option}: no such folder or zip: {path}; "
                    "expected one folder per class, each with pictures"
                )


@dataclass(frozen=True)
class CalibrationOptions:
    """Which pictures the ranges of quantized artifacts come from."""

    calibration: Path | None = None
    """A folder of pictures; None takes them from the training split."""
    calibration_count: int | None = None
    """None takes ``CALIBRATION_COUNT``, and in ``export`` as many as ``finetune`` did."""
    seed: int | None = None
    """None takes 0, and in ``export`` what ``finetune`` took."""

    def __post_init__(self) -> None:
        if self.calibration_count is not None and self.calibration_count < 1:
            raise UsageError(
                f"--calibration-count: got {self.calibration_count}; expected at least 1"
            )
        if self.calibration is not None and not self.calibration.is_dir():
            raise UsageError(
                f"--calibration: no such folder: {self.calibration}; expected a folder of pictures"
            )


@dataclass(frozen=True)
class QuantizationOptions:
    """How integer artifacts follow from the float model and the calibration pictures."""

    level: Level = Level.EQUALIZED
    range_method: RangeMethod = RangeMethod.MIN_MAX
    """Of level ``fast``; the others have ranges of their own."""
    keep_float: tuple[str, ...] = ()
    """Keras layers that compute in float, as globs."""
    budget_minutes: float = 0.0
    """For finding layers to keep in float where too many answers change; 0 looks for none."""
    onnx_target: Target = Target.AUTO
    """The processor that ``int8.onnx`` is for."""
    few_pictures: bool = False
    """Whether fewer than 32 calibration pictures will do."""

    def __post_init__(self) -> None:
        if not 0 <= self.budget_minutes < float("inf"):
            raise UsageError(
                f"--quantization-budget: got {self.budget_minutes}; expected minutes, 0 or more"
            )
        if self.level is not Level.FAST and self.range_method is not RangeMethod.MIN_MAX:
            raise UsageError(
                f"--range-method {self.range_method}: --quantization {self.level} chooses ranges "
                "by the answers; pass --quantization fast with it"
            )

    @property
    def method(self) -> str:
        """In words, for sidecars."""
        words = [str(self.level)]
        if self.level is Level.FAST:
            words.append(f"{self.range_method} ranges")
        if self.keep_float:
            words.append(f"in float: {', '.join(self.keep_float)}")
        if self.budget_minutes:
            words.append(f"search of {self.budget_minutes:g} minutes")
        return "; ".join(words)


@dataclass(frozen=True)
class ModelOptions:
    """Which network to start from, and what it expects."""

    weights: str = "none"
    preprocessing: str | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        if self.preprocessing is not None and self.preprocessing not in PREPROCESSINGS:
            raise UsageError(
                f"--preprocessing: got {self.preprocessing}; "
                f"expected one of {', '.join(PREPROCESSINGS)}"
            )


@dataclass(frozen=True)
class BenchOptions:
    """How latency is measured."""

    spec: LatencySpec = field(default_factory=LatencySpec)
    threads: tuple[int, ...] | None = None
    """None measures 1 thread and all cores."""
    batches: tuple[int, ...] | None = None
    """Batch sizes of the reference's throughput; None takes what fits its device."""


@dataclass(frozen=True)
class BundleOptions:
    """How much of the test split goes to a device."""

    images: int = 300
    """Pictures at most. With fewer than 268 MLPerf's rule for int8 cannot be decided even where no
    answer changes (``resnet_edge.ondevice.parity.interval``)."""
    max_bytes: int = 100_000_000
    """Their pixels together at most: 300 pictures of 224 x 224 are 45 MB."""

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UsageError(f"--images: got {self.images}; expected at least 1")
        if self.max_bytes < 1:
            raise UsageError(f"--max-bytes: got {self.max_bytes}; expected at least 1")


@dataclass(frozen=True)
class Options:
    """Everything that ``resnet-edge run`` can be told."""

    out: Path = Path("build")
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    quantization: QuantizationOptions = field(default_factory=QuantizationOptions)
    formats: tuple[str, ...] = ARTIFACT_NAMES
    rewrites: bool = True
    """Whether the graph is rewritten for speed, exactly, before it is converted."""
    gates: Gates = field(default_factory=Gates)
    bench: BenchOptions = field(default_factory=BenchOptions)
    bundle: BundleOptions = field(default_factory=BundleOptions)

    @property
    def layout(self) -> Layout:
        """Where everything lies under ``out``."""
        return Layout(self.out)


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse ``--formats a,b,…`` into artifact names, in the order of the tables.

    Raises:
        UsageError: A name is unknown, or none is given.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in ARTIFACT_NAMES:
            close = difflib.get_close_matches(name, ARTIFACT_NAMES, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UsageError(
                f"--formats: no such artifact: {name}; {hint}"
                f"expected some of {', '.join(ARTIFACT_NAMES)}"
            )
    if not names:
        raise UsageError(f"--formats: nothing given; expected some of {', '.join(ARTIFACT_NAMES)}")
    return tuple(name for name in ARTIFACT_NAMES if name in names)
