"""Operators with an integer kernel in LiteRT that the quantizer leaves in float."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from converters.quantization.calibration import calibrate
from converters.quantization.float_layers import needs_float
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.tflite import float_operators, quantize_static
from converters.tflite.flatbuffer import read_flatbuffer

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def kinds(data: bytes) -> list[str]:
    model = read_flatbuffer(data)
    codes = [model.operatorCodes[op.opcodeIndex] for op in model.subgraphs[0].operators]
    return [NAMES[code.builtinCode] for code in codes]


def leaky(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.LeakyReLU(0.2)(layers.Conv2D(6, 3, name="one")(x))
    return layers.Add()([y, layers.LeakyReLU(0.1)(layers.Conv2D(6, 3, name="two")(x))])


def prelu(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.PReLU(shared_axes=[1, 2], name="slope")(layers.Conv2D(6, 3)(x))
    return layers.Conv2D(6, 3)(y)


def elu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.MaxPooling2D()(layers.Activation("elu")(layers.Conv2D(6, 3)(x)))


def maximum(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.LeakyReLU(0.2)(layers.Conv2D(6, 3)(x))
    return layers.GlobalMaxPooling2D(keepdims=True)(y)


def repeated(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.AveragePooling2D(2)(layers.Conv2D(6, 3)(x))
    return layers.Conv2D(6, 3)(keras.ops.tile(y, (1, 2, 1, 1)))


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (repeated, "TILE"),
        (leaky, "LEAKY_RELU"),
        (prelu, "PRELU"),
        (elu, "ELU"),
        (maximum, "REDUCE_MAX"),
    ],
)
def test_the_kernel_of_the_runtime_is_used(small, classify, build, kind: str) -> None:
    made = small(
        lambda x: layers.Dense(3, activation="softmax", name="head")(
            layers.GlobalAveragePooling2D()(build(x))
        )
    )
    settings = QuantizationSettings(Level.FAST)
    found = calibrate(made.float32, made.pictures, settings, made.layers)
    assert needs_float(found.network) == frozenset()
    whole = quantize_static(made.float32, found.network, found.scheme, integer_only=True)
    assert float_operators(whole) == ()
    assert kind in kinds(whole)
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(kinds(whole))
    mixed = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    assert float_operators(mixed) == ("DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX")
    expected = classify(made.float32, made.pictures)
    for data in (whole, mixed):
        np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.05)


def test_a_named_layer_stays_in_float(small, classify) -> None:
    made = small(
        lambda x: layers.Dense(3, activation="softmax", name="head")(
            layers.GlobalAveragePooling2D()(prelu(x))
        )
    )
    settings = QuantizationSettings(Level.FAST, keep_float=("slope",))
    found = calibrate(made.float32, made.pictures, settings, made.layers)
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    assert "PRELU" in float_operators(data)
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.05)


def test_between_float_layers_an_operator_rounds_its_input(small, classify) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = keras.ops.sin(layers.Conv2D(6, 3, name="conv")(x))
        y = keras.ops.sin(layers.LeakyReLU(0.2, name="leaky")(y))
        return layers.Dense(3, activation="softmax", name="head")(
            layers.GlobalAveragePooling2D()(y)
        )

    made = small(build)
    settings = QuantizationSettings(Level.FAST)
    found = calibrate(made.float32, made.pictures, settings, made.layers)
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    assert "LEAKY_RELU" not in float_operators(data)
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.05)


def test_16_bit_sums_of_steps_that_are_powers_of_two(small, classify) -> None:
    """``x / 127.5 - 1`` has steps of 2, 1 and 1 over 32767: nearly powers of two."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.ZeroPadding2D()(layers.Rescaling(1 / 127.5, -1, name="scale")(x))
        y = layers.Conv2D(6, 3, name="conv")(y)
        return layers.Dense(3, activation="softmax", name="head")(
            layers.GlobalAveragePooling2D()(y)
        )

    made = small(build, preprocessing="none")
    found = calibrate(made.float32, made.pictures, QuantizationSettings(Level.FAST), made.layers)
    data = quantize_static(
        made.float32, found.network, found.scheme, integer_only=False, activation_bits=16
    )
    assert {"ADD", "SUB"} & set(kinds(data))
    expected = classify(made.float32, made.pictures)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.005)
