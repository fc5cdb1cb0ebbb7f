"""The record of what could not be made: kept by model, forgotten where it no longer holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_edge.errors import ArtifactError, InferenceError, ModelError
from resnet_edge.exporting.failures import (
    Failure,
    keep_failures,
    list_failures,
    one_error,
    read_failures,
)

MODEL, OTHER = "ab" * 32, "cd" * 32
TFLITE = Failure("int8.tflite", "no kernel")
ONNX = Failure("int8.onnx", "no operator")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "export-failures.json"


def test_failures_are_read_back_in_the_order_of_the_tables(path: Path):
    assert read_failures(path, MODEL) == ()
    keep_failures(path, MODEL, ("int8.onnx", "int8.tflite"), (ONNX, TFLITE))
    assert read_failures(path, MODEL) == (TFLITE, ONNX)
    assert json.loads(path.read_text())["model_sha256"] == MODEL


def test_those_of_another_model_say_nothing_and_are_replaced(path: Path):
    keep_failures(path, OTHER, ("int8.tflite",), (TFLITE,))
    assert read_failures(path, MODEL) == ()
    keep_failures(path, MODEL, ("int8.onnx",), (ONNX,))
    assert read_failures(path, MODEL) == (ONNX,)
    assert read_failures(path, OTHER) == ()


def test_what_was_not_asked_for_again_is_still_known(path: Path):
    keep_failures(path, MODEL, ("int8.tflite", "int8.onnx"), (TFLITE, ONNX))
    again = Failure("int8.tflite", "another reason")
    keep_failures(path, MODEL, ("int8.tflite", "fp32.onnx"), (again,))
    assert read_failures(path, MODEL) == (again, ONNX)
    keep_failures(path, MODEL, ("int8.tflite",), ())
    assert read_failures(path, MODEL) == (ONNX,)


def test_without_failures_there_is_no_file(path: Path):
    keep_failures(path, MODEL, ("int8.tflite",), ())
    assert not path.exists()
    keep_failures(path, MODEL, ("int8.tflite",), (TFLITE,))
    keep_failures(path, MODEL, ("int8.tflite",), ())
    assert not path.exists()


def test_a_damaged_record_is_an_error(path: Path):
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"export-failures\.json: not JSON"):
        read_failures(path, MODEL)


def test_each_reason_has_one_line_and_one_advice():
    lost = {
        "fp32.onnx": ModelError("layer 'a': unknown"),
        "fp16.onnx": ModelError("layer 'a': unknown"),
        "int8.tflite": InferenceError("it aborts"),
        "int8.onnx": ModelError("too few pictures; pass --few-pictures"),
    }
    calibrated = (
        "it aborts; run `resnet-edge export` with --quantization fast, keep layers in float with "
        "--keep-float, or leave it out with --formats"
    )
    unknown = "layer 'a': unknown; leave them out with --formats"
    advised = "too few pictures; pass --few-pictures"
    assert list_failures(lost) == (
        Failure("int8.tflite", calibrated),
        Failure("fp32.onnx", unknown),
        Failure("fp16.onnx", unknown),
        Failure("int8.onnx", advised),
    )
    error = one_error(lost)
    assert str(error).splitlines() == [
        f"int8.tflite: {calibrated}",
        f"fp32.onnx, fp16.onnx: {unknown}",
        f"int8.onnx: {advised}",
    ]
    assert type(error) is ArtifactError  # of several kinds
    assert type(one_error({"fp32.onnx": ModelError("layer 'a': unknown")})) is ModelError
