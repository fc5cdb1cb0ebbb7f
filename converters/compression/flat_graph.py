"""A model with the models nested in it as one list of calls, which can be run step by step.

Compression looks at every layer where it is called, wherever it is nested, and runs two networks
side by side. Layers are called in inference.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.errors import ModelConversionError
from converters.rewrites.keras_graph import Call, KerasGraph, has_graph, read_graph

Tensor = Any
"""A tensor of the backend that Keras runs on."""


@dataclass(frozen=True, eq=False)
class FlatCall:
    """One call of a layer that is no model with a graph."""

    call: Call
    path: tuple[str, ...]
    """Names of the models that the layer is nested in, and its own."""
    inputs: tuple[int, ...]
    """Numbers of the tensors that it reads."""
    outputs: tuple[int, ...]
    is_only: bool
    """True if the layer is called nowhere else, so that it can be changed."""

    @property
    def layer(self) -> keras.Operation:
        """The layer or function that is called."""
        return self.call.layer

    @property
    def name(self) -> str:
        """The path with slashes."""
        return "/".join(self.path)


Observe = Callable[[FlatCall, list[Tensor], Tensor], None]
"""Gets what a call reads and its output, of a layer with a kernel before its activation."""


@dataclass(frozen=True)
class FlatGraph:
    """The calls between a functional model's inputs and outputs."""

    model: keras.Model
    calls: tuple[FlatCall, ...]
    """In an order in which they can be computed. A call that reads a single tensor, and alone reads
    it, follows the one that writes it."""
    image: int
    """The number of the model's input."""
    outputs: tuple[int, ...]
    """One number."""

    @cached_property
    def shapes(self) -> Mapping[int, tuple[int, ...]]:
        """The shape of every tensor for one picture, without the batch.

        The network answers a black picture for it: a nested model may have been built for pictures
        of any size, or of another one.
        """
        found: dict[int, tuple[int, ...]] = {}

        def note(call: FlatCall, read: list[Tensor], written: tuple[Tensor, ...]) -> None:
            for tensor, value in zip((*call.inputs, *call.outputs), (*read, *written), strict=True):
                found[tensor] = tuple(value.shape[1:])

        size = self.model.inputs[0].shape[1:]
        self._run(keras.ops.zeros((1, *size)), note)
        return found

    @cached_property
    def readers(self) -> Mapping[int, tuple[FlatCall, ...]]:
        """The calls that read each tensor."""
        found: dict[int, tuple[FlatCall, ...]] = {}
        for call in self.calls:
            for tensor in dict.fromkeys(call.inputs):
                found[tensor] = (*found.get(tensor, ()), call)
        return found

    @cached_property
    def writers(self) -> Mapping[int, FlatCall]:
        """The call that writes each tensor but the input."""
        return {tensor: call for call in self.calls for tensor in call.outputs}

    @cached_property
    def last_readers(self) -> Mapping[int, FlatCall]:
        """The last call that reads each tensor but the outputs."""
        found = {tensor: calls[-1] for tensor, calls in self.readers.items()}
        return {tensor: call for tensor, call in found.items() if tensor not in self.outputs}

    def logits(self, pictures: Tensor, observe: Observe | None = None) -> Tensor:
        """Compute the answers before their softmax, minus their mean over the classes.

        Args:
            pictures: float32 ``(batch, height, width, 3)``, what the model expects.
            observe: See ``Observe``.

        Returns:
            float32 ``(batch, classes)``.
        """
        return _centred(self._run(pictures, None, observe))

    def _run(
        self,
        pictures: Tensor,
        note: Callable[[FlatCall, list[Tensor], tuple[Tensor, ...]], None] | None = None,
        observe: Observe | None = None,
    ) -> Tensor:
        values: dict[int, Tensor] = {self.image: pictures}
        (answers,) = self.outputs
        last = self.writers[answers]
        for call in self.calls:
            read = [values[tensor] for tensor in call.inputs]
            written = compute(call, read, observe, softmax=call is not last)
            if note is not None:
                note(call, read, written)
            values |= zip(call.outputs, written, strict=True)
            for tensor in call.inputs:
                if self.last_readers.get(tensor) is call:
                    values.pop(tensor, None)
        return values[answers]


def _centred(answers: Tensor) -> Tensor:
    answers = keras.ops.cast(answers, "float32")
    return answers - keras.ops.mean(answers, axis=-1, keepdims=True)


def read_flat_graph(model: keras.Model) -> FlatGraph:
    """Read a functional or Sequential model, with all functional models nested in it.

    A nested model that is called twice, or as in training, stays one call.

    Raises:
        ModelConversionError: The model has no graph, several inputs or outputs, or no fixed size.
    """
    if not has_graph(model):
        raise ModelConversionError(
            f"{model.name} is a subclassed model, which shows no graph of layers; expected a "
            "functional or Sequential one"
        )
    graph = read_graph(model)
    ends = len(graph.model.inputs), len(graph.model.outputs)
    if ends != (1, 1):
        raise ModelConversionError(
            f"{model.name} has {ends[0]} inputs and {ends[1]} outputs; expected one picture and "
            "the answers to it"
        )
    shape = graph.model.inputs[0].shape
    if None in shape[1:]:
        raise ModelConversionError(
            f"{model.name} takes pictures of {shape[1:]}; expected a fixed size: build it with "
            "keras.Input((height, width, 3))"
        )
    uses: Counter[int] = Counter()
    _count_uses(graph, uses)
    tensors = {id(graph.model.inputs[0]): 0}
    calls = list(_flat(graph, (), tensors, itertools.count(1), uses))
    outputs = tuple(tensors[id(tensor)] for tensor in graph.model.outputs)
    return FlatGraph(graph.model, tuple(_in_chains(calls)), 0, outputs)


def has_kernel(call: FlatCall) -> bool:
    """True for convolutions and dense layers that read all channels at every output."""
    layer = call.layer
    if isinstance(getattr(layer, "activation", None), layers.Layer):
        return False  # an activation with weights, or one that looks beyond single values
    if type(layer) is layers.Dense:
        return True
    return (
        type(layer) is layers.Conv2D and layer.groups == 1 and layer.data_format == "channels_last"
    )


def is_depthwise(call: FlatCall) -> bool:
    """True for depthwise convolutions, which read one channel at every output."""
    return isinstance(call.layer, layers.DepthwiseConv2D)


def is_softmax(call: FlatCall) -> bool:
    """True if the call gives shares of classes, by an activation of its own or as a layer."""
    layer = call.layer
    if isinstance(layer, layers.Softmax):
        return bool(layer.axis in (-1, len(call.call.inputs[0].shape) - 1))
    known = has_kernel(call) or isinstance(layer, layers.Activation)
    return known and layer.activation is keras.activations.softmax


def sums(call: FlatCall, read: Tensor) -> Tensor:
    """Compute a layer with a kernel, without its activation, float32."""
    layer = call.layer
    read, kernel = (keras.ops.cast(x, "float32") for x in (read, layer.kernel))
    if isinstance(layer, layers.Dense):
        found = keras.ops.matmul(read, kernel)
    else:
        strides = tuple(layer.strides)
        if tuple(layer.kernel_size) == (1, 1):
            # The same values. oneDNN writes past its memory in the gradient of a strided 1x1 kernel
            # with few channels (TensorFlow 2.21, 32x32x8).
            read, strides = read[:, :: strides[0], :: strides[1]], (1, 1)
        found = keras.ops.conv(
            read, kernel, strides, layer.padding, layer.data_format, layer.dilation_rate
        )
    return found + keras.ops.cast(layer.bias, "float32") if layer.use_bias else found


def compute(
    call: FlatCall,
    read: list[Tensor],
    observe: Observe | None = None,
    *,
    softmax: bool = True,
) -> tuple[Tensor, ...]:
    """Compute one call.

    Args:
        call: The call.
        read: What it reads.
        observe: See ``Observe``.
        softmax: False to leave a softmax out.
    """
    left_out = not softmax and is_softmax(call)
    if has_kernel(call):
        found = sums(call, read[0])
        if observe is not None:
            observe(call, read, found)
        activation = call.layer.activation
        if activation is not None and not left_out:
            found = activation(found)
        return (keras.ops.cast(found, call.layer.compute_dtype),)
    if left_out:
        if observe is not None:
            observe(call, read, read[0])
        return (read[0],)
    given = {id(tensor): value for tensor, value in zip(call.call.inputs, read, strict=True)}
    args, kwargs = call.call.node.arguments.fill_in(given)  # type: ignore[attr-defined]
    if isinstance(call.layer, layers.Layer) and call.layer._call_has_training_arg:
        kwargs = {**kwargs, "training": False}  # as Keras does, whatever the call says
    written = tuple(keras.tree.flatten(call.layer(*args, **kwargs)))
    if observe is not None:
        observe(call, read, written[0])
    return written


def _count_uses(graph: KerasGraph, uses: Counter[int]) -> None:
    """Count the calls of every layer, in nested models once for every call of the model."""
    for call in graph.calls:
        uses[id(call.layer)] += 1
        if has_graph(call.layer):
            _count_uses(read_graph(call.layer), uses)


def _flat(
    graph: KerasGraph,
    path: tuple[str, ...],
    tensors: dict[int, int],
    numbers: Iterator[int],
    uses: Counter[int],
) -> Iterator[FlatCall]:
    """Yield the calls of a graph; ``tensors`` are its own by ``id``, and hold its inputs."""
    for call in graph.calls:
        inputs = tuple(tensors[id(tensor)] for tensor in call.inputs)
        is_only = uses[id(call.layer)] == 1
        if has_graph(call.layer) and is_only and not call.training:
            nested = read_graph(call.layer)
            inner = dict(zip(map(id, nested.model.inputs), inputs, strict=True))
            yield from _flat(nested, (*path, call.name), inner, numbers, uses)
            found = [inner[id(tensor)] for tensor in nested.model.outputs]
            tensors |= zip(map(id, call.outputs), found, strict=True)
        else:
            outputs = tuple(next(numbers) for _ in call.outputs)
            tensors |= zip(map(id, call.outputs), outputs, strict=True)
            yield FlatCall(call, (*path, call.name), inputs, outputs, is_only)


def _in_chains(calls: Sequence[FlatCall]) -> Iterator[FlatCall]:
    """Yield calls so that one follows the other where only it reads what the other writes."""
    readers: dict[int, list[FlatCall]] = defaultdict(list)
    for call in calls:
        for tensor in call.inputs:
            readers[tensor].append(call)
    done: set[FlatCall] = set()
    for first in calls:
        following = None if first in done else first
        while following is not None:
            done.add(following)
            yield following
            behind = readers[following.outputs[0]]
            alone = len(behind) == 1 and len(behind[0].inputs) == 1
            following = behind[0] if alone and behind[0] not in done else None


def in_batches(pictures: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield pictures in batches of at most ``size``, float32."""
    for start in range(0, len(pictures), size):
        yield np.asarray(pictures[start : start + size], np.float32)
