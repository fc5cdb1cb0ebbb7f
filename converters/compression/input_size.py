"""The same network for pictures of another size."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import KerasTensor

from converters.errors import ModelConversionError
from converters.rewrites.keras_graph import KerasGraph, has_graph, read_graph


def at_input_size(model: keras.Model, height: int, width: int) -> keras.Model:
    """Build a model that takes pictures of another size.

    Convolutions and global pooling do not depend on the size. What does, such as a dense layer
    behind a flattening, cannot be changed.

    Args:
        model: Functional or Sequential, with one input ``(batch, rows, columns, channels)``.
        height: Rows of the new input.
        width: Columns.

    Returns:
        A model that shares all layers with ``model``, nested models rebuilt at their new sizes.

    Raises:
        ModelConversionError: A layer needs the old size, or the pictures are too small.
    """
    graph = read_graph(model)
    old = graph.model.inputs[0]
    shape = (old.shape[0], height, width, *old.shape[3:])
    return _rebuilt(graph, [shape], f"{height}x{width}")


def _rebuilt(
    graph: KerasGraph, shapes: Sequence[tuple[int | None, ...]], wanted: str
) -> keras.Model:
    """Build a graph's model for inputs of other shapes."""
    inputs = [
        keras.Input(batch_shape=shape, dtype=old.dtype, name=old._keras_history.operation.name)
        for old, shape in zip(graph.model.inputs, shapes, strict=True)
    ]
    tensors: dict[int, KerasTensor] = {
        id(old): new for old, new in zip(graph.model.inputs, inputs, strict=True)
    }
    for call in graph.calls:
        read = {id(tensor): tensors[id(tensor)] for tensor in call.inputs}
        args, kwargs = call.node.arguments.fill_in(read)  # type: ignore[attr-defined]
        layer = call.layer
        if has_graph(layer):
            nested = [tuple(tensors[id(tensor)].shape) for tensor in call.inputs]
            layer = _rebuilt(read_graph(layer), nested, wanted)
        answers = _called(call.name, layer, args, kwargs, wanted)
        tensors |= dict(zip(map(id, call.outputs), keras.tree.flatten(answers), strict=True))
    outputs = keras.tree.map_structure(lambda x: tensors[id(x)], graph.model._outputs_struct)
    struct = keras.tree.pack_sequence_as(graph.model._inputs_struct, inputs)
    return keras.Model(struct, outputs, name=graph.model.name)


def _called(name: str, layer: keras.Operation, args: tuple, kwargs: dict, wanted: str):  # type: ignore[no-untyped-def,type-arg]  # noqa: ANN202
    try:
        answers = layer(*args, **kwargs)
    except (ValueError, TypeError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise ModelConversionError(
            f"{name} ({type(layer).__name__}) cannot take pictures of {wanted}: {reason}; expected "
            "a network that convolves down to a global pooling; keep its input size"
        ) from problem
    for answer in keras.tree.flatten(answers):
        if any(side == 0 for side in answer.shape[1:]):
            raise ModelConversionError(
                f"{name} ({type(layer).__name__}) has nothing left of pictures of {wanted}; choose "
                "a larger size"
            )
    return answers
