"""GELU written by hand with ``keras.ops.erf``, recognised as the activation.

``x * 0.5 * (1 + erf(x / sqrt(2)))`` has many spellings. TFLite has no operator for ``erf``, and its
converter knows only some of them. So what follows an ``erf`` is computed for random values: if all
of it is the GELU of one tensor, the activation takes its place, which has an operator in every
format and in integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
from keras import KerasTensor, layers
from scipy.special import erf

from converters.rewrites.keras_graph import Call, Change, KerasGraph, Rewritten, rewrite_graphs

NAME = "recognize_gelu"

_ELEMENTWISE = (layers.Activation, layers.Add, layers.Multiply, layers.Rescaling, layers.Subtract)
_MOST_BEFORE = 4  # calls between the tensor and its erf: a negation, a product, a quotient
_MOST_CALLS = 16
_TOLERANCE = 2e-6  # of values up to 8; float32 has 5e-7


@dataclass(frozen=True)
class _Gelu:
    """Calls that together compute the GELU of one tensor."""

    calls: frozenset[Call]
    output: KerasTensor
    layer: layers.Activation


def recognize_gelu(model: keras.Model) -> Rewritten:
    """Replace the calls that compute a GELU by ``erf`` by one activation.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model with the same function in inference, or the model itself if there is none. One
        that makes an output of a model stays, because callers know its name.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    found = [gelu for call in graph.calls if _is_erf(call) and (gelu := _gelu_around(graph, call))]
    return Change(
        count=len(found),
        skipped=frozenset(call for gelu in found for call in gelu.calls),
        between={
            (reader, id(gelu.output)): gelu.layer
            for gelu in found
            for reader in graph.readers[id(gelu.output)]
        },
    )


def _is_erf(call: Call) -> bool:
    if type(call.layer) is layers.Activation:
        return call.layer.activation is keras.ops.erf
    return type(call.layer).__name__ == "Erf"


def _gelu_around(graph: KerasGraph, call: Call) -> _Gelu | None:
    for tensor in _sources(graph, call):
        for calls, output in _regions(graph, tensor):
            if call in calls and _computes_gelu(tensor, output):
                layer = layers.Activation("gelu", name=f"{call.name}_gelu")
                return _Gelu(frozenset(calls), output, layer)
    return None


def _sources(graph: KerasGraph, call: Call) -> Iterator[KerasTensor]:
    """Yield the tensor that a call reads, then those that it is computed from alone."""
    for _ in range(_MOST_BEFORE):
        if len(call.inputs) != 1:
            return
        yield call.inputs[0]
        writer = graph.writers.get(id(call.inputs[0]))
        if writer is None or not _is_elementwise(writer):
            return
        call = writer


def _regions(graph: KerasGraph, tensor: KerasTensor) -> Iterator[tuple[list[Call], KerasTensor]]:
    """Yield calls that depend on a tensor alone, and the only tensor of them that others read."""
    inside: dict[int, KerasTensor] = {}
    calls: list[Call] = []
    for call in graph.calls:
        read = {id(one) for one in call.inputs}
        if not read or not read <= {id(tensor), *inside} or not _is_elementwise(call):
            continue
        calls.append(call)
        inside[id(call.outputs[0])] = call.outputs[0]
        live = [one for key, one in inside.items() if _is_read_outside(graph, key, calls)]
        if len(live) == 1 and id(live[0]) not in graph.outputs:
            yield calls, live[0]
        if len(calls) == _MOST_CALLS:
            return


def _is_elementwise(call: Call) -> bool:
    is_function = not isinstance(call.layer, layers.Layer)
    return len(call.outputs) == 1 and (is_function or type(call.layer) in _ELEMENTWISE)


def _is_read_outside(graph: KerasGraph, tensor: int, calls: list[Call]) -> bool:
    return tensor in graph.outputs or any(
        reader not in calls for reader in graph.readers.get(tensor, ())
    )


def _computes_gelu(tensor: KerasTensor, output: KerasTensor) -> bool:
    if tensor.shape != output.shape or tensor.dtype != "float32":
        return False
    shape = [side or 8 for side in tensor.shape]
    x = np.random.default_rng(0).uniform(-8, 8, shape).astype(np.float32)
    try:
        answers = keras.Model(tensor, output)(x, training=False)
    except (TypeError, ValueError):  # a function of a fixed batch size
        return False
    actual = np.asarray(keras.ops.convert_to_numpy(answers), np.float64)
    expected = x * 0.5 * (1 + erf(x.astype(np.float64) / np.sqrt(2)))
    return bool(np.abs(actual - expected).max() <= _TOLERANCE)
