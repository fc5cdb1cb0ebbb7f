"""Operators of TensorFlow that tf2onnx 1.17 does not know, written with operators of ONNX.

Keras' layers use them: TensorFlow computes GELU by ``Erfc``, and CELU by ``Expm1``. The handlers
have the form of tf2onnx' ``custom_op_handlers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from tf2onnx.graph import Graph, Node

_Handler = Callable[[Graph, Node, str, list[str]], None]


def _erfc(graph: Graph, node: Node, name: str, _: list[str]) -> None:
    """Turn ``erfc(x)`` into ``1 - erf(x)``."""
    erf = graph.make_node("Erf", [node.input[0]])
    _become(graph, node, "Sub", [_one(graph, name), erf.output[0]])


def _expm1(graph: Graph, node: Node, name: str, _: list[str]) -> None:
    """Turn ``expm1(x)`` into ``exp(x) - 1``."""
    exp = graph.make_node("Exp", [node.input[0]])
    _become(graph, node, "Sub", [exp.output[0], _one(graph, name)])


def _log1p(graph: Graph, node: Node, name: str, _: list[str]) -> None:
    """Turn ``log1p(x)`` into ``log(1 + x)``."""
    total = graph.make_node("Add", [node.input[0], _one(graph, name)])
    _become(graph, node, "Log", [total.output[0]])


HANDLERS: Mapping[str, _Handler] = {"Erfc": _erfc, "Expm1": _expm1, "Log1p": _log1p}
"""By the operator's name in TensorFlow."""


def _one(graph: Graph, name: str) -> str:
    output: str = graph.make_const(f"{name}_one", np.array(1, np.float32)).output[0]
    return output


def _become(graph: Graph, node: Node, kind: str, inputs: list[str]) -> None:
    """Replace a node by one of another kind with the same output."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    outputs = list(node.output)
    graph.remove_node(node.name)
    graph.make_node(kind, inputs, outputs=outputs, name=node.name, shapes=shapes, dtypes=dtypes)
