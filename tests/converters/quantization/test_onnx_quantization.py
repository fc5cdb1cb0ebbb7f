"""ONNX int8: the shared quantization as QDQ pairs, for every processor."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.schema_py_generated import TensorType
from onnx import TensorProto, numpy_helper

from converters.errors import RequestError
from converters.onnx import conversion as to_onnx
from converters.quantization.calibration import calibrate
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target, WeightGrid
from converters.quantization.tflite import quantize_static
from converters.tflite.flatbuffer import read_flatbuffer

SAFE = QuantizationSettings(Level.FAST, grid=WeightGrid.PAIR_SAFE, few_pictures=True)


@pytest.fixture(
    scope="module", params=[Level.FAST, pytest.param(Level.EQUALIZED, marks=pytest.mark.slow)]
)
def calibrated(tiny, request):
    """By weight grid."""
    return {
        grid: calibrate(
            tiny.tflite_float32, tiny.pictures, replace(SAFE, level=request.param, grid=grid)
        )
        for grid in WeightGrid
    }


@pytest.fixture(scope="module")
def quantized(tiny, calibrated) -> dict[Target, onnx.ModelProto]:
    return {
        target: quantize_int8(
            tiny.onnx_float32, calibrated[target.grid], tiny.pictures, target
        ).model
        for target in Target
    }


def answers(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        to_onnx.serialize(model), providers=["CPUExecutionProvider"]
    )
    return session.run(["probabilities"], {"image": pictures.astype(np.float32)})[0]


def integer_kernels(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray, np.dtype]]:
    """Integers, steps and the activation's type of every convolution, by its node's name."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            activation, kernel = (made_by[name] for name in node.input[:2])
            assert (activation.op_type, kernel.op_type) == ("DequantizeLinear",) * 2
            found[node.name] = (
                values[kernel.input[0]],
                values[kernel.input[1]],
                values[activation.input[2]].dtype,
            )
    return found


@pytest.mark.parametrize("target", [Target.AUTO, Target.VNNI, Target.ARM])
def test_answers_are_near_for_any_batch(tiny, quantized, target: Target) -> None:
    answer = answers(quantized[target], tiny.pictures)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, tiny.expected, atol=0.1)
    one = answers(quantized[target], tiny.pictures[:1])
    np.testing.assert_allclose(one, answer[:1], atol=1e-6)


def test_every_convolution_is_integer_with_a_step_per_channel(quantized) -> None:
    kernels = integer_kernels(quantized[Target.VNNI])
    assert len(kernels) == 49
    for integers, steps, activation in kernels.values():
        assert (integers.dtype, activation) == (np.int8, np.uint8)
        assert steps.shape == (len(integers),)
        assert -127 <= integers.min() <= integers.max() <= 127
        live = np.abs(integers).reshape(len(integers), -1).max(axis=1)
        assert set(live) <= {0, 127}  # the largest weight of a channel uses the last level


@pytest.mark.parametrize("target", list(Target))
def test_tflite_holds_the_same_integers(tiny, calibrated, quantized, target: Target) -> None:
    """Steps as well; kernels are told apart by what they hold."""
    found = calibrated[target.grid]
    data = quantize_static(tiny.tflite_float32, found.network, found.scheme, integer_only=False)
    in_tflite = {}
    for tensor in integer_tensors(data):
        integers, steps = tensor
        if integers.ndim == 4:
            in_tflite[integers.transpose(0, 3, 1, 2).tobytes()] = steps
    in_onnx = {
        integers.tobytes(): steps
        for integers, steps, _ in integer_kernels(quantized[target]).values()
    }
    assert len(in_onnx) == 49
    for integers, steps in in_onnx.items():
        np.testing.assert_allclose(in_tflite[integers], steps, rtol=1e-6)


def integer_tensors(data: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Constants of a TFLite file with their steps."""
    model = read_flatbuffer(data)
    return [
        (
            np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8).reshape(tensor.shape),
            np.asarray(tensor.quantization.scale),
        )
        for tensor in model.subgraphs[0].tensors
        if tensor.type == TensorType.INT8 and model.buffers[tensor.buffer].data is not None
    ]


@pytest.mark.parametrize("target", [Target.AUTO, Target.AVX2])
def test_sums_of_two_products_fit_16_bits_without_vnni(quantized, target: Target) -> None:
    for integers, _, activation in integer_kernels(quantized[target]).values():
        assert activation == np.uint8
        for order in ((0, 2, 3, 1), (0, 1, 2, 3)):  # as runtimes unroll kernels
            flat = integers.transpose(order).reshape(len(integers), -1).astype(np.int32)
            for part in (np.maximum(flat, 0), np.minimum(flat, 0)):
                pairs = 255 * (part[:, :-1] + part[:, 1:])
                assert -(2**15) <= pairs.min(initial=0) <= pairs.max(initial=0) < 2**15


def test_unsafe_weights_are_refused_where_they_saturate(tiny, calibrated) -> None:
    full = calibrated[WeightGrid.FULL]
    with pytest.raises(RequestError) as caught:
        quantize_int8(tiny.onnx_float32, full, tiny.pictures, Target.AVX2)
    assert str(caught.value) == (
        "int8.onnx for avx2: weights of 8 bits saturate there; expected 8 bits, neighbours of one "
        "sign together at most 128; calibrate with that grid or choose another processor"
    )
    quantize_int8(tiny.onnx_float32, full, tiny.pictures, Target.VNNI)


def test_arm_takes_signed_activations(quantized) -> None:
    kinds = {activation for *_, activation in integer_kernels(quantized[Target.ARM]).values()}
    assert kinds == {np.dtype(np.int8)}


def test_the_head_is_a_product_of_integers_with_float_logits(quantized) -> None:
    graph = quantized[Target.AUTO].graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    (dense,) = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert values[dense.input[1]].dtype == np.uint8
    softmax = made_by["probabilities"]
    logits = made_by[softmax.input[0]]
    scaled = made_by[logits.input[0]]
    assert (softmax.op_type, logits.op_type, scaled.op_type) == ("Softmax", "Add", "Mul")
    cast = made_by[scaled.input[0]]
    assert cast.op_type == "Cast"
    assert cast.input[0] == dense.output[0]  # nothing rounds the logits


def test_sums_and_pooling_between_kernels_are_fused_into_integer_ones(
    quantized, tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as_run.onnx")
    options.log_severity_level = 3  # it warns that the file is for this processor only
    onnxruntime.InferenceSession(
        to_onnx.serialize(quantized[Target.AUTO]), options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "as_run.onnx").graph.node]
    assert kinds.count("QLinearConv") == 49
    assert kinds.count("QLinearAdd") == 12  # the other four sums are part of a convolution
    assert kinds.count("QLinearConcat") == 4
    assert kinds.count("Add") <= 2
    assert "Pad" not in kinds  # kernels and pools have the zeros as their own


def test_preprocessing_stays_float(quantized) -> None:
    made_by = {name: node for node in quantized[Target.AUTO].graph.node for name in node.output}
    for node in quantized[Target.AUTO].graph.node:
        if node.op_type in ("Sub", "Slice"):
            maker = made_by.get(node.input[0])
            assert maker is None or maker.op_type != "DequantizeLinear"


def test_fast_has_the_float_weights_of_the_file(tiny) -> None:
    fast = calibrate(tiny.tflite_float32, tiny.pictures, replace(SAFE, level=Level.FAST))
    model = quantize_int8(tiny.onnx_float32, fast, tiny.pictures, Target.VNNI).model
    np.testing.assert_allclose(answers(model, tiny.pictures), tiny.expected, atol=0.15)


def test_layers_kept_in_float(tiny) -> None:
    method = replace(SAFE, keep_float=("res5c_branch2b",))
    layers = {layer.name for layer in tiny.serving._flatten_layers()}
    kept = calibrate(tiny.tflite_float32, tiny.pictures, method, layers)
    model = quantize_int8(tiny.onnx_float32, kept, tiny.pictures, Target.AUTO).model
    constants = {t.name: t for t in model.graph.initializer}
    floats = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    ]
    assert len(floats) == 1
    assert "res5c_branch2b" in floats[0]


def test_a_graph_that_answers_otherwise_is_quantized_on_its_own_ranges(tiny, calibrated) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(tiny.onnx_float32)
    for tensor in other.graph.initializer:
        if len(tensor.dims) == 4:
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    found = quantize_int8(other, calibrated[WeightGrid.PAIR_SAFE], tiny.pictures, Target.AUTO)
    assert found.own_ranges.startswith(
        "the graph of the TFLite file answers otherwise than fp32.onnx ("
    )
    expected = answers(other, tiny.pictures)
    np.testing.assert_allclose(answers(found.model, tiny.pictures), expected, atol=0.1)


def test_the_source_is_not_changed_and_the_bytes_are_the_same(tiny, calibrated) -> None:
    before = to_onnx.serialize(tiny.onnx_float32)
    once, twice = (
        to_onnx.serialize(
            quantize_int8(
                tiny.onnx_float32, calibrated[WeightGrid.PAIR_SAFE], tiny.pictures, Target.AUTO
            ).model
        )
        for _ in range(2)
    )
    assert to_onnx.serialize(tiny.onnx_float32) == before
    assert once == twice


def test_endpoints_of_the_artifact(tiny) -> None:
    (image,), (answer,) = tiny.onnx_int8.graph.input, tiny.onnx_int8.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", TensorProto.UINT8)
    assert (answer.name, answer.type.tensor_type.elem_type) == ("probabilities", TensorProto.FLOAT)
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
