"""Estimates of the steps: larger where there is more to do, and there before anything is built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters.quantization.settings import Level
from resnet_edge.data.manifest import read_manifest
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.options import BenchOptions, Options, QuantizationOptions
from resnet_edge.steps.run import plan_steps
from resnet_edge.steps.step_estimates import estimate_steps

AFTER_TRAINING = {"export", "reference", "parity", "bench", "report", "bundle"}


def test_every_step_after_the_training_has_one(options: Options, tmp_path: Path):
    names = {step.name for step in plan_steps(options, bundled=True)}
    assert names == AFTER_TRAINING | {"finetune"}
    for folder in (options.out, tmp_path / "nothing yet"):
        estimates = estimate_steps(replace(options, out=folder))
        assert set(estimates) == AFTER_TRAINING
        assert all(seconds > 0 for seconds in estimates.values())


def test_more_files_and_longer_measurements_take_longer(options: Options):
    few = replace(options, formats=("fp32.tflite",))
    many = replace(options, formats=("fp32.tflite", "int8.tflite", "fp32.onnx"))
    for step in ("export", "parity", "bench"):
        assert estimate_steps(few)[step] < estimate_steps(many)[step]
    long = replace(few, bench=BenchOptions(spec=LatencySpec(min_seconds=100.0)))
    assert estimate_steps(long)["bench"] > 100 > estimate_steps(few)["parity"]


def test_no_bundle_is_planned_without_files_for_devices(options: Options):
    steps = plan_steps(options, bundled=False)
    assert [step.name for step in steps][-1] == "report"
    one = plan_steps(replace(options, formats=("saved_model",)), bundled=False)
    assert one[1].words == "1 file"


def test_learning_takes_longer(options: Options):
    """distilled: 70 s before 600 steps of 0.5 s; trained: before the fewest, for few pictures.

    Pictures of 32x32 save nothing: the weights are rounded in every step.
    """
    assert read_manifest(options.layout.dataset).size == (32, 32)
    plain = estimate_steps(options)["export"]
    for level, seconds in ((Level.DISTILLED, 70 + 600 * 0.5), (Level.TRAINED, 70 + 300 * 0.5)):
        learning = replace(options, quantization=QuantizationOptions(level=level))
        assert estimate_steps(learning)["export"] == pytest.approx(plain + seconds)
        floats = replace(learning, formats=("fp32.tflite",))
        without = replace(options, formats=("fp32.tflite",))
        assert estimate_steps(floats) == estimate_steps(without)
