"""int8.onnx: static QDQ per channel, from a calibrated network.

The graph is written anew from the TFLite network, operator by operator, so both int8 files hold the
same weights and ranges whatever the two converters fold and rename. It is proven: its float version
must answer as fp32.onnx does. A network with an operator that cannot be written so is quantized by
``converters.quantization.onnx_own_ranges`` instead.

Only operators with a kernel compute in integers, without depthwise convolutions between float
operators. All others compute in float between them, which costs little time in onnxruntime and
rounds fewer tensors: a sum, a swish or a normalization is rounded once, where the next kernel reads
it. Where both sides are rounded anyway, onnxruntime fuses the operator into an integer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.errors import ModelConversionError, RequestError
from converters.onnx.conversion import OPSET
from converters.quantization.answer_metrics import centred_log_probabilities, sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.onnx_builder import OnnxBuilder, Rounding
from converters.quantization.onnx_integer_head import multiply_in_integers
from converters.quantization.onnx_kernels import Kernels
from converters.quantization.onnx_operators import OPERATORS, Emit
from converters.quantization.onnx_own_ranges import quantize_on_own_ranges
from converters.quantization.pixel_offset import with_whole_offset
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.settings import Target, WeightGrid
from converters.quantization.tflite_network import (
    DENSE,
    DEPTHWISE,
    SAME_VALUES,
    WITH_KERNEL,
    Operation,
    TfliteNetwork,
)

PROOF_PICTURES = 2
"""Calibration pictures that the float version must answer as fp32.onnx does, in one batch."""

PROOF_DB = 40.0
"""Least SQNR of its centred logits. Converters differ by 90 dB and more, a wrong graph by 0."""

PROOF_DIFFERENCE = 1e-4
"""A difference in probability that is enough as well: equal answers have no logits to compare."""


@dataclass(frozen=True)
class QuantizedOnnx:
    """An int8 model, float32 in and out."""

    model: onnx.ModelProto
    own_ranges: str = ""
    """The reason why ranges and weights are not those of the TFLite files; empty if they are."""


def quantize_int8(
    float32: onnx.ModelProto, calibrated: CalibratedNetwork, pictures: np.ndarray, target: Target
) -> QuantizedOnnx:
    """Quantize with the ranges and weights of the TFLite files.

    More operators are float than there. So biases are corrected again for this file.

    Args:
        float32: A model made by ``converters.onnx.conversion.convert_float32``.
        calibrated: The calibrated network of the same model.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``.
        target: The processor that the file is for. ``calibrated`` has its weight grid.

    Raises:
        RequestError: The weights of the calibrated network saturate on that processor.
    """
    network, grid = calibrated.network, calibrated.scheme.grid
    if target.grid is WeightGrid.PAIR_SAFE and grid is not target.grid:
        raise RequestError(
            f"int8.onnx for {target}: weights of {grid} saturate there; expected {target.grid}; "
            f"calibrate with that grid or choose another processor"
        )
    try:
        exact = write_graph(network, Kernels(calibrated.float_parameters, None), {})
        _prove(exact, float32, pictures[:PROOF_PICTURES])
    except ModelConversionError as problem:
        model = quantize_on_own_ranges(float32, pictures, target)
        return QuantizedOnnx(model, str(problem))
    scheme = for_onnxruntime(calibrated, pictures)
    model = _model_of(integer_graph(network, scheme, target))
    multiply_in_integers(model)
    return QuantizedOnnx(model)


def for_onnxruntime(calibrated: CalibratedNetwork, pictures: np.ndarray) -> Scheme:
    """Return the scheme of ``int8.onnx``, with biases that fit its rounding.

    Args:
        calibrated: The calibrated network.
        pictures: Its calibration pictures.
    """
    kept = float_operations(calibrated.network, calibrated.scheme)
    kept |= calibrated.scheme.float_operations
    # onnxruntime would convert stored integers to float in every inference
    scheme = replace(calibrated.scheme, float_operations=kept, weight_only=frozenset())
    return calibrated.corrected(pictures, scheme)


def integer_graph(network: TfliteNetwork, scheme: Scheme, target: Target) -> OnnxBuilder:
    """Return the graph with its integers, whose names the builder knows."""
    rounded = rounded_tensors(network, scheme.float_operations)
    roundings = {
        tensor: Rounding.of(scheme.ranges[tensor], signed=target is Target.ARM)
        for tensor in rounded
    }
    network = with_whole_offset(network, rounded)
    return _graph_of(network, Kernels(scheme.parameters, scheme), roundings)


def float_operations(network: TfliteNetwork, scheme: Scheme) -> frozenset[int]:
    """Return the operators that compute in float in the ONNX file, with those of the scheme."""

    def has_ranges(operation: Operation) -> bool:
        return {operation.inputs[0], operation.output} <= scheme.ranges.keys()

    integer = {
        op.index
        for op in network.weighted
        if op.index not in scheme.float_operations
        and has_ranges(op)
        and not _is_between_floats(network, op)
    }
    for operation in () if scheme.has_float_head else _before_head(network):
        if not has_ranges(operation) or operation.index in scheme.float_operations:
            break
        integer.add(operation.index)
    written = {network.operations[i].output for i in integer}
    for operation in network.operations:  # what is rounded already is moved as it is
        moves = operation.kind in SAME_VALUES and operation.inputs[0] in written
        if moves and has_ranges(operation):
            integer.add(operation.index)
            written.add(operation.output)
    read = {network.operations[i].inputs[0] for i in integer}
    for operation in reversed(network.operations):  # and what is read by a kernel
        if operation.kind in SAME_VALUES and operation.output in read and has_ranges(operation):
            integer.add(operation.index)
            read.add(operation.inputs[0])
    return frozenset(op.index for op in network.operations if op.index not in integer)


def _is_between_floats(network: TfliteNetwork, operation: Operation) -> bool:
    """Return True for a depthwise convolution that reads and writes what is not rounded otherwise.

    After a swish and before one it would be the only reason to round both tensors, for nine
    products a value.
    """
    if operation.kind != DEPTHWISE or operation.activation != "NONE":
        return False
    source = network.writers.get(operation.inputs[0])
    while source is not None and source.kind in SAME_VALUES:
        source = network.writers.get(source.inputs[0])
    readers = network.readers.get(operation.output, ())
    around = (*readers, *(() if source is None else (source,)))
    return source is not None and not any(
        op.kind in WITH_KERNEL or op.kind in SAME_VALUES for op in around
    )


def _before_head(network: TfliteNetwork) -> Iterator[Operation]:
    """Yield the pooling before the dense head, from its end: the head multiplies integers."""
    dense = network.dense_head
    tensor = -1 if dense is None else dense.inputs[0]
    while (operation := network.writers.get(tensor)) is not None:
        if operation.kind not in SAME_VALUES | {"AVERAGE_POOL_2D", "MEAN"}:
            return
        yield operation
        tensor = operation.inputs[0]


def write_graph(
    network: TfliteNetwork, kernels: Kernels, roundings: Mapping[int, Rounding]
) -> onnx.ModelProto:
    """Write the network as an ONNX model.

    Args:
        network: The graph.
        kernels: Its weights.
        roundings: Integers of the rounded tensors; empty for a float model.

    Raises:
        ModelConversionError: An operator is not known here.
    """
    return _model_of(_graph_of(network, kernels, roundings))


def _graph_of(
    network: TfliteNetwork, kernels: Kernels, roundings: Mapping[int, Rounding]
) -> OnnxBuilder:
    graph = OnnxBuilder(network, roundings)
    graph.write(network.image, INPUT_NAME)
    for operation in network.operations:
        emit: Emit
        if operation.kind == DENSE or operation is network.dense_head:
            emit = kernels.dense
        elif operation.kind in WITH_KERNEL:
            emit = kernels.convolution
        elif operation.kind == "TRANSPOSE_CONV":
            emit = kernels.transposed_convolution
        elif operation.kind in OPERATORS:
            emit = OPERATORS[operation.kind]
        else:
            raise ModelConversionError(
                f"layer {operation.layer!r} computes {operation.kind}, which is not written here"
            )
        emit(graph, operation)
    graph.rename(graph.read(network.answer), OUTPUT_NAME)
    return graph


def _model_of(graph: OnnxBuilder) -> onnx.ModelProto:
    network = graph.network
    picture, classes = network.shapes[network.image], network.shapes[network.answer]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "serving",
            [helper.make_tensor_value_info(INPUT_NAME, _FLOAT, ["batch", *picture[1:]])],
            [helper.make_tensor_value_info(OUTPUT_NAME, _FLOAT, ["batch", *classes[1:]])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )


_FLOAT = onnx.TensorProto.FLOAT
_IR_VERSION = 8  # that of opset 17


def _prove(exact: onnx.ModelProto, float32: onnx.ModelProto, pictures: np.ndarray) -> None:
    """Compare the answers of two float models.

    Raises:
        ModelConversionError: They differ, or a runtime refuses the first one.
    """
    batch = np.asarray(pictures, np.float32)
    expected = _answers(float32, batch)
    try:
        actual = _answers(exact, batch)
    except Exception as problem:  # onnxruntime has a class for every kind of failure
        reason = str(problem).strip().partition("\n")[0]
        raise ModelConversionError(
            f"the graph of the TFLite file is refused: {reason}"
        ) from problem
    if np.abs(actual - expected).max(initial=0.0) <= PROOF_DIFFERENCE:
        return
    found = sqnr_db(centred_log_probabilities(expected), centred_log_probabilities(actual))
    if not found >= PROOF_DB:
        raise ModelConversionError(
            f"the graph of the TFLite file answers otherwise than fp32.onnx ({found:.1f} dB)"
        )


def _answers(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (answers,) = session.run([OUTPUT_NAME], {INPUT_NAME: batch})
    found: np.ndarray = answers
    return found
