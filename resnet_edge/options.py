"""Everything that a run can be told, in frozen records.

Each field made by ``option`` is declared here and nowhere else: command line, ``resnet-edge.toml``
and Python API follow from it. What devices are told as well is declared in ``ondevice``
(``LatencySpec``, ``Gates``), the settings of the training in ``training.training_settings``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from converters.preprocessing import PREPROCESSINGS
from converters.quantization.settings import FEWEST_PICTURES, Level, Target
from resnet_edge import units
from resnet_edge.compression.limits import CompressionOptions
from resnet_edge.data.address import Source, is_pattern, parse_source
from resnet_edge.data.shares import SplitShares, parse_shares
from resnet_edge.errors import UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.files import StrPath as StrPath
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, DEFAULT_NAMES
from resnet_edge.ondevice.formats.names import (
    FORMAT_WORDS,
    check_formats,
    parse_formats,
    parse_names,
)
from resnet_edge.ondevice.latency.counts import LARGEST_BATCH, parse_batches, parse_threads
from resnet_edge.ondevice.latency.spec import PANEL as _LATENCY
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.option import (
    AT_LEAST_1,
    NOT_NEGATIVE,
    Names,
    Range,
    check_options,
    option,
    parse_size,
)
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.runtimes.kinds import REQUESTABLE
from resnet_edge.robustness.corruptions import RobustnessOptions
from resnet_edge.scale.engine import ScaleOptions
from resnet_edge.training.training_settings import SEEDS, TrainingSettings

EMBEDDED_DATA: Source = Path(__file__).resolve().parent.parent / "calibration_data" / "digits.zip"
"""The embedded default: handwritten digits (see ``calibration_data/README.md``)."""

SMALL_IMAGE_SIZE = 64
"""Default side without pretrained weights: a whole network trains on a laptop in minutes."""

TINY_IMAGE_SIZE = 32
"""Default side without pretrained weights where no picture is larger; ResNet50's smallest."""

CALIBRATION_COUNT = 200
"""Default number of calibration pictures (see ``resnet_edge.data.calibration``)."""

PRETRAINED_IMAGE_SIZE = 224
"""Default side with ImageNet weights: the one that they were trained at."""

_BUILD, _PICTURES, _MODEL = "Build", "Pictures", "Model"
_CALIBRATION, _QUANTIZATION, _DEVICE = "Calibration", "Quantization", "Device"


def _as_source(given: Source | str | None) -> Source | None:
    """Read what a Python caller may write as text."""
    return parse_source(given) if isinstance(given, str) else given


def _is_missing(source: Source | None) -> bool:
    """Return True for a path of this machine where there is nothing; a store is asked later."""
    return isinstance(source, Path) and not source.exists() and not is_pattern(source)


@dataclass(frozen=True)
class DataOptions:
    """The pictures, and the way they are split and brought to size.

    Raises:
        UsageError: A folder does not exist, or a value is out of its range.
    """

    data: Source = option(
        EMBEDDED_DATA,
        "A folder per class, a zip of that, a CSV of path,label, or tar, Parquet or TFRecord "
        "files; here, or s3://, gs:// or https://. Default: the embedded digits.",
        _PICTURES,
        metavar="PATH",
        parse=parse_source,
        show_default=False,
    )
    test: Source | None = option(
        None,
        "Separate test pictures, in any form of --data. Default: a share of --data.",
        _PICTURES,
        metavar="PATH",
        parse=parse_source,
    )
    split: SplitShares = option(
        SplitShares(), "Shares of training, validation and test.", _PICTURES, parse=parse_shares
    )
    image_size: int | None = option(
        None,
        f"Side of the input in pixels. Default: {SMALL_IMAGE_SIZE} without weights, or "
        f"{TINY_IMAGE_SIZE} where no picture is larger; {PRETRAINED_IMAGE_SIZE} with ImageNet's, "
        "a .keras file's own.",
        _PICTURES,
        within=Range("32 to 4096 pixels a side", 32, 4096),
    )
    fit: Fit | None = option(
        None,
        "Way to bring a picture to the input size: crop (short side, then centre), stretch, pad. "
        "Default: the model's own, or crop.",
        _PICTURES,
    )
    skip_unreadable: bool = option(
        False, "Leave out pictures that cannot be decoded, and list them.", _PICTURES
    )

    def __post_init__(self) -> None:
        for name in ("data", "test"):
            source = _as_source(getattr(self, name))
            object.__setattr__(self, name, source)
            if _is_missing(source):
                raise UsageError(
                    f"--{name}: no such folder or zip: {source}; "
                    "expected one folder per class, each with pictures"
                )
        check_options(self)


@dataclass(frozen=True)
class CalibrationOptions:
    """The pictures that the ranges of quantized artifacts come from.

    Raises:
        UsageError: The folder does not exist, or a value is out of its range.
    """

    calibration: Source | None = option(
        None,
        "Calibration pictures in any form of --data, also without labels. Default: the training "
        "split.",
        _CALIBRATION,
        metavar="PATH",
        parse=parse_source,
    )
    calibration_count: int | None = option(
        None,
        f"Number of calibration pictures. Default: {CALIBRATION_COUNT}; in export as many as "
        "finetune chose.",
        _CALIBRATION,
        within=AT_LEAST_1,
    )
    seed: int | None = option(
        None,
        "Seed of the calibration pictures. Default: finetune's, or 0.",
        _CALIBRATION,
        within=SEEDS,
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "calibration", _as_source(self.calibration))
        check_options(self)
        if _is_missing(self.calibration):
            raise UsageError(
                f"--calibration: no such folder: {self.calibration}; expected a folder of pictures"
            )


@dataclass(frozen=True)
class QuantizationOptions:
    """The way from the float model and the calibration pictures to integer artifacts.

    Raises:
        UsageError: A value is out of its range.
    """

    level: Level = option(
        Level.EQUALIZED,
        "Effort for answers of integer artifacts close to the model's: fast chooses ranges alone, "
        "equalized takes seconds more, distilled minutes, trained up to an hour and labels.",
        _QUANTIZATION,
        flag="--quantization",
    )
    keep_float: tuple[str, ...] = option(
        (),
        "Layers that compute in float: globs of Keras names, separated by commas.",
        _QUANTIZATION,
        metavar="NAMES",
        parse=parse_names,
        show_default=False,
    )
    budget_minutes: float = option(
        0.0,
        "Minutes of a search for layers that have to stay in float; 0 searches for none.",
        _QUANTIZATION,
        flag="--quantization-budget",
        metavar="MINUTES",
        within=NOT_NEGATIVE,
    )
    onnx_target: Target = option(
        Target.AUTO,
        "Processor that int8.onnx and the weights it shares with .tflite files are made for; auto "
        "is right on every one.",
        _QUANTIZATION,
        flag="--onnx-int8",
    )
    few_pictures: bool = option(
        False, f"Accept fewer than {FEWEST_PICTURES} calibration pictures.", _CALIBRATION
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def method(self) -> str:
        """The options in words, for sidecars."""
        words = [str(self.level)]
        if self.keep_float:
            words.append(f"in float: {', '.join(self.keep_float)}")
        if self.budget_minutes:
            words.append(f"search of {self.budget_minutes:g} minutes")
        return "; ".join(words)


@dataclass(frozen=True)
class ModelOptions:
    """The network to start from, its preprocessing and its labels.

    Raises:
        UsageError: There is no preprocessing of that name.
    """

    weights: str = option("none", "none, imagenet, or a file: .keras, .weights.h5, .h5.", _MODEL)
    preprocessing: str | None = option(
        None,
        "Normalization that the network expects and does not do itself: "
        f"{', '.join(PREPROCESSINGS)}. It goes into the graph.",
        _MODEL,
        within=Names(tuple(PREPROCESSINGS)),
    )
    labels: Path | None = option(
        None, "Class names of a model that does not carry them, one a line.", _MODEL
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class BenchOptions:
    """The way latency is measured.

    Raises:
        UsageError: A value is out of its range.
    """

    spec: LatencySpec = field(default_factory=LatencySpec)
    threads: tuple[int, ...] | None = option(
        None,
        "Thread counts, separated by commas. Default: 1 and all cores; in recommend those that "
        "bench measured.",
        _LATENCY,
        parse=parse_threads,
        within=AT_LEAST_1,
    )
    batches: tuple[int, ...] | None = option(
        None,
        "Batch sizes of the reference's throughput, separated by commas. Default: 1,8,32, and 128 "
        "on a GPU.",
        _LATENCY,
        parse=parse_batches,
        within=Range(f"batch sizes from 1 to {LARGEST_BATCH}", 1, LARGEST_BATCH),
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class BundleOptions:
    """The part of the test split that goes to a device.

    Raises:
        UsageError: A value is out of its range.
    """

    images: int = option(
        300,
        "Number of test pictures for the device, from the classes in turn.",
        _DEVICE,
        within=AT_LEAST_1,
    )
    """With fewer than 268 MLPerf's rule for int8 cannot be decided even where no answer changes
    (``resnet_edge.ondevice.parity.interval``)."""
    max_bytes: int = option(
        100_000_000,
        "Largest size of all these pictures, decoded, for instance 64MB.",
        _DEVICE,
        metavar="SIZE",
        parse=parse_size,
        show=lambda size: units.size(size).replace(" ", ""),
        within=AT_LEAST_1,
    )
    """300 pictures of 224 x 224 are 45 MB."""

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Options:
    """Everything that ``resnet-edge run`` can be told.

    Raises:
        UsageError: There is no artifact of a name in ``formats``.
    """

    out: Path = option(Path("build"), "Folder for everything that is made.", _BUILD)
    formats: tuple[str, ...] | None = option(
        None,
        f"Artifacts, separated by commas: {', '.join(ARTIFACT_NAMES)}; or all, or "
        f"{' or '.join(FORMAT_WORDS)} for the default ones of a format. Default: run and "
        f"export make all but {', '.join(n for n in ARTIFACT_NAMES if n not in DEFAULT_NAMES)}, "
        "the other commands take those that are there.",
        _BUILD,
        parse=parse_formats,
    )
    rewrites: bool = option(
        True,
        "Rewrite the graph before it is converted: the same answers, fewer operations.",
        _BUILD,
    )
    also_in: tuple[str, ...] = option(
        (),
        "Further runtimes to ask and to measure, which repeat another one and so are left out: "
        f"{', '.join(REQUESTABLE)}.",
        _BUILD,
        parse=parse_names,
        within=Names(REQUESTABLE),
        show_default=False,
    )
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    quantization: QuantizationOptions = field(default_factory=QuantizationOptions)
    gates: Gates = field(default_factory=Gates)
    robustness: RobustnessOptions = field(default_factory=RobustnessOptions)
    bench: BenchOptions = field(default_factory=BenchOptions)
    bundle: BundleOptions = field(default_factory=BundleOptions)
    compression: CompressionOptions = field(default_factory=CompressionOptions)
    scale: ScaleOptions = field(default_factory=ScaleOptions)

    def __post_init__(self) -> None:
        check_options(self)
        check_formats(self.formats or ())

    @property
    def formats_to_make(self) -> tuple[str, ...]:
        """The artifacts that ``export`` makes."""
        return DEFAULT_NAMES if self.formats is None else self.formats

    @property
    def layout(self) -> Layout:
        """The files under ``out``."""
        return Layout(self.out)
