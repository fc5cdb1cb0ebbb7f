"""Integers of a network whose strides were moved up: padding and subsampling change no value."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.onnx import conversion as to_onnx
from converters.quantization.answer_metrics import sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate
from converters.quantization.equalization import find_channels
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target, WeightGrid
from converters.quantization.tflite import quantize_static
from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.tflite.flatbuffer import read_flatbuffer


@pytest.fixture(scope="module")
def staged(networks):
    return networks["staged"]


@pytest.fixture(scope="module")
def calibrated(staged) -> CalibratedNetwork:
    method = QuantizationSettings(Level.EQUALIZED, grid=WeightGrid.PAIR_SAFE)
    return calibrate(staged.float32, staged.pictures, method, staged.layers)


def test_the_network_is_a_hoisted_one(staged) -> None:
    kinds = {operation.layer: operation.kind for operation in staged.network.operations}
    assert kinds["wide_pad"] == "PAD"
    assert kinds["sum_subsample"] == "MAX_POOL_2D"
    folded = fold_batch_norm(staged.model).model
    assert "wide_pad" not in {layer.name for layer in folded.layers}


def test_groups_go_through_padding_and_subsampling(staged) -> None:
    network = staged.network
    groups = {
        frozenset(network.operations[index].layer for index in group.writers): (
            {network.writers[tensor].layer for tensor in group.tensors},
            {network.operations[index].layer for index in group.readers},
        )
        for group in find_channels(network).groups
    }
    tensors, readers = groups[frozenset({"reduce"})]
    assert "wide_pad" in tensors
    assert readers == {"wide"}
    tensors, readers = groups[frozenset({"stem", "expand"})]
    assert "sum_subsample" in tensors
    assert readers == {"reduce", "next", "shortcut"}


def test_padding_and_subsampling_keep_scale_and_zero(staged, calibrated) -> None:
    """Zeros are the zero point, so that a padded zero is exactly 0."""
    data = quantize_static(
        staged.float32, calibrated.network, calibrated.scheme, integer_only=False
    )
    model = read_flatbuffer(data)
    (graph,) = model.subgraphs
    moving = {schema.BuiltinOperator.PAD, schema.BuiltinOperator.MAX_POOL_2D}
    found = 0
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode in moving:
            before, after = (graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
            assert before.type == after.type == schema.TensorType.INT8
            for part in ("scale", "zeroPoint"):
                one, other = (getattr(t.quantization, part) for t in (before, after))
                np.testing.assert_array_equal(one, other)
            found += 1
    assert found == 2


def test_answers_stay_near_in_both_runtimes(staged, calibrated, classify, classify_onnx) -> None:
    pictures = staged.pictures
    exact = np.asarray(
        keras.ops.convert_to_numpy(staged.serving(pictures.astype(np.float32), training=False))
    )
    data = quantize_static(
        staged.float32, calibrated.network, calibrated.scheme, integer_only=False
    )
    assert sqnr_db(exact, classify(data, pictures)) > 30
    float32 = to_onnx.convert_float32(staged.serving)
    graph = quantize_int8(float32, calibrated, pictures, Target.AUTO).model
    assert sqnr_db(exact, classify_onnx(graph, pictures)) > 30
