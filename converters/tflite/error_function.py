"""The error function, which TFLite lacks, by operators that it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

_END = 4.0
"""Beyond it ``erf`` is 1 in float32."""
_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
"""Coefficients of the quotient of polynomials by which Eigen and XLA compute ``erf`` in float32."""


def erf(x: tf.Tensor) -> tf.Tensor:
    """Return the error function of a float32 tensor, to 5e-7."""
    x = tf.clip_by_value(x, -_END, _END)
    square = x * x
    return x * _polynomial(square, _NUMERATOR) / _polynomial(square, _DENOMINATOR)


def erfc(x: tf.Tensor) -> tf.Tensor:
    """Return ``1 - erf(x)`` of a float32 tensor, to 5e-7."""
    return 1.0 - erf(x)


_FORMULAS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {"Erf": erf, "Erfc": erfc}
KINDS = frozenset(_FORMULAS)
"""TensorFlow's operators that can be replaced."""


def without_error_function(
    frozen: tf.types.experimental.ConcreteFunction, kinds: Collection[str]
) -> tf.types.experimental.ConcreteFunction:
    """Replace the operators of some kinds by formulas.

    Args:
        frozen: A graph without variables.
        kinds: Kinds to replace, of ``KINDS``.
    """
    graph = tf.compat.v1.GraphDef()
    for node in frozen.graph.as_graph_def().node:
        graph.node.extend(_spelled_out(node) if node.op in kinds else [node])
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph, name=""), []
    )
    find = imported.graph.get_tensor_by_name
    return imported.prune(
        [find(tensor.name) for tensor in frozen.inputs],
        [find(tensor.name) for tensor in frozen.outputs],
    )


def _spelled_out(node: tf.compat.v1.NodeDef) -> list[tf.compat.v1.NodeDef]:
    """Return the nodes of a formula. The last has the old node's name."""
    formula = tf.function(_FORMULAS[node.op]).get_concrete_function(tf.TensorSpec(None))
    argument, result = formula.inputs[0].op.name, formula.outputs[0].op.name
    names = {argument: node.input[0], result: node.name}
    nodes = []
    for part in formula.graph.as_graph_def().node:
        if part.name != argument:
            names.setdefault(part.name, f"{node.name}/{part.name}")
            part.name = names[part.name]
            part.input[:] = [names[name] for name in part.input]
            nodes.append(part)
    return nodes


def _polynomial(x: tf.Tensor, coefficients: tuple[float, ...]) -> tf.Tensor:
    """Return a polynomial's value, from the highest power down (Horner)."""
    total = tf.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total
