"""The commands follow from the declared options: help, ranges, configuration, completion."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.cli.app import COMMANDS
from resnet_edge.cli.binding import Told
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.compression.limits import CompressionOptions
from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.option import Declared, Names, Range, declared_options
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import (
    BenchOptions,
    BundleOptions,
    CalibrationOptions,
    DataOptions,
    ModelOptions,
    Options,
    QuantizationOptions,
)
from resnet_edge.robustness.corruptions import RobustnessOptions
from resnet_edge.scale.engine import ScaleOptions
from resnet_edge.training.training_settings import TrainingSettings

STEPS = ("run", "finetune", "export", "reference", "parity", "bench", "report", "bundle")
GATES = (
    *("--fp32-agreement", "--fp32-max-logit", "--fp16-agreement", "--int8-accuracy"),
    *("--confidence", "--max-ece-increase", "--max-class-loss"),
)
LIMITS = ("--max-p90-ms", "--max-latency-ratio")
PLACEMENT = ("--require-delegate", "--delegate-except")
SCALE = ("--engine", "--workers", "--ray-address")
SPEC = ("--min-seconds", "--min-queries")
DATA = ("--data", "--test", "--split", "--image-size", "--fit", "--skip-unreadable")
CALIBRATION = ("--calibration", "--calibration-count", "--seed")
TRAINING = (
    *("--epochs", "--batch-size", "--learning-rate", "--weight-decay", "--label-smoothing"),
    *("--dropout", "--patience", "--views", "--augment", "--unfreeze", "--mixed-precision"),
    *("--class-weights", "--seed"),
)
QUANTIZATION = (
    *("--quantization", "--keep-float", "--quantization-budget", "--onnx-int8"),
    "--few-pictures",
)
MODEL = ("--weights", "--preprocessing")
FLAGS = {
    "run": {
        *("--out", "--formats", "--rewrites", *DATA, *MODEL, *TRAINING, *CALIBRATION),
        *(*QUANTIZATION, *GATES, *LIMITS, *SPEC, "--threads", "--allow-inconclusive"),
        *("--corruptions", "--junit", "--also-in", *PLACEMENT, *SCALE),
    },
    "finetune": {"--out", *DATA, *MODEL, *TRAINING, *CALIBRATION, *SCALE},
    "export": {
        *("--out", "--formats", "--rewrites", "--fit", "--image-size", "--preprocessing"),
        *("--labels", "--skip-unreadable", *CALIBRATION, *QUANTIZATION, *SCALE),
    },
    "reference": {
        *("--out", "--test", "--fit", "--image-size", "--skip-unreadable", "--preprocessing"),
        *("--labels", *SPEC, "--batches", "--corruptions", "--pack", "--from", *SCALE),
    },
    "parity": {
        *("--out", "--formats", "--also-in", "--corruptions", *GATES, "--allow-inconclusive"),
        *SCALE,
    },
    "bench": {
        *("--out", "--formats", *SPEC, "--threads", *LIMITS, "--profile", "--mlperf", "--host"),
        *("--python", "--install", "--allow-inconclusive", "--also-in", *PLACEMENT),
    },
    "report": {
        *("--out", "--formats", "--device", "--junit", *GATES, *LIMITS, *PLACEMENT),
        "--allow-inconclusive",
    },
    "bundle": {"--out", "--formats", "--images", "--max-bytes", *GATES, *LIMITS, *PLACEMENT},
    "browser": {
        *("--out", "--formats", "--images", "--max-bytes", *GATES, *LIMITS, *PLACEMENT, *SPEC),
        *("--threads", "--port", "--host", "--lan", "--open", "--name", "--saved"),
        "--allow-inconclusive",
    },
    "recommend": {
        *("--out", "--formats", "--threads", *LIMITS, "--allow-inconclusive", *SPEC),
        "--on-device",
    },
    "compress": {
        *("--out", "--formats", "--rewrites", "--max-p90-ms", "--max-bytes", "--max-loss"),
        *("--budget-minutes", "--input-sizes", "--on-device", "--distillation-steps"),
        *("--int8-accuracy", "--confidence", "--test", "--fit", "--image-size"),
        *("--skip-unreadable", "--preprocessing", "--labels", *CALIBRATION, *QUANTIZATION),
        *(*SPEC, "--threads", "--allow-inconclusive"),
    },
    "compare": {"--tolerance", "--accuracy-tolerance"},
    "inspect": set(),
    "doctor": set(),
}
"""The contract: scripts depend on these names. Every command has ``--json`` as well."""

RECORDS = (
    *(Options, DataOptions, ModelOptions, TrainingSettings, CalibrationOptions, Gates),
    *(QuantizationOptions, BenchOptions, LatencySpec, BundleOptions, Tolerance),
    *(RobustnessOptions, CompressionOptions, ScaleOptions),
)
DECLARED = [each for record in RECORDS for each in declared_options(record)]
RANGED = [
    pytest.param(record, each, id=f"{record.__name__}.{each.name}")
    for record in RECORDS
    for each in declared_options(record)
    if isinstance(each.option.within, Range)
]


def flag_of(told: Told) -> str:
    return "--" + told.name.rstrip("_").replace("_", "-")


def panels(text: str) -> dict[str, dict[str, str]]:
    """Help texts by panel and flag."""
    found: dict[str, dict[str, str]] = {}
    panel, flag = "", ""
    for line in text.splitlines():
        if title := re.match(r"╭─ (.*?) ─+╮", line):
            panel, flag = title[1], ""
            found[panel] = {}
        elif line.startswith("│"):
            words = line.strip("│").strip()
            if words.startswith("--"):
                flag = words.split()[0]
                found[panel][flag] = ""
            if flag:
                found[panel][flag] += f" {words}"
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_takes_its_options_and_no_others(cli, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    ran = cli(command.name, "--help")
    assert ran.code == 0
    shown = {flag: text for panel in panels(ran.out).values() for flag, text in panel.items()}
    assert set(shown) == FLAGS[command.name] | {"--json", "--help"}


def test_every_declared_option_is_in_the_help_with_its_panel_and_default(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    helps = {command.name: panels(cli(command.name, "--help").out) for command in COMMANDS}
    for each in DECLARED:
        if not each.option.panel:
            continue
        texts = [
            shown[each.option.panel][each.flag]
            for shown in helps.values()
            if each.flag in shown.get(each.option.panel, {})
        ]
        assert any(each.option.help in text for text in texts), each.flag
        if each.option.show_default and each.default not in (None, False, ()):
            value = each.default.value if isinstance(each.default, Enum) else each.default
            default = each.option.show(value) if each.kind is not bool else each.flag[2:]
            assert any(f"[default: {default}]" in text for text in texts), each.flag


def test_report_judges_again_under_a_panel_of_its_own(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    shown = panels(cli("report", "--help").out)
    assert set(shown["Gates, to judge saved results again (nothing is run)"]) == {
        *(*GATES, *LIMITS, *PLACEMENT)
    }
    assert "default" not in str(shown["Gates, to judge saved results again (nothing is run)"])


def outside(within: Range, kind: type) -> st.SearchStrategy[float]:
    numbers = st.integers(-(2**40), 2**40) if kind is int else st.floats()
    return numbers.filter(lambda number: not within.holds(number))


@pytest.mark.parametrize(("record", "each"), RANGED)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_value_out_of_range_is_refused_by_its_record(record, each: Declared, data):
    within = each.option.within
    assert isinstance(within, Range)
    several = each.kind not in (int, float)
    value = data.draw(outside(within, int if several else each.kind))
    with pytest.raises(UsageError) as caught:
        record(**{each.name: (value,) if several else value})
    assert str(caught.value) == f"{each.flag}: got {value}; expected {within.words}"


def first_outside(within: Range) -> float:
    edges = [within.low, within.low - 1, within.high, within.high + 1]
    return next(e for e in edges if math.isfinite(e) and not within.holds(e))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_value_out_of_range_is_wrong_usage_that_names_the_option(cli, command):
    within = {each.flag: each.option.within for each in DECLARED}
    words = ("a", "b") if command.name == "compare" else ()
    for told in command.told:
        limits = within.get(flag_of(told))
        if isinstance(limits, Names):
            bad = "x"
        elif isinstance(limits, Range):
            number = first_outside(limits)
            bad = str(number if told.kind is float else int(number))
        else:
            continue
        ran = cli(command.name, *words, f"{flag_of(told)}={bad}")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"error: {flag_of(told)}: got "), ran.err
        assert bad in ran.err
        assert "; expected " in ran.err
        assert ran.err.count("\n") == 1


SAMPLES = {
    "also_in": "LiteRT-CompiledModel",
    "delegate_except": "PAD",
    "max_loss": "0.5%",
    "input_sizes": "64,32",
    "on_device": __file__,
    **{"formats": "fp32.onnx", "split": "0.5,0.2,0.3", "keep_float": "a,b", "threads": "2,3"},
    **{"batches": "1,4", "max_bytes": "5MB", "weights": "imagenet", "preprocessing": "tf"},
    **{"quantization": "fast", "image_size": 96, "seed": 7, "corruptions": "dark,jpeg"},
}


def sample(told: Told, folder: Path) -> object:
    """A value other than the default."""
    if told.name in SAMPLES:
        return SAMPLES[told.name]
    if told.kind is bool:
        return not told.parameter.default
    if told.kind is int:
        return 3
    if told.kind is float:
        return 0.25
    if issubclass(told.kind, Enum):
        return list(told.kind)[-1].value
    return str(folder)


@pytest.mark.parametrize("name", [name for name in FLAGS if name not in ("inspect", "doctor")])
def test_the_file_and_the_command_line_give_the_same_records(cli, tmp_path, monkeypatch, name):
    told: list[tuple[object, ...]] = []

    def stop(*values: object, **named: object) -> None:
        told.append((*(v for v in values if type(v).__name__ != "Terminal"), named))
        raise ArtifactError("stopped")

    step = importlib.import_module(f"resnet_edge.steps.{name}")
    monkeypatch.setattr(step, name, stop)
    words = [name, *("a", "b")] if name == "compare" else [name]
    (command,) = (command for command in COMMANDS if command.name == name)
    # More views go with augmentation alone, and MLPerf's rule overrules the least that is measured.
    options = [t for t in command.told if not t.one_call and t.name not in ("augment", "mlperf")]
    options = [t for t in options if t.name != "model" and t.name != "profile"]
    values = {t.name: sample(t, tmp_path) for t in options}
    assert cli(*words).err == "error: stopped\n"
    flags = [
        flag_of(t)
        if value is True
        else f"--no-{flag_of(t)[2:]}"
        if value is False
        else f"{flag_of(t)}={value}"
        for t, value in zip(options, values.values(), strict=True)
    ]
    assert cli(*words, *flags).err == "error: stopped\n"
    lines = [f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in values.items()]
    Path("resnet-edge.toml").write_text("\n".join(lines))
    assert cli(*words).err == "error: stopped\n"
    plain, by_flags, by_file = told
    assert by_flags == by_file
    assert by_flags != plain
    # One option at a time out of the file: each of them matters.
    for left_out in options:
        if left_out.name == "allow_inconclusive":
            continue  # no matter of the step
        rest = [line for line in lines if not line.startswith(f"{flag_of(left_out)[2:]} =")]
        Path("resnet-edge.toml").write_text("\n".join(rest))
        cli(*words)
        assert told[-1] != by_file, left_out.name


def test_augmentation_is_off_in_the_file_and_on_the_command_line(cli, monkeypatch):
    from resnet_edge.steps import finetune

    told = []

    def stop(options: Options, *_: object) -> None:
        told.append(options.training.augment)
        raise ArtifactError("stopped")

    monkeypatch.setattr(finetune, "finetune", stop)
    cli("finetune")
    cli("finetune", "--no-augment")
    Path("resnet-edge.toml").write_text("augment = false\n")
    cli("finetune")
    cli("finetune", "--augment")
    assert told == [True, False, False, True]


def test_one_seed_goes_to_the_training_and_to_the_calibration(cli, monkeypatch):
    from resnet_edge.steps import run

    told = []

    def stop(options: Options, *_: object) -> None:
        told.append((options.training.seed, options.calibration.seed))
        raise ArtifactError("stopped")

    monkeypatch.setattr(run, "run", stop)
    cli("run", "--seed", "5")
    assert told == [(5, 5)]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("resnet-edge rec", ["recommend"]),
        ("resnet-edge run --ep", ["--epochs"]),
        ("resnet-edge run --no-", ["--no-rewrites", "--no-augment"]),
        ("resnet-edge report --int8", ["--int8-accuracy"]),
        ("resnet-edge run --preprocessing t", ["torch", "tf"]),
        ("resnet-edge finetune --fit ", ["crop", "stretch", "pad"]),
    ],
)
def test_the_shell_completes(command, typed, completed):
    words, environment = command
    variables = {
        "_RESNET_EDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **environment, **variables}
    )
    assert done.stderr == ""
    assert done.stdout.split() == completed


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "--epoch", "3"), "No such option: --epoch (Possible options: --epochs)"),
        (("finetune", "--no-augmen"), "No such option: --no-augmen (Possible options: --augment"),
        (("finetun",), "No such command 'finetun'. Did you mean 'finetune'?"),
    ],
)
def test_a_misspelt_word_is_guessed(cli, words, hint):
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert hint in " ".join(ran.err.replace("│", " ").split())


def test_the_version(cli_process):
    ran = cli_process("--version")
    assert (ran.code, ran.out, ran.err) == (0, "resnet-edge 0.1.0\n", "")


HEAVY = ("tensorflow", "keras", "numpy", "PIL", "matplotlib", "jinja2", "onnx", "onnxruntime")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("run", "--help")])
def test_help_and_version_load_nothing_heavy(command, words):
    (python, *_), environment = command
    code = (
        "import sys; from resnet_edge.cli import main; "
        f"code = main({list(words)!r}); "
        f"print('loaded', [m for m in {HEAVY} if m in sys.modules], code)"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "loaded [] 0"
