"""Integer artifacts from one quantization: levels, processors, layers in float, the search."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converters.quantization.calibrated_network import FloatFallback, HeldOutAnswers
from converters.quantization.settings import Level, Target
from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.exporting.quantizing import _fallback_words, _findings
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.options import Options, QuantizationOptions
from resnet_edge.steps.export import export


def with_quantization(options: Options, formats: str, **chosen: object) -> Options:
    return replace(
        options,
        formats=parse_formats(formats),
        quantization=QuantizationOptions(**chosen),  # type: ignore[arg-type]
    )


def findings(options: Options, name: str) -> dict[str, str]:
    return load_artifact(options.layout.artifacts / name).sidecar.findings


def test_the_default_says_what_it_found(edge_build: Path):
    sidecar = load_artifact(edge_build / "artifacts" / "int8.tflite").sidecar
    assert sidecar.calibration is not None
    assert sidecar.calibration.method == "equalized"
    assert sidecar.findings["equalisation"].startswith(("least noise", "strength 0."))
    result = read_record(
        QuantizationResult, edge_build / "results" / "quantization.json", ArtifactError
    )
    assert result.model_sha256 == sidecar.model_sha256
    assert sum(row.share for row in result.layers) == pytest.approx(1)
    with zipfile.ZipFile(edge_build / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    weighted = [
        layer["config"]["name"]
        for layer in config["config"]["layers"]
        if layer["class_name"] in ("Conv2D", "Dense")
    ]
    assert [row.layer for row in result.layers if row.layer in weighted] == weighted
    assert result.trials == ()


def test_another_level_makes_integer_artifacts_anew(options: Options):
    before = hash_path(options.layout.artifacts / "int8.tflite")
    fast = with_quantization(options, "int8.tflite", level=Level.FAST)
    assert export(fast).rebuilt == ("int8.tflite",)
    sidecar = load_artifact(options.layout.artifacts / "int8.tflite").sidecar
    assert sidecar.sha256 != before
    assert sidecar.calibration is not None
    assert sidecar.calibration.method == "fast"
    assert sidecar.findings == {}
    assert export(fast).rebuilt == ()


def test_trained_learns_from_the_training_split(options: Options):
    trained = with_quantization(options, "int8.tflite,int8.onnx", level=Level.TRAINED)
    assert export(trained).rebuilt == ("int8.tflite", "int8.onnx")
    assert findings(options, "int8.tflite")["training"].startswith("top-1 ")
    split = read_manifest(options.layout.dataset).split
    for name in trained.formats_to_make:
        told = load_artifact(options.layout.artifacts / name).sidecar.options["lessons"]
        assert told.startswith(f"{len(split.train)} pictures, ")
    assert export(trained).rebuilt == ()


@pytest.mark.slow
def test_processors_with_the_same_weights_share_a_quantization(options: Options, recorder):
    names = "int8.tflite,int8.onnx"
    export(with_quantization(options, names))
    arm = with_quantization(options, names, onnx_target=Target.ARM)
    # int8.tflite has all 8 bits of its weights, whatever processor int8.onnx is for.
    assert export(arm).rebuilt == ("int8.onnx",)
    kept = sorted(options.layout.cache.glob("quantization-*.npz"))
    vnni = with_quantization(options, names, onnx_target=Target.VNNI)
    assert export(vnni, None, recorder).rebuilt == ("int8.onnx",)
    assert findings(options, "int8.onnx")["processor"].startswith("vnni: U8S8 with full 8-bit")
    assert sorted(options.layout.cache.glob("quantization-*.npz")) == kept
    assert [text for text in recorder.said if text.endswith("written")] == ["int8.onnx written"]


def test_int8_onnx_alone_gets_its_quantization(options: Options):
    for path in options.layout.cache.glob("quantization-*.npz"):
        path.unlink()
    assert export(with_quantization(options, "int8.onnx")).rebuilt == ("int8.onnx",)
    assert "simulated SQNR" in findings(options, "int8.onnx")


def test_layers_in_float_are_named(options: Options):
    chosen = with_quantization(options, "int8.tflite", keep_float=("*5c*", "*conv5_block3*"))
    with pytest.raises(UsageError) as caught:
        export(chosen)
    message = str(caught.value)
    assert message.startswith("--keep-float: no layer fits '")
    assert "expected globs of Keras names: " in message
    name = message.rpartition(": ")[2].split(", ")[-2]
    export(with_quantization(options, "int8.tflite", keep_float=(name,)))
    assert findings(options, "int8.tflite")["layers in float"] == name


def test_the_search_writes_its_trials_down(options: Options, recorder):
    chosen = with_quantization(options, "int8.tflite", budget_minutes=0.001)
    export(chosen, None, recorder)
    result = read_record(QuantizationResult, options.layout.quantization, ArtifactError)
    first = result.trials[0]
    assert (first.layer, first.float_layers) == ("", ())
    assert 0 <= first.agreement <= 1
    assert first.bytes > 0
    assert first.latency_s > 0
    assert result.method == "equalized; search of 0.001 minutes"


def test_a_network_mostly_in_float_is_told_of_other_files():
    before, after = HeldOutAnswers(12.5, 0.729, 48), HeldOutAnswers(25.3, 0.979, 48)
    few = FloatFallback(("conv",), frozenset({3}), before, after, 9_620_000, 0.5)
    assert _fallback_words(few) == (
        "1 layer to float, because 8 bits lose too much in them: 72.9% agreement and 12.5 dB "
        "without, 97.9% and 25.3 dB with them in float, simulated on 48 held-out pictures; "
        "50.0% of the multiply-adds, their weights still in 8 bits (int8.onnx 9.62 MB larger: in "
        "float); int8_full and int16x8 keep them in integers"
    )
    assert _fallback_words(replace(few, multiply_adds=0.501)).endswith(
        "; most of this network is in float: compare int16x8.tflite, with 16-bit integers, and "
        "dynamic.tflite, as small, which parity and bench judge beside it"
    )


def test_weights_that_are_too_coarse_in_8_bits_are_said():
    before, after = HeldOutAnswers(8.3, 1.0, 16), HeldOutAnswers(31.8, 1.0, 16)
    coarse = FloatFallback(("conv",), frozenset({3}), before, after, 70_410_000, 0.4, True)
    assert (
        "40.0% of the multiply-adds, their weights too, for which 8 bits are too coarse "
        "(int8.tflite and int8.onnx 70.41 MB larger); int8_full and int16x8 keep them in integers"
    ) in _fallback_words(coarse)
    assert _fallback_words(replace(coarse, multiply_adds=0.501)).endswith(
        "; 8 bits do not hold this network: compare the float16 files, which parity judges"
    )


def test_a_head_in_float_is_said():
    head = SimpleNamespace(index=2, layer="predictions")
    network = SimpleNamespace(
        operations=(),
        head=frozenset({2}),
        dense_head=head,
        parameters={2: SimpleNamespace(kernel=np.zeros((1000, 10)))},
    )
    calibrated = SimpleNamespace(
        network=network,
        figures=None,
        unstable=(),
        fallback=None,
        notes=(),
        scheme=SimpleNamespace(float_operations=frozenset({2}), has_float_head=True),
        training=None,
    )
    assert _findings(calibrated) == {
        "float head": "the weights of predictions stay in float32, because 8 bits are too coarse "
        "for them (int8.tflite, int16x8.tflite and int8.onnx 0.03 MB larger); int8_full rounds them"
    }


def test_wrong_usage():
    with pytest.raises(UsageError, match=r"budget: got -1; expected a finite number, 0 or above$"):
        QuantizationOptions(budget_minutes=-1)
    with pytest.raises(UsageError, match=r"budget: got nan; expected a finite number, 0 or above$"):
        QuantizationOptions(budget_minutes=float("nan"))
