"""The float16 model, derived from the float32 model.

Two parts stay float32. The tail is the last operator with a kernel and what follows it: a softmax
in float16 has no probabilities below 6e-8, and a confident network has many. The other part are
operators whose values on test pictures come near the largest number of float16.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from converters.errors import ModelConversionError

LARGEST = 16_384.0
"""A quarter of float16's largest number: other pictures have larger values than the test pictures.
"""

_WITHOUT_FLOAT16 = ("IsInf", "IsNaN", "LogSoftmax", "Softmax")
"""Operators that ONNX defines for float32 only, in opset 17, or that need its range."""

_WITH_KERNEL = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def convert_float16(float32: onnx.ModelProto) -> onnx.ModelProto:
    """Turn weights and computation into float16, with float32 input, output and tail.

    Args:
        float32: A model made by ``converters.onnx.conversion.convert_float32``.

    Returns:
        A checked model. Raw levels up to 255 are exact in float16.

    Raises:
        ModelConversionError: The float32 model is not finite on the test pictures.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(float32)
    model = convert_float_to_float16(
        copy,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_WITHOUT_FLOAT16],
        node_block_list=sorted(_tail(float32.graph) | _with_large_values(float32)),
    )
    _store_in_float16(model.graph)
    _drop_round_trips(model.graph)
    _sort_topologically(model.graph)
    onnx.checker.check_model(model)
    return model


def _tail(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the last operator with a kernel and of all behind it.

    Names are unique: ``convert_float32`` gives them.
    """
    last = max((i for i, node in enumerate(graph.node) if node.op_type in _WITH_KERNEL), default=0)
    found: set[str] = set()
    tensors: set[str] = set()
    for index, node in enumerate(graph.node):
        if index == last or not tensors.isdisjoint(node.input):
            found.add(node.name)
            tensors.update(node.output)
    return found


def _with_large_values(float32: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes that read or write values beyond ``LARGEST``, or infinite ones.

    Raises:
        ModelConversionError: An answer is NaN or infinite.
    """
    graph = float32.graph
    answers = {output.name for output in graph.output}
    large: set[str] = set()
    for name, values in _activations(float32):
        if not np.abs(values).max(initial=0.0) <= LARGEST:
            large.add(name)
        if name in answers and not np.isfinite(values).all():
            raise ModelConversionError(
                f"fp16.onnx: {name!r} is NaN or infinite in float32 on a test picture; expected "
                "finite answers; check the model's weights and the float32 artifacts first"
            )
    return {node.name for node in graph.node if not large.isdisjoint((*node.input, *node.output))}


def _activations(float32: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and values of every float tensor that a node computes, picture by picture."""
    observed = onnx.ModelProto()
    observed.CopyFrom(float32)
    known = {output.name for output in float32.graph.output}
    names = [name for node in float32.graph.node for name in node.output if name]
    observed.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (image,), outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    for picture in _test_pictures(image.shape[1], image.shape[2]):
        for name, values in zip(outputs, session.run(outputs, {image.name: picture}), strict=True):
            if isinstance(values, np.ndarray) and values.dtype == np.float32:
                yield name, values


def _test_pictures(height: int, width: int) -> Iterator[np.ndarray]:
    """Yield a black, a white, a striped and a noisy picture, float32 ``(1, height, width, 3)``."""
    shape = (1, height, width, 3)
    yield np.zeros(shape, np.float32)
    yield np.full(shape, 255, np.float32)
    stripes = np.arange(width) // 4 % 2 * 255
    yield np.broadcast_to(stripes[:, np.newaxis], shape).astype(np.float32)
    yield np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def _store_in_float16(graph: onnx.GraphProto) -> None:
    """Store the kernels of float32 operators in float16. The runtime widens them when it loads."""
    most = float(np.finfo(np.float16).max)
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max(initial=0.0) > most:
            continue
        name, wide = tensor.name, f"{tensor.name}_float32"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        for node in graph.node:
            node.input[:] = [wide if source == name else source for source in node.input]
        graph.node.append(
            helper.make_node("Cast", [name], [wide], f"{wide}_cast", to=TensorProto.FLOAT)
        )


def _drop_round_trips(graph: onnx.GraphProto) -> None:
    """Join float32 values that the converter turned into float16 and back between two nodes."""
    makers = {name: node for node in graph.node for name in node.output}
    joined: dict[str, str] = {}
    for node in graph.node:
        if _casts_to(node, TensorProto.FLOAT):
            narrow = makers.get(node.input[0])
            if narrow is not None and _casts_to(narrow, TensorProto.FLOAT16):
                joined[node.output[0]] = narrow.input[0]
    answers = {value.name for value in graph.output}
    for wide, source in joined.items():
        if wide in answers:  # its name stays, so the node that computes it gets it
            joined = {name: wide if old == source else old for name, old in joined.items()}
            joined[source] = wide
            makers[source].output[:] = [wide if x == source else x for x in makers[source].output]
    for node in graph.node:
        node.input[:] = [joined.get(name, name) for name in node.input]
    while True:
        read = answers | {name for node in graph.node for name in node.input}
        unread = [
            node for node in graph.node if node.op_type == "Cast" and node.output[0] not in read
        ]
        for node in unread:
            graph.node.remove(node)
        if not unread:
            break


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)


def _sort_topologically(graph: onnx.GraphProto) -> None:
    """Sort the nodes, as the ONNX spec demands: the float16 converter appends its casts."""
    known = (
        {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    )
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ModelConversionError(
                "fp16.onnx: the graph has a cycle after the float16 conversion; expected none; "
                "leave fp16.onnx out with --formats"
            )
        ordered += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)
