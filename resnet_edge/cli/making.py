"""The commands that make things: run, finetune, export.

Each turns its options into records, calls one step and prints the result.
"""

from __future__ import annotations

from pathlib import Path

from resnet_edge import units
from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import Terminal, print_json, print_rows, print_summary
from resnet_edge.cli.proving import exit_with
from resnet_edge.cli.settings import (
    quantization_options,
    training_settings,
)
from resnet_edge.data.split import parse_shares
from resnet_edge.ondevice.formats.kinds import DEFAULT_NAMES
from resnet_edge.ondevice.latency.measure import LatencySpec
from resnet_edge.ondevice.latency.threads import parse_threads
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.pictures import Fit
from resnet_edge.options import (
    CALIBRATION_COUNT,
    EMBEDDED_DATA,
    BenchOptions,
    CalibrationOptions,
    DataOptions,
    ModelOptions,
    Options,
    QuantizationOptions,
    parse_formats,
)
from resnet_edge.training.settings import TrainingSettings

_TRAINING, _GATES, _LATENCY = TrainingSettings(), Gates(), LatencySpec()
_QUANTIZATION = QuantizationOptions()
ALL = ",".join(DEFAULT_NAMES)
BUILD = Path("build")
SPLIT = "0.6,0.1,0.3"


def run(
    out: p.Out = BUILD,
    formats: p.Formats = ALL,
    rewrites: p.Rewrites = True,
    data: p.Data = None,
    test: p.Test = None,
    split: p.Split = SPLIT,
    image_size: p.ImageSize = None,
    fit: p.FitOption = Fit.CROP,
    skip_unreadable: p.SkipUnreadable = False,
    weights: p.Weights = "none",
    preprocessing: p.PreprocessingOption = None,
    epochs: p.Epochs = None,
    batch_size: p.BatchSize = _TRAINING.batch_size,
    learning_rate: p.LearningRate = _TRAINING.learning_rate,
    weight_decay: p.WeightDecay = _TRAINING.weight_decay,
    label_smoothing: p.LabelSmoothing = _TRAINING.label_smoothing,
    dropout: p.Dropout = _TRAINING.dropout,
    patience: p.Patience = _TRAINING.patience,
    views: p.Views = _TRAINING.views,
    augment: p.Augment = True,
    unfreeze: p.Unfreeze = 0,
    mixed_precision: p.MixedPrecision = False,
    class_weights: p.ClassWeights = False,
    seed: p.Seed = 0,
    calibration: p.Calibration = None,
    calibration_count: p.CalibrationCount = CALIBRATION_COUNT,
    quantization: p.QuantizationLevel = _QUANTIZATION.level,
    range_method: p.RangeMethodOption = _QUANTIZATION.range_method,
    keep_float: p.KeepFloat = "",
    quantization_budget: p.QuantizationBudget = _QUANTIZATION.budget_minutes,
    onnx_int8: p.OnnxInt8 = _QUANTIZATION.onnx_target,
    few_pictures: p.FewPictures = False,
    fp32_agreement: p.Fp32Agreement = _GATES.fp32_agreement,
    fp32_max_logit: p.Fp32MaxLogit = _GATES.fp32_max_logit,
    fp16_agreement: p.Fp16Agreement = _GATES.fp16_agreement,
    int8_accuracy: p.Int8Accuracy = _GATES.int8_accuracy,
    confidence: p.Confidence = _GATES.confidence,
    max_p90_ms: p.MaxP90Ms = None,
    max_latency_ratio: p.MaxLatencyRatio = None,
    allow_inconclusive: p.AllowInconclusive = False,
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    threads: p.Threads = None,
    as_json: p.Json = False,
) -> None:
    """Photos to proven files: finetune, export, reference, parity, bench, report and bundle.

    Steps whose inputs have not changed are not run again; an interrupted run continues.
    """
    from resnet_edge.reporting.report_json import report_json
    from resnet_edge.steps.run import run as run_steps

    options = Options(
        out=out,
        data=DataOptions(
            data or EMBEDDED_DATA, test, parse_shares(split), image_size, fit, skip_unreadable
        ),
        model=ModelOptions(weights, preprocessing),
        training=training_settings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            dropout=dropout,
            patience=patience,
            views=views,
            augment=augment,
            unfreeze=unfreeze,
            seed=seed,
            mixed_precision=mixed_precision,
            class_weights=class_weights,
        ),
        calibration=CalibrationOptions(calibration, calibration_count, seed),
        quantization=quantization_options(
            level=quantization,
            range_method=range_method,
            keep_float=keep_float,
            budget_minutes=quantization_budget,
            onnx_target=onnx_int8,
            few_pictures=few_pictures,
        ),
        formats=parse_formats(formats),
        rewrites=rewrites,
        gates=Gates(
            fp32_agreement,
            fp32_max_logit,
            fp16_agreement,
            int8_accuracy,
            confidence,
            max_p90_ms,
            max_latency_ratio,
        ),
        bench=BenchOptions(LatencySpec(min_seconds, min_queries), parse_threads(threads)),
    )
    content = run_steps(options, Terminal(quiet=as_json)).report.content
    if as_json:
        print_json(report_json(content))
    else:
        print_summary(content)
        print(f"report: {options.out / 'report.html'}")
    exit_with(content.verdict, allow_inconclusive)


def finetune(
    out: p.Out = BUILD,
    data: p.Data = None,
    test: p.Test = None,
    split: p.Split = SPLIT,
    image_size: p.ImageSize = None,
    fit: p.FitOption = Fit.CROP,
    skip_unreadable: p.SkipUnreadable = False,
    weights: p.Weights = "none",
    preprocessing: p.PreprocessingOption = None,
    epochs: p.Epochs = None,
    batch_size: p.BatchSize = _TRAINING.batch_size,
    learning_rate: p.LearningRate = _TRAINING.learning_rate,
    weight_decay: p.WeightDecay = _TRAINING.weight_decay,
    label_smoothing: p.LabelSmoothing = _TRAINING.label_smoothing,
    dropout: p.Dropout = _TRAINING.dropout,
    patience: p.Patience = _TRAINING.patience,
    views: p.Views = _TRAINING.views,
    augment: p.Augment = True,
    unfreeze: p.Unfreeze = 0,
    mixed_precision: p.MixedPrecision = False,
    class_weights: p.ClassWeights = False,
    seed: p.Seed = 0,
    calibration: p.Calibration = None,
    calibration_count: p.CalibrationCount = CALIBRATION_COUNT,
    as_json: p.Json = False,
) -> None:
    """Train a new head (or, without weights, the whole network) on photos: OUT/model.keras."""
    from resnet_edge.steps.finetune import finetune as train

    options = Options(
        out=out,
        data=DataOptions(
            data or EMBEDDED_DATA, test, parse_shares(split), image_size, fit, skip_unreadable
        ),
        model=ModelOptions(weights, preprocessing),
        training=training_settings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            dropout=dropout,
            patience=patience,
            views=views,
            augment=augment,
            unfreeze=unfreeze,
            seed=seed,
            mixed_precision=mixed_precision,
            class_weights=class_weights,
        ),
        calibration=CalibrationOptions(calibration, calibration_count, seed),
        formats=(),
    )
    result = train(options, Terminal(quiet=as_json))
    if as_json:
        print_json(result.record)
    else:
        print(f"{result.model}: {result.record.validation_accuracy:.1%} of the validation pictures")


def export(
    model: p.ModelArgument = None,
    out: p.Out = BUILD,
    formats: p.Formats = ALL,
    rewrites: p.Rewrites = True,
    labels: p.Labels = None,
    preprocessing: p.PreprocessingOption = None,
    fit: p.FitOption = Fit.CROP,
    calibration: p.Calibration = None,
    calibration_count: p.ExportCalibrationCount = None,
    seed: p.ExportSeed = None,
    quantization: p.QuantizationLevel = _QUANTIZATION.level,
    range_method: p.RangeMethodOption = _QUANTIZATION.range_method,
    keep_float: p.KeepFloat = "",
    quantization_budget: p.QuantizationBudget = _QUANTIZATION.budget_minutes,
    onnx_int8: p.OnnxInt8 = _QUANTIZATION.onnx_target,
    few_pictures: p.FewPictures = False,
    as_json: p.Json = False,
) -> None:
    """Convert a .keras classifier into every format: OUT/artifacts, each file with its sidecar."""
    from resnet_edge.steps.export import export as convert

    options = Options(
        out=out,
        data=DataOptions(fit=fit),
        model=ModelOptions(preprocessing=preprocessing, labels=labels),
        calibration=CalibrationOptions(calibration, calibration_count, seed),
        quantization=quantization_options(
            level=quantization,
            range_method=range_method,
            keep_float=keep_float,
            budget_minutes=quantization_budget,
            onnx_target=onnx_int8,
            few_pictures=few_pictures,
        ),
        formats=parse_formats(formats),
        rewrites=rewrites,
    )
    artifacts = convert(options, model, Terminal(quiet=as_json)).artifacts
    if as_json:
        print_json(tuple(artifact.sidecar for artifact in artifacts))
    else:
        print_rows([(a.name, f"{units.size(a.sidecar.bytes)}  {a.path}") for a in artifacts])
