"""Sums of tensors of one pixel, without the RESHAPE that the converter puts before an operand.

Where a network has shrunk to one pixel, TensorFlow's converter squeezes ``[1, 1, 1, C]`` to ``[C]``
and adds that, which broadcasting makes the same. It costs an operator, and LiteRT's WebGPU delegate
fuses it with the sum into a shader that does not compile, says "fully accelerated" and answers 0.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.flatbuffer import operator_kind, read_flatbuffer, write_flatbuffer

_BROADCASTING = frozenset({"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SUB"})


def without_squeezes(data: bytes) -> bytes:
    """Return a file whose broadcasting operators read tensors of one pixel as they are.

    Args:
        data: A TFLite file; returned as it is where it has no such RESHAPE.
    """
    model = read_flatbuffer(data)
    graph = model.subgraphs[0]

    def rank(tensor: int) -> int:
        return len(graph.tensors[tensor].shape)

    def is_needless(reshape: schema.OperatorT) -> bool:
        source, target = int(reshape.inputs[0]), int(reshape.outputs[0])
        wide, flat = ([int(side) for side in graph.tensors[t].shape] for t in (source, target))
        readers = [op for op in graph.operators if target in [int(t) for t in op.inputs]]
        return (
            target not in [int(t) for t in graph.outputs]
            and bool(wide)
            and wide == [1] * (len(wide) - 1) + flat
            and len(flat) == 1
            and all(
                operator_kind(model, op) in _BROADCASTING and rank(int(op.outputs[0])) == len(wide)
                for op in readers
            )
        )

    reshapes = [op for op in graph.operators if operator_kind(model, op) == "RESHAPE"]
    needless = [op for op in reshapes if is_needless(op)]
    if not needless:
        return data
    sources = {int(op.outputs[0]): int(op.inputs[0]) for op in needless}
    graph.operators = [op for op in graph.operators if op not in needless]
    for operator in graph.operators:
        read = [sources.get(int(tensor), int(tensor)) for tensor in operator.inputs]
        operator.inputs = np.array(read, np.int32)
    return write_flatbuffer(model)
