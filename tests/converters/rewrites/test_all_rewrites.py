"""All rewrites together."""

from functools import partial

import keras
from keras import layers

from converters.multiply_adds import count_multiply_adds
from converters.rewrites.all_rewrites import NECESSARY, REWRITES, optimize
from converters.rewrites.keras_graph import Rewritten


def network(x: keras.KerasTensor) -> keras.KerasTensor:
    """Something for every rewrite."""
    y = layers.ZeroPadding2D(1)(layers.BatchNormalization(name="early")(x))
    y = layers.Conv2D(4, 3, name="wide")(y)
    y = layers.BatchNormalization()(layers.Dropout(0.1)(y))
    y = y * (0.5 + 0.5 * keras.ops.erf(y / 2**0.5))
    return layers.Conv2D(5, 1, strides=2, name="reader")(layers.ReLU()(y))


def test_in_order_and_with_what_was_saved(check) -> None:
    x = keras.Input((12, 12, 3))
    y = network(x)
    terms = [layers.Conv2D(5, 1)(z) for z in (y, layers.ReLU()(y))]
    model = keras.Model(x, layers.ReLU()(layers.Add()(terms)))
    result = optimize(model)
    assert result.applied == tuple(name for name, _ in REWRITES)
    assert result.multiply_adds_before == 144 * 27 * 4 + 36 * 70 == count_multiply_adds(model)
    assert (
        result.multiply_adds == 144 * 3 + 36 * 27 * 4 + 36 * 70 == count_multiply_adds(result.model)
    )
    assert [layer.name for layer in result.model.layers][1:4] == ["early", "wide_pad", "wide"]
    assert result.model.get_layer("wide_pad").padding == ((1, 0), (1, 0))

    def all_at_once(model: keras.Model) -> Rewritten:
        return Rewritten(optimize(model).model, len(optimize(model).applied))

    check(all_at_once, model, 7)


def test_a_model_with_nothing_to_do() -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(4, 3)(x))
    result = optimize(model)
    assert (result.model, result.applied) == (model, ())
    assert result.multiply_adds_before == result.multiply_adds


def test_only_some() -> None:
    x = keras.Input((12, 12, 3))
    y = layers.BatchNormalization()(network(x))
    some = partial(optimize, rewrites=NECESSARY)(keras.Model(x, y))
    assert some.applied == ("recognize_gelu", "fold_batch_norm", "scale_channels")
    assert some.multiply_adds == some.multiply_adds_before + 144 * (3 + 4)  # one behind a dropout


def test_a_backbone_of_a_free_size() -> None:
    free = keras.Input((None, None, 3))
    backbone = keras.Model(free, network(free), name="backbone")
    x = keras.Input((12, 12, 3))
    result = optimize(keras.Model(x, layers.GlobalAveragePooling2D()(backbone(x))))
    assert result.multiply_adds_before == 144 * 27 * 4 + 36 * 4 * 5
    assert result.multiply_adds == 144 * 3 + 36 * 27 * 4 + 36 * 4 * 5
