"""A trained ResNet50 of full width through every converter, judged on real pictures."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from converters.multiply_adds import count_multiply_adds
from converters.onnx import conversion as to_onnx
from converters.onnx.float16 import convert_float16
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibration import calibrate
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_dynamic, quantize_float16, quantize_static
from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

pytestmark = pytest.mark.slow


def pictures(folder: Path, step: int) -> np.ndarray:
    """Every ``step``-th picture, uint8 (n, 64, 64, 3)."""
    paths = sorted(folder.rglob("*.jpg"))[::step]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])


def classify_tflite(data: bytes, batch: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=2)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in batch:
        levels = picture.astype(np.int16) - 128 if image["dtype"] == np.int8 else picture
        interpreter.set_tensor(image["index"], levels[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.stack(rows)


def test_a_trained_resnet50(shared: Path) -> None:
    model = keras.models.load_model(shared / "weights" / "tiny16.keras", compile=False)
    folded = fold_batch_norm(model)
    assert folded.count == 53
    assert count_multiply_adds(folded.model) == count_multiply_adds(model)
    caffe = PREPROCESSINGS["caffe"]
    serving = serving_model(folded.model, caffe)
    test = pictures(shared / "data" / "tiny16" / "val", 8)
    calibration = pictures(shared / "data" / "tiny16" / "train", 16)
    expected = np.asarray(model.predict(caffe.apply(test.astype(np.float32)), verbose=0))
    best = expected.argmax(axis=1)

    float32 = to_tflite.convert_float32(serving)
    actual = classify_tflite(float32, test)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert (actual.argmax(axis=1) == best).all()
    fast, equalized = (
        calibrate(
            float32, calibration, QuantizationSettings(level, grid=Target.AUTO.grid), threads=2
        )
        for level in (Level.FAST, Level.EQUALIZED)
    )
    network = fast.network
    for data, agreement in (
        (quantize_float16(float32), 0.99),
        (quantize_dynamic(float32), 0.9),
        (quantize_static(float32, network, fast.scheme, integer_only=False), 0.9),
        (quantize_static(float32, network, equalized.scheme, integer_only=False), 0.95),
        (quantize_static(float32, network, equalized.scheme, integer_only=True), 0.9),
    ):
        assert (classify_tflite(data, test).argmax(axis=1) == best).mean() >= agreement

    float32_onnx = to_onnx.convert_float32(serving)
    for graph, agreement in (
        (float32_onnx, 1.0),
        (convert_float16(float32_onnx), 0.99),
        (quantize_int8(float32_onnx, equalized, calibration, Target.AUTO).model, 0.95),
    ):
        session = onnxruntime.InferenceSession(
            to_onnx.serialize(graph), providers=["CPUExecutionProvider"]
        )
        (answers,) = session.run(None, {"image": test.astype(np.float32)})
        assert (answers.argmax(axis=1) == best).mean() >= agreement
