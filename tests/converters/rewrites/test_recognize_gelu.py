"""GELU written by hand becomes the activation; what only looks like it stays."""

from collections.abc import Callable

import keras
import pytest
from keras import layers, ops

from converters.rewrites.recognize_gelu import recognize_gelu

ROOT = 2**0.5
Formula = Callable[[keras.KerasTensor], keras.KerasTensor]


def of_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Activation(ops.erf)(layers.Rescaling(1 / ROOT)(x))
    return layers.Multiply()([layers.Rescaling(0.5, 0.5)(y), x])


SPELLINGS = {
    "as in the paper": lambda x: x * 0.5 * (1 + ops.erf(x / ROOT)),
    "half first": lambda x: 0.5 * x * (ops.erf(x * 0.70710678) + 1),
    "half last": lambda x: x * (1 + ops.erf(x / ops.sqrt(2.0))) * 0.5,
    "a distribution": lambda x: x * ((1.0 + ops.erf(x / ops.sqrt(2.0))) / 2.0),
    "negated": lambda x: x * 0.5 * (1 - ops.erf(-x / ROOT)),
    "functions": lambda x: ops.multiply(x, ops.add(0.5, ops.multiply(0.5, ops.erf(x / ROOT)))),
    "of layers": of_layers,
}


def network(formula: Formula, x: keras.KerasTensor) -> keras.KerasTensor:
    y = formula(layers.Conv2D(4, 3, name="conv")(x))
    return layers.Conv2D(3, 1, name="reader")(y)


def gelus(model: keras.Model) -> list[str]:
    return [
        str(layer.name)
        for layer in model._flatten_layers()
        if isinstance(layer, layers.Activation) and layer.activation is keras.activations.gelu
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_recognized(check, spelling: str) -> None:
    x = keras.Input((8, 8, 3))
    rewritten = check(recognize_gelu, keras.Model(x, network(SPELLINGS[spelling], x)), 1)
    kinds = [type(layer).__name__ for layer in rewritten.layers]
    assert kinds == ["InputLayer", "Conv2D", "Activation", "Conv2D"]
    assert len(gelus(rewritten)) == 1


def test_several_behind_each_other_of_vectors_and_sequences(check) -> None:
    gelu = SPELLINGS["a distribution"]
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(x)
    y = layers.Reshape((36, 4))(gelu(gelu(y)))
    y = layers.Conv1D(4, 3)(gelu(layers.Dense(5)(y)))
    y = layers.Dense(3)(gelu(layers.GlobalAveragePooling1D()(y)))
    assert len(gelus(check(recognize_gelu, keras.Model(x, y), 4))) == 4


def test_all_readers_get_it_and_the_tensor_itself_has_others(check) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(x)
    z = SPELLINGS["as in the paper"](y)
    joined = layers.Concatenate()([layers.Conv2D(2, 1)(z), layers.Conv2D(2, 1)(z), y])
    rewritten = check(recognize_gelu, keras.Model(x, joined), 1)
    assert len(gelus(rewritten)) == 1


def test_inside_a_nested_model(check) -> None:
    inner = keras.Input((8, 8, 3))
    base = keras.Model(inner, network(SPELLINGS["half last"], inner), name="base")
    x = keras.Input((8, 8, 3))
    check(recognize_gelu, keras.Model(x, layers.GlobalAveragePooling2D()(base(x))), 1)


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: ops.erf(x),
        lambda x: x * 0.5 * (1 + ops.erf(x / 1.4)),  # another factor
        lambda x: 0.51 * x * (1 + ops.erf(x / ROOT)),
        lambda x: x * 0.5 * (1 + ops.tanh(0.79788456 * (x + 0.044715 * x**3))),  # another GELU
        lambda x: layers.Conv2D(4, 1)(x) * 0.5 * (1 + ops.erf(x / ROOT)),  # of two tensors
        lambda x: layers.Concatenate()([x * 0.5 * (1 + (e := ops.erf(x / ROOT))), e]),
    ],
)
def test_other_functions_stay(check, formula: Formula) -> None:
    x = keras.Input((8, 8, 3))
    check(recognize_gelu, keras.Model(x, network(formula, x)), 0)


def test_one_that_makes_the_output_stays(check) -> None:
    x = keras.Input((8, 8, 3))
    y = SPELLINGS["as in the paper"](layers.Conv2D(4, 3)(x))
    check(recognize_gelu, keras.Model(x, y), 0)
