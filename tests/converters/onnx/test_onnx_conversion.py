"""ONNX: float32 equals Keras for any batch; float16 is near; metadata and bytes are stable."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import TensorProto

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.serving import serving_model


def classify(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_onnx.serialize(model), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["probabilities"], {"image": pictures})[0]


@pytest.fixture(scope="module")
def float16(tiny) -> onnx.ModelProto:
    return to_onnx.convert_float16(tiny.onnx_float32)


def shape_of(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_float32_equals_keras_for_any_batch(tiny, batch: int) -> None:
    actual = classify(tiny.onnx_float32, tiny.pictures[:batch].astype(np.float32))
    np.testing.assert_allclose(actual, tiny.expected[:batch], atol=1e-5)


def test_endpoints(tiny, float16: onnx.ModelProto) -> None:
    for model in (tiny.onnx_float32, float16):
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


def test_float16_is_near_and_half_the_size(tiny, float16: onnx.ModelProto) -> None:
    pictures = tiny.pictures.astype(np.float32)
    np.testing.assert_allclose(classify(float16, pictures), tiny.expected, atol=5e-3)
    kinds = {tensor.data_type for tensor in float16.graph.initializer if len(tensor.dims) > 1}
    assert kinds == {TensorProto.FLOAT16}
    assert float16.ByteSize() < 0.6 * tiny.onnx_float32.ByteSize()


def test_float16_leaves_its_source_alone(tiny) -> None:
    before = to_onnx.serialize(tiny.onnx_float32)
    to_onnx.convert_float16(tiny.onnx_float32)
    assert to_onnx.serialize(tiny.onnx_float32) == before


def test_float16_nodes_stand_in_order(float16: onnx.ModelProto) -> None:
    known = {value.name for value in float16.graph.input}
    known |= {tensor.name for tensor in float16.graph.initializer} | {""}
    for node in float16.graph.node:
        assert known.issuperset(node.input)
        known.update(node.output)


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


def test_an_operator_that_onnx_lacks_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Activation("gelu")(layers.GlobalAveragePooling2D()(x))  # tf.math.erfc inside
    serving = serving_model(keras.Model(x, layers.Dense(3)(y)), PREPROCESSINGS["none"])
    with pytest.raises(ModelConversionError) as caught:
        to_onnx.convert_float32(serving)
    assert str(caught.value) == (
        "ONNX cannot express this model: No Op registered for Erfc with domain_version of 17; "
        "replace the layer or leave the .onnx formats out with --formats"
    )
    assert capfd.readouterr().out == ""
