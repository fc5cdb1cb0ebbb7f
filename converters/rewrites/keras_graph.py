"""A Keras model as a graph of calls, and a new model with some of the calls changed.

All rewrites use it. A rewrite finds a ``Change`` for the graph of one model. Nested models are
rewritten on their own, so a rewrite need not look into them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import keras
import numpy as np
from keras import KerasTensor, layers


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, or of a function of ``keras.ops``."""

    layer: keras.Operation
    inputs: tuple[KerasTensor, ...]
    outputs: tuple[KerasTensor, ...]
    training: bool
    """True if the call passes ``training=True``, whatever the model does."""
    node: object
    """Keras' own record of the call."""

    @property
    def name(self) -> str:
        """The layer's name, which no other layer of the model has."""
        return str(self.layer.name)


@dataclass(frozen=True)
class KerasGraph:
    """The calls between a functional model's inputs and outputs."""

    model: keras.Model
    calls: tuple[Call, ...]
    """In an order in which they can be computed, without the calls that make the inputs."""

    @cached_property
    def readers(self) -> Mapping[int, tuple[Call, ...]]:
        """The calls that read each tensor, by the tensor's ``id``."""
        found: dict[int, tuple[Call, ...]] = {}
        for call in self.calls:
            for tensor in dict.fromkeys(id(tensor) for tensor in call.inputs):
                found[tensor] = (*found.get(tensor, ()), call)
        return found

    @cached_property
    def writers(self) -> Mapping[int, Call]:
        """The call that writes each tensor but the model's inputs, by the tensor's ``id``."""
        return {id(tensor): call for call in self.calls for tensor in call.outputs}

    @cached_property
    def outputs(self) -> frozenset[int]:
        """The model's outputs, by ``id``."""
        return frozenset(id(tensor) for tensor in self.model.outputs)

    @cached_property
    def _uses(self) -> Counter[str]:
        return Counter(call.name for call in self.calls)

    def called_once(self, call: Call) -> bool:
        """Return True if the call is its layer's only one, so that the layer can be changed."""
        return self._uses[call.name] == 1

    def only_reader(self, tensor: KerasTensor) -> Call | None:
        """Return the only call that reads a tensor; None for several, or for an output."""
        readers = self.readers.get(id(tensor), ())
        return readers[0] if len(readers) == 1 and id(tensor) not in self.outputs else None


@dataclass(frozen=True)
class Change:
    """Changes that a rewrite makes to one graph."""

    count: int = 0
    """Number of places where the rewrite applied. If 0, nothing changes."""
    replaced: Mapping[str, layers.Layer] = field(default_factory=dict)
    """The new layer for a layer, by the name of the old one."""
    weights: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    """Weights of the new layers, by name."""
    skipped: frozenset[Call] = frozenset()
    """Calls that are left out: their output becomes their input."""
    between: Mapping[tuple[Call, int], layers.Layer] = field(default_factory=dict)
    """New layers between a tensor, by its ``id``, and a call that reads it."""
    instead: Mapping[Call, Sequence[layers.Layer]] = field(default_factory=dict)
    """New layers for a call: the first reads the list of its inputs, each other the one before."""


@dataclass(frozen=True)
class Rewritten:
    """A rewritten model and the number of places where the rewrite applied."""

    model: keras.Model
    count: int


def rewrite_graphs(model: keras.Model, find: Callable[[KerasGraph], Change]) -> Rewritten:
    """Change the graphs of a model and of all models nested in it.

    Args:
        model: Any model. It is not changed. A subclassed model has no graph and is returned itself.
        find: Returns the change to one graph.

    Returns:
        A functional model that shares all layers but the replaced ones with ``model``, or the model
        itself if there is nothing to change.
    """
    if not has_graph(model):
        return Rewritten(model, 0)
    graph = read_graph(model)
    # A model called with training=True uses batch statistics: no rewrite is exact there.
    fixed = {call.name for call in graph.calls if call.training}
    inner = {
        call.name: rewrite_graphs(call.layer, find)
        for call in graph.calls
        if isinstance(call.layer, keras.Model) and call.name not in fixed
    }
    change = find(graph)
    count = change.count + sum(rewritten.count for rewritten in inner.values())
    if not count:
        return Rewritten(model, 0)
    models = {name: rewritten.model for name, rewritten in inner.items()}
    rebuilt = _rebuild(graph, change, {**models, **change.replaced})
    for name, weights in change.weights.items():
        rebuilt.get_layer(name).set_weights(weights)
    return Rewritten(rebuilt, count)


def has_graph(layer: keras.Operation) -> bool:
    """True for functional and Sequential models; a subclassed one shows no graph."""
    return isinstance(layer, keras.Sequential) or hasattr(layer, "_nodes_by_depth")


def read_graph(model: keras.Model) -> KerasGraph:
    """Read the graph of a functional or Sequential model."""
    if isinstance(model, keras.Sequential):  # it shows no nodes
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return KerasGraph(model, tuple(_calls(model)))


def reconfigured(layer: layers.Layer, **config: object) -> layers.Layer:
    """Return a layer of the same name with other settings and with weights of its own."""
    return type(layer).from_config({**layer.get_config(), **config})


def new_name(wanted: str, taken: set[str]) -> str:
    """Return a layer's name that is not taken yet, and take it."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _calls(model: keras.Model) -> Iterator[Call]:
    # The model's own nodes: a layer's inbound nodes include calls from other models.
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                training = bool(node.arguments.kwargs.get("training"))
                inputs, outputs = tuple(node.input_tensors), tuple(node.outputs)
                yield Call(node.operation, inputs, outputs, training, node)


def _rebuild(
    graph: KerasGraph, change: Change, replaced: Mapping[str, keras.Operation]
) -> keras.Model:
    old = graph.model
    inputs = keras.tree.map_structure(_fresh_input, old._inputs_struct)
    tensors = dict(zip(map(id, old.inputs), keras.tree.flatten(inputs), strict=True))
    between: dict[tuple[layers.Layer, int], KerasTensor] = {}
    for call in graph.calls:
        read = {}
        for tensor in map(id, call.inputs):
            read[tensor] = tensors[tensor]
            if (added := change.between.get((call, tensor))) is not None:
                if (added, tensor) not in between:
                    between[added, tensor] = added(tensors[tensor])
                read[tensor] = between[added, tensor]
        if call in change.skipped:
            tensors[id(call.outputs[0])] = read[id(call.inputs[0])]
            continue
        if call in change.instead:
            tensors[id(call.outputs[0])] = _in_a_row(
                change.instead[call], [read[id(tensor)] for tensor in call.inputs]
            )
            continue
        args, kwargs = call.node.arguments.fill_in(read)  # type: ignore[attr-defined]
        layer = replaced.get(call.name, call.layer)
        if type(layer) is not type(call.layer):  # its call may take no mask
            kwargs = {}
        answers = layer(*args, **kwargs)
        flat = keras.tree.flatten(answers)
        tensors |= dict(zip(map(id, call.outputs), flat, strict=True))
    outputs = keras.tree.map_structure(lambda x: tensors[id(x)], old._outputs_struct)
    return keras.Model(inputs, outputs, name=old.name)


def _in_a_row(added: Sequence[layers.Layer], inputs: list[KerasTensor]) -> KerasTensor:
    found = added[0](inputs)
    for layer in added[1:]:
        found = layer(found)
    return found


def _fresh_input(tensor: KerasTensor) -> KerasTensor:
    name = tensor._keras_history.operation.name
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
