"""The integers of a runtime beside those of the simulation, operator by operator.

A copy of the file has all its 8-bit tensors as outputs, and must still give the same answers to the
bit. Every simulated operator reads the integers that the runtime itself computed before it, so no
difference adds to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import helper

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.onnx import conversion as to_onnx
from converters.quantization.answer_metrics import centred_log_probabilities, sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import for_litert
from converters.quantization.integer_simulation import (
    round_parameters,
    rounding,
    simulate,
    with_rounded_constants,
)
from converters.quantization.onnx import for_onnxruntime, integer_graph, quantize_int8
from converters.quantization.onnx_builder import Layout
from converters.quantization.scheme import Scheme
from converters.quantization.settings import Target
from converters.quantization.tensorflow_execution import centred_logits, compute, run
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import Operation, TfliteNetwork
from converters.tflite.flatbuffer import read_flatbuffer, write_flatbuffer


class Runtime(StrEnum):
    """A runtime, with the kernels that it uses."""

    XNNPACK = "LiteRT with XNNPACK"
    """The default. Operators that XNNPACK lacks run in LiteRT's own kernels."""
    BUILTIN = "LiteRT without XNNPACK"
    ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Cause:
    """The reason why a kind of operator is not bit-true in a runtime."""

    share: float
    """Bound of the share of values that are one step apart."""
    reason: str


_TWICE = "products with a multiplier in fixed point are rounded twice"
_COARSE = "XNNPACK converts an input to the output's step with a multiplier of 8 bits"
_UNLIKE_XNNPACK = "simulated with XNNPACK's multipliers of 8 bits"
_HALVES = "halves are rounded in another direction"
_UNROUNDED = "float operators read float tensors unrounded, in the simulation rounded"

CAUSES: Mapping[tuple[Runtime, str], Cause] = {
    (Runtime.XNNPACK, "ADD in float"): Cause(0.5, _UNROUNDED),
    (Runtime.XNNPACK, "BATCH_MATMUL"): Cause(0.03, f"not in XNNPACK: {_TWICE}"),
    (Runtime.XNNPACK, "HARD_SWISH"): Cause(0.03, "not in XNNPACK: computed in 16 bits"),
    (Runtime.XNNPACK, "MAXIMUM"): Cause(0.25, _COARSE),
    (Runtime.XNNPACK, "PACK"): Cause(0.25, _COARSE),
    (Runtime.XNNPACK, "RESIZE_BILINEAR"): Cause(0.03, "weights of 11 bits"),
    (Runtime.XNNPACK, "SELECT"): Cause(0.25, _COARSE),
    (Runtime.XNNPACK, "SELECT_V2"): Cause(0.25, _COARSE),
    (Runtime.BUILTIN, "ADD"): Cause(0.6, _HALVES),
    (Runtime.BUILTIN, "ADD in float"): Cause(0.5, _UNROUNDED),
    (Runtime.BUILTIN, "BATCH_MATMUL"): Cause(0.03, _TWICE),
    (Runtime.BUILTIN, "CONCATENATION"): Cause(0.25, _UNLIKE_XNNPACK),
    (Runtime.BUILTIN, "CONV_2D"): Cause(0.03, _TWICE),
    (Runtime.BUILTIN, "DEPTHWISE_CONV_2D"): Cause(0.03, _TWICE),
    (Runtime.BUILTIN, "FULLY_CONNECTED"): Cause(0.03, _TWICE),
    (Runtime.BUILTIN, "HARD_SWISH"): Cause(0.03, "computed in 16 bits"),
    (Runtime.BUILTIN, "LEAKY_RELU"): Cause(0.5, f"{_UNLIKE_XNNPACK}; {_TWICE}"),
    (Runtime.BUILTIN, "MEAN"): Cause(0.5, "the shift of the zero points is a whole step"),
    (Runtime.BUILTIN, "MUL"): Cause(0.03, _TWICE),
    (Runtime.BUILTIN, "RESIZE_BILINEAR"): Cause(0.1, f"weights of 10 bits; {_HALVES}"),
    (Runtime.BUILTIN, "TRANSPOSE_CONV"): Cause(0.03, _TWICE),
    (Runtime.ONNXRUNTIME, "ADD in float"): Cause(0.6, _HALVES),
    (Runtime.ONNXRUNTIME, "AVERAGE_POOL_2D"): Cause(0.2, _HALVES),
    (Runtime.ONNXRUNTIME, "AVERAGE_POOL_2D in float"): Cause(0.2, _HALVES),
    (Runtime.ONNXRUNTIME, "MUL in float"): Cause(0.6, _HALVES),
    (Runtime.ONNXRUNTIME, "RESIZE_BILINEAR in float"): Cause(0.2, _HALVES),
}
"""All that is known not to be bit-true. It is one step at most."""

FLOAT_NOISE = 1e-4
"""Bound of the share of values one step apart in all other operators: the runtime scales an exact
sum once, in float32, while the simulation sums products in float32."""


def allowed(runtime: Runtime, kind: str) -> float:
    """Return the bound of the share of values of an operator's kind that are one step apart."""
    cause = CAUSES.get((runtime, kind))
    return FLOAT_NOISE if cause is None else cause.share


@dataclass(frozen=True)
class Integers:
    """A rounded tensor as a runtime computed it: ``value = step * (integer - zero)``."""

    values: np.ndarray
    """``(pictures, *shape in the TFLite file)``."""
    step: np.float32
    zero: int


@dataclass(frozen=True)
class Difference:
    """Distances of one operator's integers: simulated minus computed by the runtime, in steps."""

    operation: Operation
    is_float: bool
    """True if the operator computes in float and only its output is rounded."""
    distances: np.ndarray

    @property
    def kind(self) -> str:
        """The operator's kind: ``ADD``, or ``ADD in float``."""
        return self.operation.kind + " in float" * self.is_float

    def apart(self, steps: int) -> int:
        """Return the number of values that are this many steps apart."""
        return int(np.count_nonzero(np.abs(self.distances) == steps))

    @property
    def largest(self) -> int:
        """The largest distance."""
        return int(np.abs(self.distances).max())


def compare_litert(
    float32: bytes,
    calibrated: CalibratedNetwork,
    pictures: np.ndarray,
    count: int,
    *,
    integer_only: bool,
) -> dict[Runtime, list[Difference]]:
    """Return the distances of a TFLite file's integers, for both sets of kernels.

    Args:
        float32: The float32 TFLite file.
        calibrated: Its calibrated network.
        pictures: The calibration pictures.
        count: Number of pictures to compare.
        integer_only: True for ``int8_full.tflite``.
    """
    network = calibrated.network
    scheme = for_litert(calibrated, pictures, integer_only=integer_only)
    if integer_only:
        scheme = replace(scheme, float_operations=frozenset())
    data = quantize_static(float32, network, scheme, integer_only=integer_only)
    shown, found = pictures[:count], {}
    for runtime in (Runtime.XNNPACK, Runtime.BUILTIN):
        integers = litert_integers(data, network, shown, runtime)
        found[runtime] = compare(network, scheme, integers, shown)
    return found


def compare_onnx(
    float32: onnx.ModelProto, calibrated: CalibratedNetwork, pictures: np.ndarray, count: int
) -> list[Difference]:
    """Return the distances of the integers of ``int8.onnx``, as above."""
    model = quantize_int8(float32, calibrated, pictures, Target.AUTO).model
    scheme = for_onnxruntime(calibrated, pictures)
    found = onnx_integers(model, calibrated.network, scheme, pictures[:count])
    return compare(calibrated.network, scheme, found, pictures[:count])


def whole_network_db(
    float32: bytes, calibrated: CalibratedNetwork, pictures: np.ndarray, count: int
) -> float:
    """Return the SQNR of the simulated centred logits, against those of ``int8.tflite``, in dB.

    Here differences add up from layer to layer.
    """
    network, scheme = calibrated.network, for_litert(calibrated, pictures)
    data, shown = quantize_static(float32, network, scheme, integer_only=False), pictures[:count]
    (answers,) = _ask_litert(data, shown, Runtime.XNNPACK).values()
    simulated = centred_logits(network, simulate(network, scheme, shown)).numpy()
    return sqnr_db(centred_log_probabilities(answers.reshape(simulated.shape)), simulated)


def compare(
    network: TfliteNetwork,
    scheme: Scheme,
    integers: Mapping[int, Integers],
    pictures: np.ndarray,
) -> list[Difference]:
    """Return the distances of every rounded tensor in the order of the graph.

    Args:
        network: The graph.
        scheme: The scheme of the file.
        integers: The runtime's integers, by tensor of the network.
        pictures: uint8 ``(count, height, width, 3)``; all are in memory at once.
    """
    weights, observe = round_parameters(network, scheme), rounding(network, scheme)
    network = with_rounded_constants(network, scheme.float_operations)
    found: list[Difference] = []

    def judge(operation: Operation, output: Tensor) -> Tensor:
        simulated = observe(operation, output)
        runtime = integers.get(operation.output)
        if runtime is None:
            return simulated
        actual = runtime.values.reshape(output.shape).astype(np.int32)
        expected = np.rint(simulated.numpy().astype(np.float64) / runtime.step) + runtime.zero
        is_float = operation.index in scheme.float_operations
        found.append(Difference(operation, is_float, (expected - actual).astype(np.int32)))
        return tf.constant((actual - runtime.zero) * runtime.step, tf.float32)

    logits = run(network, weights, tf.constant(pictures, tf.float32), judge)
    if network.answer in integers and network.answer != network.logits:
        last = network.writers[network.answer]
        (answer,) = compute(network, last, {network.logits: logits})
        judge(last, answer)
    return found


def litert_integers(
    data: bytes, network: TfliteNetwork, pictures: np.ndarray, runtime: Runtime
) -> dict[int, Integers]:
    """Return LiteRT's integers by tensor of the network.

    Args:
        data: A file with 8-bit activations that was made of the network.
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``.
        runtime: The kernels.
    """
    model = read_flatbuffer(data)
    graph = model.subgraphs[0]
    places, answer = _places(model, network), int(graph.outputs[0])
    shown = dict.fromkeys((answer, *places.values()))
    graph.outputs, model.signatureDefs = np.array(list(shown), np.int32), None
    values = _ask_litert(write_flatbuffer(model), pictures, runtime)
    (plain,) = _ask_litert(data, pictures, runtime).values()
    np.testing.assert_array_equal(values[answer], plain, "showing integers changes answers")
    steps = {tensor: graph.tensors[place].quantization for tensor, place in places.items()}
    return {
        tensor: Integers(
            values[place], np.float32(steps[tensor].scale[0]), int(steps[tensor].zeroPoint[0])
        )
        for tensor, place in places.items()
    }


_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def _places(model: schema.ModelT, network: TfliteNetwork) -> dict[int, int]:
    """Return the file's 8-bit tensor that is written for every tensor of the network.

    The file has the operators of the network in their order, and conversions between them. A tensor
    that a concatenation reads in another step is the one before this conversion.
    """
    graph, found = model.subgraphs[0], {}
    known = iter(network.operations)
    for operator in graph.operators:
        if _KINDS[model.operatorCodes[operator.opcodeIndex].builtinCode].endswith("QUANTIZE"):
            continue
        operation = next(known)
        ours = (*operation.outputs, *operation.inputs)
        theirs = (*map(int, operator.outputs), *map(int, operator.inputs))
        for tensor, place in zip(ours, theirs, strict=False):  # a bias may be added
            is_integer = place >= 0 and graph.tensors[place].type == schema.TensorType.INT8
            if is_integer and tensor not in network.constants and tensor != network.image:
                found.setdefault(tensor, place)
    return found


def _ask_litert(data: bytes, pictures: np.ndarray, runtime: Runtime) -> dict[int, np.ndarray]:
    """Return all outputs by the index of their tensor."""
    kernels = OpResolverType.AUTO
    if runtime is Runtime.BUILTIN:
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=data, num_threads=1, experimental_op_resolver_type=kernels
    )
    interpreter.allocate_tensors()
    (image,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found: dict[int, list[np.ndarray]] = {int(output["index"]): [] for output in outputs}
    for picture in pictures:
        levels = picture.astype(np.int16) - 128 if image["dtype"] == np.int8 else picture
        interpreter.set_tensor(image["index"], levels[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        for index, rows in found.items():
            rows.append(interpreter.get_tensor(index))
    return {index: np.stack(rows) for index, rows in found.items()}


def onnx_integers(
    model: onnx.ModelProto, network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray
) -> dict[int, Integers]:
    """Return onnxruntime's integers by tensor of the network.

    Args:
        model: Made of the network by ``converters.quantization.onnx.quantize_int8``.
        network: The float graph.
        scheme: That of ``for_onnxruntime``.
        pictures: uint8 ``(count, height, width, 3)``.
    """
    graph = integer_graph(network, scheme, Target.AUTO)
    written = {name for node in model.graph.node for name in node.output}
    names: dict[int, tuple[str, Layout]] = {}
    for (tensor, layout), name in graph.integer_names.items():
        if name in written:
            names.setdefault(tensor, (name, layout))
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for tensor, (name, _) in names.items():
        kind = helper.np_dtype_to_tensor_dtype(graph.roundings[tensor].zero.dtype)
        shown.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    (plain,) = _ask_onnxruntime(model, pictures, [OUTPUT_NAME])
    answers, *values = _ask_onnxruntime(
        shown, pictures, [OUTPUT_NAME, *(name for name, _ in names.values())]
    )
    np.testing.assert_array_equal(answers, plain, "showing integers changes answers")
    found = {}
    for (tensor, (_, layout)), array in zip(names.items(), values, strict=True):
        step, zero = graph.roundings[tensor].step, int(graph.roundings[tensor].zero)
        last = np.moveaxis(array, -3, -1) if layout is Layout.FIRST else array
        found[tensor] = Integers(last, step, zero)
    return found


def _ask_onnxruntime(
    model: onnx.ModelProto, pictures: np.ndarray, names: Sequence[str]
) -> list[np.ndarray]:
    session: Any = onnxruntime.InferenceSession(
        to_onnx.serialize(model), providers=["CPUExecutionProvider"]
    )
    rows = [
        session.run(names, {INPUT_NAME: one[np.newaxis].astype(np.float32)}) for one in pictures
    ]
    return [np.stack(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True)
class Row:
    """The distances of all operators of one kind."""

    kind: str
    values: int
    apart: int
    """Values that are one step apart."""
    further: int
    """Values that are more than one step apart."""
    largest: int


def by_kind(differences: Sequence[Difference]) -> list[Row]:
    """Return a row for every kind of operator, sorted."""
    values: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    nonzero: Counter[str] = Counter()
    largest: Counter[str] = Counter()
    for found in differences:
        kind = found.kind
        values[kind] += found.distances.size
        apart[kind] += found.apart(1)
        nonzero[kind] += int(np.count_nonzero(found.distances))
        largest[kind] = max(largest[kind], found.largest)
    return [
        Row(kind, values[kind], apart[kind], nonzero[kind] - apart[kind], largest[kind])
        for kind in sorted(values)
    ]
