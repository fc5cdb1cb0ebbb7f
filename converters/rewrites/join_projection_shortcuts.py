"""Joining the two convolutions of a sum into one that reads both inputs side by side.

A block of ResNet that changes the number of channels adds two 1x1 convolutions: the last one of the
block and the projection of its shortcut. ``a(y) + b(x)`` is one 1x1 convolution that reads the
channels of ``y`` and of ``x``. Integer runtimes round the results of two to 8 bits before they add
them. One adds all products in its 32-bit accumulator and rounds once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    new_name,
    reconfigured,
    rewrite_graphs,
)
from converters.rewrites.subsampling import is_sum, subsample

NAME = "join_projection_shortcuts"


def join_projection_shortcuts(model: keras.Model) -> Rewritten:
    """Replace every sum of two 1x1 convolutions by one convolution over a concatenation.

    Args:
        model: A functional or Sequential model, also with models inside, after
            ``fold_batch_norm``. It is not changed.

    Returns:
        A new model with the same function, or the model itself if there is none. The joined
        convolution has the name of the one that is further from the picture: the last of a block,
        not the projection of its shortcut. An input of a strided convolution is subsampled by a 1x1
        max-pool, unless both have the same stride and size.
    """
    return rewrite_graphs(model, _find_change)


@dataclass(frozen=True)
class _Sum:
    """A sum of two convolutions."""

    call: Call
    terms: tuple[Call, Call]
    """The convolutions, in the order in which they are added."""
    last: Call
    """The one of them that is further from the picture."""

    @property
    def strides(self) -> tuple[int, int]:
        """The stride of both, or (1, 1) if their strides or the sizes that they read differ."""
        one, other = self.terms
        sizes = [tuple(term.inputs[0].shape[1:3]) for term in self.terms]
        alike = sizes[0] == sizes[1] and None not in sizes[0]
        strides: tuple[int, int] = tuple(one.layer.strides)
        return strides if alike and strides == tuple(other.layer.strides) else (1, 1)


def _find_change(graph: KerasGraph) -> Change:
    sums = [found for call in graph.calls if (found := _sum_of(graph, call))]
    names = {operation.name for operation in graph.model.operations}
    between: dict[tuple[Call, int], layers.Layer] = {}
    instead: dict[Call, Sequence[layers.Layer]] = {}
    for found in sums:
        layer = found.last.layer
        name = new_name(f"{layer.name}_inputs", names)
        has_bias = any(term.layer.use_bias for term in found.terms)
        instead[found.call] = (
            layers.Concatenate(name=name, dtype=layer.dtype_policy),
            reconfigured(layer, strides=found.strides, use_bias=has_bias),
        )
        for term in found.terms:
            step = tuple(term.layer.strides)
            if step != found.strides:
                between[term, id(term.inputs[0])] = subsample(
                    step, new_name(f"{term.name}_subsample", names), layer.dtype_policy
                )
    return Change(
        count=len(sums),
        weights={found.last.name: _joined_weights(found) for found in sums},
        skipped=frozenset(term for found in sums for term in found.terms),
        between=between,
        instead=instead,
    )


def _sum_of(graph: KerasGraph, call: Call) -> _Sum | None:
    """Return a sum with its convolutions, or None if they cannot be joined."""
    if not is_sum(call) or len(call.inputs) != 2 or id(call.outputs[0]) in graph.outputs:
        return None  # callers know an output's name
    one, other = (graph.writers.get(id(tensor)) for tensor in call.inputs)
    if one is None or other is None or one is other:
        return None
    if not (_is_linear(graph, one) and _is_linear(graph, other)):
        return None
    if one.inputs[0] is other.inputs[0]:  # nothing to read side by side
        return None
    if one.layer.dtype_policy != other.layer.dtype_policy:
        return None
    places = {id(t): place for place, made in enumerate(graph.calls) for t in made.outputs}
    last = max(other, one, key=lambda term: places.get(id(term.inputs[0]), -1))
    return _Sum(call, (one, other), last)


def _is_linear(graph: KerasGraph, call: Call) -> bool:
    """True if a call is a 1x1 convolution without activation that is read once."""
    layer = call.layer
    return (
        type(layer) is layers.Conv2D
        and graph.called_once(call)
        and graph.only_reader(call.outputs[0]) is not None
        and tuple(layer.kernel_size) == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and layer.activation is keras.activations.linear
    )


def _joined_weights(found: _Sum) -> list[np.ndarray]:
    """Return the kernels one above the other, and the sum of the biases."""
    both = [term.layer for term in found.terms]
    kernel = np.concatenate([np.asarray(layer.kernel) for layer in both], axis=2)
    biases = [np.asarray(layer.bias, np.float64) for layer in both if layer.use_bias]
    return [kernel, np.sum(biases, axis=0).astype(np.float32)] if biases else [kernel]
