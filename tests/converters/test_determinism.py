"""The same model and pictures give the same bytes in any process; as a script, this is one."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from converters.preprocessing import PREPROCESSINGS
from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.serving import serving_model

REPOSITORY = Path(__file__).resolve().parents[2]


def convert(path: Path) -> dict[str, bytes]:
    """Every format that promises stable bytes, from a ``.keras`` file."""
    from converters.onnx import conversion as to_onnx
    from converters.onnx.float16 import convert_float16
    from converters.quantization import onnx as onnx_quantization
    from converters.quantization import tflite as quantize
    from converters.quantization.calibration import calibrate
    from converters.quantization.settings import QuantizationSettings, Target, WeightGrid
    from converters.tflite import conversion as to_tflite
    from converters.tflite import flatbuffer
    from converters.tflite.metadata import ClassifierMetadata, add_metadata_buffer, append_labels

    model = keras.models.load_model(path, compile=False)
    serving = serving_model(fold_batch_norm(model).model, PREPROCESSINGS["torch"])
    shape = serving.inputs[0].shape[1:]
    labels = tuple(f"class {i}" for i in range(serving.outputs[0].shape[1]))
    pictures = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    float32 = to_tflite.convert_float32(serving)
    calibrated = calibrate(
        float32, pictures, QuantizationSettings(grid=WeightGrid.PAIR_SAFE, few_pictures=True)
    )
    network, scheme = calibrated.network, calibrated.scheme
    files = {
        "fp32.tflite": float32,
        "fp16.tflite": quantize.quantize_float16(float32),
        "dynamic.tflite": quantize.quantize_dynamic(float32),
        "int8.tflite": quantize.quantize_static(float32, network, scheme, integer_only=False),
        "int8_full.tflite": quantize.quantize_static(float32, network, scheme, integer_only=True),
    }
    for name, data in files.items():
        tree = flatbuffer.read_flatbuffer(data)
        if name.startswith("int8"):
            flatbuffer.use_uint8_input(tree)
        flatbuffer.name_endpoints(tree)
        add_metadata_buffer(tree, ClassifierMetadata("pets", "", labels, shape[:2]))
        files[name] = append_labels(flatbuffer.write_flatbuffer(tree), labels)
    float32_onnx = to_onnx.convert_float32(serving)
    int8_onnx = onnx_quantization.quantize_int8(
        float32_onnx, calibrated, pictures, Target.AUTO
    ).model
    to_onnx.use_uint8_input(int8_onnx)
    for name, graph in (
        ("fp32.onnx", float32_onnx),
        ("fp16.onnx", convert_float16(float32_onnx)),
        ("int8.onnx", int8_onnx),
    ):
        to_onnx.add_metadata(graph, {"name": "pets", "labels": json.dumps(labels)})
        files[name] = to_onnx.serialize(graph)
    return files


def hashes_of(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def hashes_in_new_process(path: Path, seed: str) -> dict[str, str]:
    """The answers of a process with another hash seed; converters add nothing to its output."""
    process = subprocess.run(
        [sys.executable, __file__, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": seed},
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    x = keras.Input((16, 16, 3))
    y = keras.layers.Conv2D(8, 3, strides=2, name="stem")(x)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    branch = keras.layers.DepthwiseConv2D(3, padding="same")(y)
    branch = keras.layers.BatchNormalization()(branch)
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([y, branch]))
    path = tmp_path / "small.keras"
    y = keras.layers.Dense(4, bias_initializer="random_normal")(y)
    keras.Model(x, y).save(path)
    here, again = (hashes_of(convert(path)) for _ in range(2))
    assert len(here) == 8
    assert again == here
    assert hashes_in_new_process(path, "271828") == here


@pytest.mark.slow
def test_two_processes_give_the_same_resnet50(tiny, tmp_path: Path) -> None:
    path = tmp_path / "resnet.keras"
    tiny.model.save(path)
    assert hashes_in_new_process(path, "1") == hashes_in_new_process(path, "271828")


if __name__ == "__main__":
    print(json.dumps(hashes_of(convert(Path(sys.argv[1])))))
