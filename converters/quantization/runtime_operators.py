"""Single operators of a TFLite file, run in LiteRT.

What TensorFlow has no equivalent for is computed by the runtime itself, one picture after the
other. There is no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from converters.quantization.tflite_network import Operation, TfliteNetwork
from converters.tflite.flatbuffer import read_flatbuffer, write_flatbuffer


def can_run(network: TfliteNetwork, operation: Operation) -> bool:
    """Return True if LiteRT runs this operator alone."""
    try:
        _interpreter(network.float32, operation.index, _computed(network, operation))
    except (ValueError, RuntimeError):  # LiteRT's only errors
        return False
    return True


def run_operator(
    network: TfliteNetwork, operation: Operation, arguments: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the outputs, with the fused activation, ``(pictures, *shape in the file)``.

    Args:
        network: The graph, read from a file.
        operation: An operator for which ``can_run`` is true.
        arguments: The computed inputs in their order, ``(pictures, *shape in the file)``.
    """
    computed = _computed(network, operation)
    interpreter = _interpreter(network.float32, operation.index, computed)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in zip(*arguments, strict=True):
        for detail, values in zip(inputs, picture, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        rows.append([interpreter.get_tensor(detail["index"]) for detail in outputs])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _computed(network: TfliteNetwork, operation: Operation) -> tuple[int, ...]:
    found = dict.fromkeys(t for t in operation.inputs if t >= 0 and t not in network.constants)
    return tuple(found)


@lru_cache(maxsize=512)
def _interpreter(float32: bytes, index: int, inputs: tuple[int, ...]) -> Interpreter:
    model = _parse(float32)
    graph = model.subgraphs[0]
    alone, operator = schema.SubGraphT(), graph.operators[index]
    alone.__dict__.update(graph.__dict__)
    alone.operators = [operator]
    alone.inputs = np.array(inputs, np.int32)
    alone.outputs = np.array(operator.outputs, np.int32)
    small = schema.ModelT()
    small.__dict__.update(model.__dict__)
    small.subgraphs = [alone, *model.subgraphs[1:]]
    small.signatureDefs = small.metadata = small.metadataBuffer = None
    constants = set(map(int, operator.inputs)) - {-1, *inputs}
    read = {graph.tensors[tensor].buffer for tensor in constants}
    read |= {tensor.buffer for other in model.subgraphs[1:] for tensor in other.tensors}
    small.buffers = [
        buffer if number in read else schema.BufferT()
        for number, buffer in enumerate(model.buffers)
    ]
    interpreter = Interpreter(model_content=write_flatbuffer(small), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


@lru_cache(maxsize=1)
def _parse(float32: bytes) -> schema.ModelT:
    return read_flatbuffer(float32)
