"""The commands. Each turns its options into records, calls one step and prints the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_edge.artifacts import ARTIFACT_NAMES
from resnet_edge.cli import parameters as p
from resnet_edge.cli.config import find_config, read_config
from resnet_edge.cli.console import Terminal, print_json, print_rows, print_summary
from resnet_edge.cli.settings import (
    option_types,
    parse_threads,
    present_formats,
    quantization_options,
    training_settings,
)
from resnet_edge.data.split import parse_shares
from resnet_edge.latency import LatencySpec
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
from resnet_edge.parity.gates import Gates
from resnet_edge.pictures import Fit
from resnet_edge.report import units
from resnet_edge.results import Verdict
from resnet_edge.training.settings import TrainingSettings

_TRAINING, _GATES, _LATENCY = TrainingSettings(), Gates(), LatencySpec()
_QUANTIZATION = QuantizationOptions()
ALL = ",".join(ARTIFACT_NAMES)
BUILD = Path("build")
SPLIT = "0.6,0.1,0.3"

app = typer.Typer(
    help="ResNet50 from photos to edge devices: fine-tune, export, and proof for every file.\n\n"
    "[bold]resnet-edge run --data PHOTOS[/] does it all; the other commands are its steps.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of options. Default: resnet-edge.toml where there is one."),
    ] = None,
    debug: Annotated[  # main() takes it out of the arguments; it is declared for --help
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Read the configuration file; its values become the commands' defaults."""
    if (path := find_config(config)) is None:
        return
    commands = [c.callback for c in app.registered_commands if c.callback is not None]
    known = {command.__name__: option_types(command) for command in commands}
    everything = {name: kind for kinds in known.values() for name, kind in kinds.items()}
    for word in ("file", "as_json"):  # of one call, not of a project
        del everything[word]
    values = read_config(path, everything)
    context.default_map = {
        command: {name: value for name, value in values.items() if name in kinds}
        for command, kinds in known.items()
    }


@app.command()
def run(
    out: p.Out = BUILD,
    formats: p.Formats = ALL,
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
    """Photos to proven files: finetune, export, reference, parity, bench and report, in this order.

    Steps whose inputs have not changed are not run again; an interrupted run continues.
    """
    from resnet_edge.report.contract import report_json
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
    _exit_with(content.verdict, allow_inconclusive)


@app.command()
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
    )
    result = train(options, Terminal(quiet=as_json))
    if as_json:
        print_json(result.record)
    else:
        print(f"{result.model}: {result.record.validation_accuracy:.1%} of the validation pictures")


@app.command()
def export(
    model: p.ModelArgument = None,
    out: p.Out = BUILD,
    formats: p.Formats = ALL,
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
    )
    artifacts = convert(options, model, Terminal(quiet=as_json)).artifacts
    if as_json:
        print_json(tuple(artifact.sidecar for artifact in artifacts))
    else:
        print_rows([(a.name, f"{units.size(a.sidecar.bytes)}  {a.path}") for a in artifacts])


@app.command()
def reference(
    model: p.ModelArgument = None,
    out: p.Out = BUILD,
    test: p.Test = None,
    skip_unreadable: p.SkipUnreadable = False,
    labels: p.Labels = None,
    preprocessing: p.PreprocessingOption = None,
    fit: p.FitOption = Fit.CROP,
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    as_json: p.Json = False,
) -> None:
    """The full-precision model's answers on this machine's best device: OUT/reference.npz."""
    from resnet_edge.steps.reference import make_reference

    options = Options(
        out=out,
        data=DataOptions(test=test, fit=fit, skip_unreadable=skip_unreadable),
        model=ModelOptions(preprocessing=preprocessing, labels=labels),
        bench=BenchOptions(LatencySpec(min_seconds, min_queries)),
    )
    info = make_reference(options, model, Terminal(quiet=as_json)).reference.info
    if as_json:
        print_json(info)
    else:
        print(
            f"{options.layout.reference}: {units.plural(len(info.hashes), 'picture')}, "
            f"{info.device}, {info.backend}, p50 {units.milliseconds(info.latency.p50_s)} ms"
        )


@app.command()
def parity(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    fp32_agreement: p.Fp32Agreement = _GATES.fp32_agreement,
    fp32_max_logit: p.Fp32MaxLogit = _GATES.fp32_max_logit,
    fp16_agreement: p.Fp16Agreement = _GATES.fp16_agreement,
    int8_accuracy: p.Int8Accuracy = _GATES.int8_accuracy,
    confidence: p.Confidence = _GATES.confidence,
    allow_inconclusive: p.AllowInconclusive = False,
    as_json: p.Json = False,
) -> None:
    """Hold every artifact against the reference, in its real runtime: OUT/results/parity.json."""
    from resnet_edge.report.content import worst_verdict
    from resnet_edge.steps.parity import check_parity

    gates = Gates(fp32_agreement, fp32_max_logit, fp16_agreement, int8_accuracy, confidence)
    options = Options(out=out, formats=present_formats(out, formats), gates=gates)
    result = check_parity(options, Terminal(quiet=as_json)).result
    if as_json:
        print_json(result)
    else:
        print_rows([(a.name, f"{a.gate.verdict.value}: {a.gate.reason}") for a in result.artifacts])
    _exit_with(worst_verdict(a.gate.verdict for a in result.artifacts), allow_inconclusive)


@app.command()
def bench(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    min_seconds: p.MinSeconds = _LATENCY.min_seconds,
    min_queries: p.MinQueries = _LATENCY.min_queries,
    threads: p.Threads = None,
    max_p90_ms: p.MaxP90Ms = None,
    max_latency_ratio: p.MaxLatencyRatio = None,
    as_json: p.Json = False,
) -> None:
    """Measure every artifact's latency on this machine: OUT/results/bench-HOST.json."""
    from resnet_edge.report.content import worst_verdict
    from resnet_edge.steps.bench import measure_latency

    options = Options(
        out=out,
        formats=present_formats(out, formats),
        gates=Gates(max_p90_ms=max_p90_ms, max_latency_ratio=max_latency_ratio),
        bench=BenchOptions(LatencySpec(min_seconds, min_queries), parse_threads(threads)),
    )
    benched = measure_latency(options, Terminal(quiet=as_json))
    if as_json:
        print_json(benched.result)
    else:
        print_rows(
            [
                (
                    a.name,
                    f"{units.plural(x.threads, 'thread')}: p50 {units.milliseconds(x.p50_s)} ms, "
                    f"p90 {units.milliseconds(x.p90_s)} ms",
                )
                for a in benched.result.artifacts
                for x in a.latencies
            ]
        )
    gates = [a.gate.verdict for a in benched.result.artifacts]
    _exit_with(worst_verdict(v for v in gates if v is not Verdict.NOT_CHECKED), allowed=False)


@app.command()
def report(
    out: p.Out = BUILD,
    formats: p.Formats = "",
    allow_inconclusive: p.AllowInconclusive = False,
    as_json: p.Json = False,
) -> None:
    """Merge all results: OUT/report.html, report.md, report.json."""
    from resnet_edge.report.contract import report_json
    from resnet_edge.steps.report import make_report

    options = Options(out=out, formats=present_formats(out, formats))
    written = make_report(options, Terminal(quiet=as_json))
    if as_json:
        print_json(report_json(written.content))
    else:
        print_summary(written.content)
        print(f"report: {written.html}")
    _exit_with(written.content.verdict, allow_inconclusive)


@app.command()
def inspect(file: p.FileArgument, as_json: p.Json = False) -> None:
    """Show what is in a file: input and output, operators, quantization, labels, hashes."""
    from resnet_edge.inspection import inspect_file, inspection_rows

    inspection = inspect_file(file)
    print_json(inspection) if as_json else print_rows(inspection_rows(inspection))


@app.command()
def doctor(as_json: p.Json = False) -> None:
    """Show what this machine has: processor, GPU, runtimes and versions, and what is missing."""
    from resnet_edge.doctor import diagnose, diagnosis_rows

    diagnosis = diagnose()
    print_json(diagnosis) if as_json else print_rows(diagnosis_rows(diagnosis))


def _exit_with(verdict: Verdict, allowed: bool) -> None:
    """Exit 1 where a gate fell, or could not be decided and that was not allowed."""
    if verdict is Verdict.FAIL:
        raise typer.Exit(1)
    if verdict is Verdict.INCONCLUSIVE and not allowed:
        Terminal(quiet=False).warn(
            "some gates are inconclusive: add test pictures, or pass --allow-inconclusive"
        )
        raise typer.Exit(1)
