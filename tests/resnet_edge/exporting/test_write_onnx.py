"""int8.onnx is made although TFLite cannot express the model: on ranges of its own."""

from types import SimpleNamespace

import keras
import numpy as np
import onnxruntime
import pytest

from converters.onnx import conversion
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.settings import Target
from converters.serving import serving_model
from resnet_edge.errors import ModelError
from resnet_edge.exporting import quantizing, write_onnx

REASON = "TFLite cannot express this model: it has no operator for tf.Erfc"


def test_without_a_quantization_the_ranges_are_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(8, 3, activation="gelu")(keras.layers.Rescaling(1 / 255)(x))
    y = keras.layers.Conv2D(8, 3, activation="relu")(y)
    y = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y)
    float32 = conversion.convert_float32(serving_model(model, PREPROCESSINGS["none"]))
    pictures = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)

    def refuse(*_: object) -> None:
        raise ModelError(REASON)

    monkeypatch.setattr(quantizing, "load_quantized", refuse)
    monkeypatch.setattr(quantizing, "calibration_pictures", lambda _: pictures)
    options = SimpleNamespace(onnx_target=Target.AUTO)
    job = SimpleNamespace(inputs=SimpleNamespace(for_integers=SimpleNamespace(options=options)))
    warnings: list[str] = []
    reporter = SimpleNamespace(warn=warnings.append)

    quantized, found = write_onnx._quantize(job, "int8.onnx", float32, reporter)
    assert warnings == [f"int8.onnx: {REASON}; quantized on ranges of its own"]
    assert found["ranges of its own"] == REASON
    batch = pictures.astype(np.float32)
    exact, actual = (
        onnxruntime.InferenceSession(
            one.SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, {"image": batch})[0]
        for one in (float32, quantized)
    )
    assert 0 < np.abs(actual - exact).max() < 0.01
