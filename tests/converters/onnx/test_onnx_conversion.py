"""ONNX: float32 equals Keras for any batch; metadata and bytes are stable."""

from collections.abc import Callable

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import TensorProto
from tf2onnx.optimizer.reshape_optimizer import ReshapeOptimizer

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.onnx.float16 import convert_float16
from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model


def classify(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_onnx.serialize(model), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["probabilities"], {"image": pictures})[0]


def shape_of(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_float32_equals_keras_for_any_batch(tiny, batch: int) -> None:
    actual = classify(tiny.onnx_float32, tiny.pictures[:batch].astype(np.float32))
    np.testing.assert_allclose(actual, tiny.expected[:batch], atol=1e-5)


def test_endpoints(tiny) -> None:
    for model in (tiny.onnx_float32, convert_float16(tiny.onnx_float32)):
        (image,), (answer,) = model.graph.input, model.graph.output
        assert (image.name, shape_of(image)) == ("image", ["batch", 32, 32, 3])
        assert (answer.name, shape_of(answer)) == ("probabilities", ["batch", 5])
        assert image.type.tensor_type.elem_type == TensorProto.FLOAT
        assert answer.type.tensor_type.elem_type == TensorProto.FLOAT
        assert [s.version for s in model.opset_import if s.domain in ("", "ai.onnx")] == [17]


def test_no_batch_normalization_is_left(tiny) -> None:
    used = {node.op_type for node in tiny.onnx_float32.graph.node}
    assert "Conv" in used
    assert "BatchNormalization" not in used


def test_uint8_pixels_mean_the_same(tiny) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny.onnx_float32)
    to_onnx.use_uint8_input(model)
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(
        classify(model, tiny.pictures),
        classify(tiny.onnx_float32, tiny.pictures.astype(np.float32)),
    )


def test_metadata_replaces_what_is_there(tiny) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny.onnx_float32)
    to_onnx.add_metadata(model, {"name": "old", "labels": "x"})
    to_onnx.add_metadata(model, {"name": "pets"})
    again = onnx.load_from_string(to_onnx.serialize(model))
    assert {p.key: p.value for p in again.metadata_props} == {"name": "pets"}


def converted(layer: Callable[[object], object], shape: tuple[int, ...] = (8, 8, 3)):
    """A small classifier with this layer, and its ONNX model."""
    keras.utils.set_random_seed(0)
    x = keras.Input(shape)
    y = layers.GlobalAveragePooling2D()(layer(x))
    model = keras.Model(x, layers.Dense(3)(y))
    return model, to_onnx.convert_float32(serving_model(model, PREPROCESSINGS["none"]))


def test_an_operator_that_onnx_lacks_is_named_with_its_layer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Unusual(layers.Layer):
        def call(self, x: object) -> object:
            return keras.ops.erfinv(x / 300)

    with pytest.raises(ModelConversionError) as caught:
        converted(Unusual(name="odd"))
    assert str(caught.value) == (
        "ONNX has no operator Erfinv, which layer 'odd' computes; "
        "replace the layer or leave the .onnx formats out with --formats"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: layers.Conv2D(4, 3, activation="gelu")(x),
        lambda x: layers.Conv2D(4, 3, activation="celu")(x),
        lambda x: keras.ops.log1p(layers.Conv2D(4, 3, activation="relu")(x)),
        lambda x: layers.Conv2D(4, 3, activation="hard_sigmoid")(x),
        lambda x: layers.Conv2D(4, 3)(layers.Conv2D(4, 1, use_bias=False)(x) + 3.0),
        lambda x: layers.Conv2D(6, 3, groups=3, padding="same", strides=2)(x),
        lambda x: layers.Conv2D(4, 3, dilation_rate=2)(x),
        lambda x: layers.SeparableConv2D(4, 3, depth_multiplier=2)(x),
    ],
    ids=["gelu", "celu", "log1p", "hard_sigmoid", "scalar sum", "groups", "dilated", "separable"],
)
def test_layers_that_tf2onnx_needs_help_with_equal_keras(
    layer: Callable[[object], object], tiny
) -> None:
    model, onnx_model = converted(layer)
    pictures = tiny.pictures[:2, :8, :8].astype(np.float32)
    expected = keras.ops.softmax(model(pictures, training=False)).numpy()
    np.testing.assert_allclose(classify(onnx_model, pictures), expected, atol=1e-5)


def test_a_pass_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch, tiny) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such pass")

    monkeypatch.setattr(ReshapeOptimizer, "_optimize", fail)
    model, onnx_model = converted(lambda x: layers.Conv2D(4, 3)(x))
    pictures = tiny.pictures[:2, :8, :8].astype(np.float32)
    expected = keras.ops.softmax(model(pictures, training=False)).numpy()
    np.testing.assert_allclose(classify(onnx_model, pictures), expected, atol=1e-5)
