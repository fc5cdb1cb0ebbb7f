"""Reading, changing and writing a TFLite flatbuffer.

The generated schema (``ai_edge_litert.schema_py_generated``) does the parsing. The changes made
here are names of input and output, and uint8 instead of int8 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.endpoints import INPUT_NAME, OUTPUT_NAME

FILE_IDENTIFIER = b"TFL3"

_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}

SIGNATURE = b"serving_default"
"""Name of the signature, as the TFLite converter gives it."""


def read_flatbuffer(data: bytes) -> schema.ModelT:
    """Parse a TFLite file into the schema's object tree, weights included.

    litert-quantizer may store weights behind the flatbuffer and refer to them by offset. Any change
    to the file would make the offsets wrong, so the weights are moved into the tree.
    """
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 mean "no offset" in the schema
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        graph.inputs, graph.outputs = np.array(graph.inputs), np.array(graph.outputs)
    return model


def write_flatbuffer(model: schema.ModelT) -> bytes:
    """Serialize an object tree. The same tree gives the same bytes."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def name_endpoints(model: schema.ModelT) -> None:
    """Name the input ``image`` and the output ``probabilities``, as in every other format.

    The file's one signature, which ``get_signature_runner`` uses, gets the same names.
    """
    graph = model.subgraphs[0]
    image, answer = int(graph.inputs[0]), int(graph.outputs[0])
    graph.tensors[image].name = INPUT_NAME.encode()
    graph.tensors[answer].name = OUTPUT_NAME.encode()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_tensor_map(INPUT_NAME, image)]
    signature.outputs = [_tensor_map(OUTPUT_NAME, answer)]
    model.signatureDefs = [signature]


def use_uint8_input(model: schema.ModelT) -> None:
    """Make a quantized graph take uint8 pixels instead of int8.

    A QUANTIZE operator in front shifts the zero point. The scale stays, so no level is lost.
    """
    graph = model.subgraphs[0]
    inner = int(graph.inputs[0])
    outer = _add_uint8_twin(model, inner)
    graph.operators.insert(0, quantize_operator(model, outer, inner))
    graph.inputs[0] = outer


def use_uint8_output(model: schema.ModelT) -> None:
    """Make an integer-only graph answer in uint8 instead of int8."""
    graph = model.subgraphs[0]
    inner = int(graph.outputs[0])
    outer = _add_uint8_twin(model, inner)
    graph.operators.append(quantize_operator(model, inner, outer))
    graph.outputs[0] = outer


def _tensor_map(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def _add_uint8_twin(model: schema.ModelT, index: int) -> int:
    """Add a uint8 tensor with the same scale as int8 tensor ``index``; return its index."""
    graph = model.subgraphs[0]
    original = graph.tensors[index]
    if original.type != schema.TensorType.INT8:
        raise ValueError(f"tensor {index} has type {original.type}; expected INT8")
    model.buffers.append(schema.BufferT())
    twin = schema.TensorT()
    twin.shape = original.shape
    twin.shapeSignature = original.shapeSignature
    twin.type = schema.TensorType.UINT8
    twin.buffer = len(model.buffers) - 1
    twin.name = original.name + b"_uint8"
    twin.quantization = schema.QuantizationParametersT()
    twin.quantization.scale = np.asarray(original.quantization.scale, np.float32)
    twin.quantization.zeroPoint = np.asarray(original.quantization.zeroPoint, np.int64) + 128
    graph.tensors.append(twin)
    return len(graph.tensors) - 1


def quantize_operator(
    model: schema.ModelT, source: int, target: int, back: bool = False
) -> schema.OperatorT:
    """Return an operator that rounds a tensor to another one's integers; ``back`` to its floats."""
    if back:  # takes int8 since version 2
        return new_operator(model, "DEQUANTIZE", [source], target, schema.DequantizeOptionsT(), 2)
    return new_operator(model, "QUANTIZE", [source], target, schema.QuantizeOptionsT())


def new_operator(
    model: schema.ModelT,
    kind: str,
    inputs: Sequence[int],
    output: int,
    options: object,
    version: int = 1,
) -> schema.OperatorT:
    """Return an operator for the graph's list; its code is added to the model.

    Args:
        model: Changed in place.
        kind: A name of the schema's ``BuiltinOperator``, with a code below 127.
        inputs: Indices of the tensors that it reads.
        output: Index of the tensor that it writes.
        options: The schema's ``...OptionsT``.
        version: The operator's.
    """
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = version
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.array(inputs, np.int32)
    operator.outputs = np.array([output], np.int32)
    options_kind = type(options).__name__.removesuffix("T")
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options_kind)
    operator.builtinOptions = options
    return operator


def operator_kind(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Return an operator's name in the schema, for instance ``CONV_2D``."""
    return str(_KINDS[model.operatorCodes[operator.opcodeIndex].builtinCode])
