"""Every option of the command line, once: name, default and help. Commands pick from these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters.quantization.settings import Level, RangeMethod, Target
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.pictures import Fit

_BUILD, _DATA, _MODEL, _TRAIN, _CALIBRATION, _QUANTIZATION, _GATES, _LATENCY = (
    "Build",
    "Pictures",
    "Model",
    "Training",
    "Calibration",
    "Quantization",
    "Gates",
    "Latency",
)

Out = Annotated[
    Path, typer.Option(help="Folder for everything that is made.", rich_help_panel=_BUILD)
]
Formats = Annotated[
    str,
    typer.Option(
        help=f"Artifacts, separated by commas: {', '.join(ARTIFACT_NAMES)}.",
        rich_help_panel=_BUILD,
    ),
]
Rewrites = Annotated[
    bool,
    typer.Option(
        "--rewrites/--no-rewrites",
        help="Rewrite the graph before it is converted: the same answers, fewer operations.",
        rich_help_panel=_BUILD,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_BUILD)
]

Data = Annotated[
    Path | None,
    typer.Option(
        help="A folder per class, or a zip of that. Default: the embedded handwritten digits.",
        rich_help_panel=_DATA,
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        help="Test pictures of their own, a folder per class. Default: a share of --data.",
        rich_help_panel=_DATA,
    ),
]
Split = Annotated[
    str,
    typer.Option(help="Shares of training, validation and test.", rich_help_panel=_DATA),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Side of the input in pixels. Default: 64 without weights, 224 with ImageNet's, a "
        ".keras file's own.",
        rich_help_panel=_DATA,
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option(
        "--fit",
        help="How a picture gets to the input size: crop (short side, then centre), stretch, pad.",
        rich_help_panel=_DATA,
    ),
]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Leave out pictures that cannot be decoded, and list them.",
        rich_help_panel=_DATA,
    ),
]

Weights = Annotated[
    str,
    typer.Option(
        help="none, imagenet, or a file: .keras, .weights.h5, .h5.", rich_help_panel=_MODEL
    ),
]
PreprocessingOption = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        help="What the network expects of its input and does not do itself: caffe, torch, tf, "
        "unit, none. It goes into the graph.",
        rich_help_panel=_MODEL,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Class names of a model that does not carry them, one a line.", rich_help_panel=_MODEL
    ),
]

Epochs = Annotated[
    int | None,
    typer.Option(
        help="Epochs of each phase. Default: what fits the kind of training.",
        rich_help_panel=_TRAIN,
    ),
]
BatchSize = Annotated[int, typer.Option(help="Pictures a step.", rich_help_panel=_TRAIN)]
LearningRate = Annotated[float, typer.Option(help="AdamW's peak rate.", rich_help_panel=_TRAIN)]
WeightDecay = Annotated[
    float, typer.Option(help="AdamW's decoupled weight decay.", rich_help_panel=_TRAIN)
]
LabelSmoothing = Annotated[
    float, typer.Option(help="Share of the target spread over all classes.", rich_help_panel=_TRAIN)
]
Dropout = Annotated[
    float, typer.Option(help="Share of the features dropped.", rich_help_panel=_TRAIN)
]
Patience = Annotated[
    int,
    typer.Option(
        help="Epochs without a better validation loss before a phase stops.", rich_help_panel=_TRAIN
    ),
]
Views = Annotated[
    int,
    typer.Option(
        help="Variants of each picture whose features are cached: 1 is the picture itself.",
        rich_help_panel=_TRAIN,
    ),
]
Augment = Annotated[
    bool,
    typer.Option("--augment/--no-augment", help="Vary pictures at random.", rich_help_panel=_TRAIN),
]
Unfreeze = Annotated[
    int,
    typer.Option(
        help="Last stages (0 to 4) to train as well, at a lower rate.", rich_help_panel=_TRAIN
    ),
]
MixedPrecision = Annotated[
    bool,
    typer.Option("--mixed-precision", help="Compute in float16 on a GPU.", rich_help_panel=_TRAIN),
]
ClassWeights = Annotated[
    bool,
    typer.Option(
        "--class-weights",
        help="Let every class count alike, however many pictures it has.",
        rich_help_panel=_TRAIN,
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of training and calibration.", rich_help_panel=_TRAIN)
]

QuantizationLevel = Annotated[
    Level,
    typer.Option(
        help="How much is done for the answers of integer artifacts: ranges alone, seconds more, "
        "or minutes more.",
        rich_help_panel=_QUANTIZATION,
    ),
]
RangeMethodOption = Annotated[
    RangeMethod,
    typer.Option(
        help="How ranges follow from the values, for --quantization fast.",
        rich_help_panel=_QUANTIZATION,
    ),
]
KeepFloat = Annotated[
    str,
    typer.Option(
        help="Layers that compute in float: globs of Keras names, separated by commas.",
        metavar="NAMES",
        rich_help_panel=_QUANTIZATION,
    ),
]
QuantizationBudget = Annotated[
    float,
    typer.Option(
        help="Minutes to look for layers that have to stay in float; 0 looks for none.",
        metavar="MINUTES",
        rich_help_panel=_QUANTIZATION,
    ),
]
OnnxInt8 = Annotated[
    Target,
    typer.Option(
        help="Processor for int8.onnx and the weights int8 .tflite share; auto: right on all.",
        rich_help_panel=_QUANTIZATION,
    ),
]
FewPictures = Annotated[
    bool,
    typer.Option(
        "--few-pictures",
        help="Accept fewer than 32 calibration pictures.",
        rich_help_panel=_CALIBRATION,
    ),
]

Calibration = Annotated[
    Path | None,
    typer.Option(
        help="Folder of calibration pictures. Default: from the training split.",
        rich_help_panel=_CALIBRATION,
    ),
]
CalibrationCount = Annotated[
    int, typer.Option(help="How many calibration pictures.", rich_help_panel=_CALIBRATION)
]
ExportCalibrationCount = Annotated[
    int | None,
    typer.Option(
        help="How many calibration pictures. Default: as many as finetune chose, or 200.",
        rich_help_panel=_CALIBRATION,
    ),
]
ExportSeed = Annotated[
    int | None,
    typer.Option(
        help="Seed of the calibration pictures. Default: finetune's, or 0.",
        rich_help_panel=_CALIBRATION,
    ),
]

Fp32Agreement = Annotated[
    float,
    typer.Option(help="Least agreement of float32 artifacts.", rich_help_panel=_GATES),
]
Fp32MaxLogit = Annotated[
    float,
    typer.Option(
        help="Largest logit difference of float32 artifacts, as a share of the logits' range.",
        rich_help_panel=_GATES,
    ),
]
Fp16Agreement = Annotated[
    float,
    typer.Option(help="Least agreement of float16 artifacts.", rich_help_panel=_GATES),
]
Int8Accuracy = Annotated[
    float,
    typer.Option(
        help="Least top-1 of quantized artifacts, as a share of the reference's.",
        rich_help_panel=_GATES,
    ),
]
Confidence = Annotated[
    float,
    typer.Option(help="Two-sided confidence of the paired interval.", rich_help_panel=_GATES),
]
MaxP90Ms = Annotated[
    float | None,
    typer.Option(help="Largest 90th percentile of the latency, ms.", rich_help_panel=_GATES),
]
MaxLatencyRatio = Annotated[
    float | None,
    typer.Option(
        help="Largest median latency as a multiple of the reference's.", rich_help_panel=_GATES
    ),
]
AllowInconclusive = Annotated[
    bool,
    typer.Option(
        "--allow-inconclusive",
        help="Exit 0 also where a gate needs more pictures, or queries, to decide.",
        rich_help_panel=_GATES,
    ),
]

MinSeconds = Annotated[
    float, typer.Option(help="Shortest measurement, s.", rich_help_panel=_LATENCY)
]
MinQueries = Annotated[
    int, typer.Option(help="Fewest queries of a measurement.", rich_help_panel=_LATENCY)
]
Mlperf = Annotated[
    bool,
    typer.Option(
        "--mlperf",
        help="Measure as long as MLPerf's SingleStream: at least 600 s and 1024 queries of every "
        "artifact and thread count.",
        rich_help_panel=_LATENCY,
    ),
]
Batches = Annotated[
    str | None,
    typer.Option(
        help="Batch sizes of the reference's throughput, separated by commas. Default: 1,8,32, "
        "and 128 on a GPU.",
        rich_help_panel=_LATENCY,
    ),
]
Pack = Annotated[
    bool,
    typer.Option(
        "--pack",
        help="Write OUT/resnet-edge-reference.pyz, which answers on another machine, and stop.",
        rich_help_panel=_BUILD,
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Take the answers that such a file wrote on another machine, after checks.",
        metavar="FILE",
        rich_help_panel=_BUILD,
    ),
]
Threads = Annotated[
    str | None,
    typer.Option(
        help="Thread counts, separated by commas. Default: 1 and all cores.",
        rich_help_panel=_LATENCY,
    ),
]
RecommendedThreads = Annotated[
    str | None,
    typer.Option(
        "--threads",
        help="Thread counts to choose among, separated by commas. Default: those that bench "
        "measured, or 1 and all cores.",
        rich_help_panel=_LATENCY,
    ),
]
RecommendInconclusive = Annotated[
    bool,
    typer.Option(
        "--allow-inconclusive",
        help="Choose also among artifacts whose gate needs more pictures to decide.",
        rich_help_panel=_GATES,
    ),
]
Profile = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Time every operator as well, by its Keras layer, where the runtime tells; with 1 "
        "thread unless --threads says otherwise.",
        rich_help_panel=_LATENCY,
    ),
]

ModelArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A .keras classifier. Default: OUT/model.keras.", metavar="[MODEL]", show_default=False
    ),
]
FileArgument = Annotated[
    Path,
    typer.Argument(help="A .tflite, .onnx or .keras file, or a SavedModel folder.", metavar="FILE"),
]
