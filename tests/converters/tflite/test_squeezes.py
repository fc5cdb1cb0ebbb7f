"""Tensors of one pixel: summed as they are, with the answers of Keras."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model
from converters.tflite import conversion
from converters.tflite.flatbuffer import read_flatbuffer
from converters.tflite.squeezes import without_squeezes

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def kinds(data: bytes) -> Counter[str]:
    model = read_flatbuffer(data)
    codes = [model.operatorCodes[op.opcodeIndex] for op in model.subgraphs[0].operators]
    return Counter(NAMES[code.builtinCode] for code in codes)


def classify(data: bytes, pictures: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for picture in pictures:
        interpreter.set_tensor(image["index"], picture[np.newaxis].astype(np.float32))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.stack(rows)


def shrinking(side: int, join: type[layers.Layer]) -> keras.Model:
    """A residual block at one pixel for ``side`` 8, at two for 16."""
    keras.utils.set_random_seed(1)
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(8, 4, strides=4, activation="relu")(x)
    y = layers.Conv2D(8, 1, activation="relu")(x)
    x = layers.ReLU()(join()([layers.Conv2D(8, 1)(y), x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("join", [layers.Add, layers.Multiply, layers.Maximum])
@pytest.mark.parametrize("side", [8, 16])
def test_a_block_at_one_pixel_has_no_reshape(side: int, join, answers, monkeypatch) -> None:
    serving = serving_model(shrinking(side, join), PREPROCESSINGS["none"])
    pictures = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    data = conversion.convert_float32(serving)
    assert kinds(data)["RESHAPE"] == 0
    np.testing.assert_allclose(classify(data, pictures), answers(serving, pictures), atol=1e-6)
    monkeypatch.setattr(conversion, "without_squeezes", lambda data: data)
    plain = conversion.convert_float32(serving)
    if side == 8 and join is layers.Add:
        assert kinds(plain)["RESHAPE"] == 1  # else the converter has learned it, and this can go
    assert classify(data, pictures).tobytes() == classify(plain, pictures).tobytes()


def test_a_file_without_them_is_not_written_anew(tiny) -> None:
    data = tiny.tflite["fp32"]
    assert without_squeezes(data) is data


def test_flattening_stays(monkeypatch) -> None:
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(5, 4), layers.Flatten(), layers.Dense(2)]
    )
    serving = serving_model(model, PREPROCESSINGS["none"])
    data = conversion.convert_float32(serving)
    monkeypatch.setattr(conversion, "without_squeezes", lambda data: data)
    assert kinds(conversion.convert_float32(serving)) == kinds(data)
