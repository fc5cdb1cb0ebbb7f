"""The float32 TFLite file: the same answers as Keras, or an error that names the operator."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.errors import ModelConversionError
from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite


def classify(data: bytes, pictures: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for picture in pictures:
        interpreter.set_tensor(image["index"], picture[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.stack(rows)


def test_answers_equal_keras(tiny) -> None:
    np.testing.assert_allclose(
        classify(tiny.tflite_float32, tiny.pictures), tiny.expected, atol=1e-5
    )


def test_endpoints(tiny) -> None:
    interpreter = Interpreter(model_content=tiny.tflite_float32)
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], image["shape"].tolist()) == (np.float32, [1, 32, 32, 3])
    assert (answer["dtype"], answer["shape"].tolist()) == (np.float32, [1, 5])


@pytest.mark.parametrize("mode", ["torch", "unit"])
def test_a_sequential_classifier_of_an_odd_size(mode: str, answers) -> None:
    model = keras.Sequential(
        [
            keras.Input((21, 14, 3)),
            layers.SeparableConv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3),
        ]
    )
    serving = serving_model(model, PREPROCESSINGS[mode])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 21, 14, 3), dtype=np.uint8)
    actual = classify(to_tflite.convert_float32(serving), pictures)
    np.testing.assert_allclose(actual, answers(serving, pictures), atol=1e-5)


def test_an_operator_that_tflite_lacks_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Dense(4, activation=keras.ops.erfinv, name="odd")(x)
    y = layers.Activation(keras.ops.erf)(layers.GlobalAveragePooling2D()(y))  # this it can
    y = layers.Dense(3, activation=keras.ops.erfinv, name="even")(y)
    serving = serving_model(keras.Model(x, layers.Dense(3)(y)), PREPROCESSINGS["none"])
    with pytest.raises(ModelConversionError) as caught:
        to_tflite.convert_float32(serving)
    assert str(caught.value) == (
        "TFLite cannot express this model: it has no operator for tf.Erfinv in 'odd', 'even'; "
        "replace the layer or leave the .tflite formats out with --formats"
    )
    assert capfd.readouterr().out == ""
