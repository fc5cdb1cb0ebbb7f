"""ONNX int8: QDQ pairs, per channel, 7-bit weights; preprocessing and softmax stay float."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from converters import onnx as conversion
from converters.errors import ConversionError
from converters.quantization.onnx import quantize_int8


def test_answers_are_near_for_any_batch(tiny) -> None:
    session = onnxruntime.InferenceSession(
        conversion.serialize(tiny.onnx_int8), providers=["CPUExecutionProvider"]
    )
    answer = session.run(["probabilities"], {"image": tiny.pictures})[0]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, tiny.expected, atol=0.15)
    one = session.run(["probabilities"], {"image": tiny.pictures[:1]})[0]
    np.testing.assert_allclose(one, answer[:1], atol=1e-6)


def test_endpoints(tiny) -> None:
    (image,), (answer,) = tiny.onnx_int8.graph.input, tiny.onnx_int8.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", TensorProto.UINT8)
    assert (answer.name, answer.type.tensor_type.elem_type) == ("probabilities", TensorProto.FLOAT)
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_weights_have_7_bits_and_a_scale_per_channel(tiny) -> None:
    graph = tiny.onnx_int8.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 53
    for node in convolutions:
        activation, kernel = (made_by[name] for name in node.input[:2])
        assert (activation.op_type, kernel.op_type) == ("DequantizeLinear", "DequantizeLinear")
        weights, scales = values[kernel.input[0]], values[kernel.input[1]]
        assert weights.dtype == np.int8
        assert -64 <= weights.min() <= weights.max() <= 64
        assert scales.shape == (weights.shape[0],)
        assert values[activation.input[2]].dtype == np.uint8


def test_preprocessing_and_softmax_stay_float(tiny) -> None:
    made_by = {name: node for node in tiny.onnx_int8.graph.node for name in node.output}
    seen = set()
    for node in tiny.onnx_int8.graph.node:
        if node.op_type in ("Sub", "Softmax", "Slice"):
            seen.add(node.op_type)
            maker = made_by.get(node.input[0])
            if node.op_type != "Softmax":
                assert maker is None or maker.op_type != "DequantizeLinear"
    assert seen == {"Sub", "Softmax", "Slice"}
    assert made_by["probabilities"].op_type == "Softmax"


def test_the_source_is_not_changed(tiny) -> None:
    before = conversion.serialize(tiny.onnx_float32)
    quantize_int8(tiny.onnx_float32, tiny.pictures[:1])
    assert conversion.serialize(tiny.onnx_float32) == before


def test_progress_and_silence(tiny, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    quantize_int8(
        tiny.onnx_float32,
        tiny.pictures[:3],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert capfd.readouterr().out == ""


def test_a_memory_map_of_pictures_is_read_as_it_is(tiny, tmp_path) -> None:
    np.save(tmp_path / "pictures.npy", tiny.pictures)
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    once, twice = (
        conversion.serialize(quantize_int8(tiny.onnx_float32, pictures))
        for pictures in (tiny.pictures, mapped)
    )
    assert once == twice


def test_no_pictures(tiny) -> None:
    with pytest.raises(ConversionError) as caught:
        quantize_int8(tiny.onnx_float32, tiny.pictures[:0])
    assert str(caught.value) == (
        "calibration: no pictures; expected at least one; pass --calibration DIR"
    )


def test_not_a_number_in_activations_is_an_error(tiny) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(tiny.onnx_float32)
    for tensor in broken.graph.initializer:
        if len(tensor.dims) == 4:
            values = numpy_helper.to_array(tensor).copy()
            values[0] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            break
    with pytest.raises(ConversionError) as caught:
        quantize_int8(broken, tiny.pictures[:2])
    assert str(caught.value).startswith("calibration: tensor '")
    assert str(caught.value).endswith(
        "' holds NaN or infinite values; the model's weights or the --preprocessing do not fit; "
        "check the float artifacts first"
    )
