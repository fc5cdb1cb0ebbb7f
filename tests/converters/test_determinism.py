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
    from converters import onnx, tflite, tflite_file
    from converters.quantization import onnx as onnx_quantization
    from converters.quantization import ranges
    from converters.quantization import tflite as quantize
    from converters.tflite_metadata import ClassifierMetadata, add_metadata_buffer, append_labels

    model = keras.models.load_model(path, compile=False)
    serving = serving_model(fold_batch_norm(model).model, PREPROCESSINGS["torch"])
    shape = serving.inputs[0].shape[1:]
    labels = tuple(f"class {i}" for i in range(serving.outputs[0].shape[1]))
    pictures = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    float32 = tflite.convert_float32(serving)
    measured = ranges.measure_ranges(float32, pictures, threads=1)
    files = {
        "fp32.tflite": float32,
        "fp16.tflite": quantize.quantize_float16(float32),
        "dynamic.tflite": quantize.quantize_dynamic(float32),
        "int8.tflite": quantize.quantize_static(float32, measured, integer_only=False),
        "int8_full.tflite": quantize.quantize_static(float32, measured, integer_only=True),
    }
    for name, data in files.items():
        tree = tflite_file.read_flatbuffer(data)
        if name.startswith("int8"):
            tflite_file.use_uint8_input(tree)
        tflite_file.name_endpoints(tree)
        add_metadata_buffer(tree, ClassifierMetadata("pets", "", labels, shape[:2]))
        files[name] = append_labels(tflite_file.write_flatbuffer(tree), labels)
    float32_onnx = onnx.convert_float32(serving)
    int8_onnx = onnx_quantization.quantize_int8(float32_onnx, pictures)
    onnx.use_uint8_input(int8_onnx)
    for name, graph in (
        ("fp32.onnx", float32_onnx),
        ("fp16.onnx", onnx.convert_float16(float32_onnx)),
        ("int8.onnx", int8_onnx),
    ):
        onnx.add_metadata(graph, {"name": "pets", "labels": json.dumps(labels)})
        files[name] = onnx.serialize(graph)
    return files


def hashes_in_new_process(path: Path, seed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": seed},
    )


def hash_twice(path: Path) -> list[dict[str, str]]:
    """Two processes with other hash seeds; on standard output they say their answer and no more."""
    processes = [hashes_in_new_process(path, seed) for seed in ("1", "271828")]
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err[-3000:]
        answers.append(json.loads(out))
    return answers


def test_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    x = keras.Input((16, 16, 3))
    y = keras.layers.Conv2D(8, 3, strides=2, name="stem")(x)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    branch = keras.layers.DepthwiseConv2D(3, padding="same")(y)
    branch = keras.layers.BatchNormalization()(branch)
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([y, branch]))
    keras.Model(x, keras.layers.Dense(4)(y)).save(tmp_path / "small.keras")
    first, second = hash_twice(tmp_path / "small.keras")
    assert len(first) == 8
    assert first == second


@pytest.mark.slow
def test_a_whole_resnet50_too(tiny, tmp_path: Path) -> None:
    tiny.model.save(tmp_path / "resnet.keras")
    first, second = hash_twice(tmp_path / "resnet.keras")
    assert first == second


if __name__ == "__main__":
    hashes = {n: hashlib.sha256(d).hexdigest() for n, d in convert(Path(sys.argv[1])).items()}
    print(json.dumps(hashes))
