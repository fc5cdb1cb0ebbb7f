"""A model with the models nested in it as one list of calls, which can be run step by step.

Compression looks at every layer where it is called, wherever it is nested, and runs two networks
side by side. Layers are called in inference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.rewrites.keras_graph import Call, KerasGraph, read_graph

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


@dataclass(frozen=True)
class Weights:
    """Kernel and bias of a convolution or dense layer, in the place of its own."""

    kernel: Tensor
    bias: Tensor | None


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
    shapes: Mapping[int, tuple[int | None, ...]]
    """The shape of every tensor, as the layers were called when the model was built."""

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

    def logits(
        self,
        pictures: Tensor,
        observe: Observe | None = None,
        weights: Mapping[FlatCall, Weights] | None = None,
    ) -> Tensor:
        """Compute the first output before its softmax, minus its mean over the classes.

        Args:
            pictures: float32 ``(batch, height, width, 3)``, what the model expects.
            observe: See ``Observe``.
            weights: Kernels and biases in the place of the layers' own.

        Returns:
            float32 ``(batch, classes)``.
        """
        values: dict[int, Tensor] = {self.image: pictures}
        last = self.writers[self.outputs[0]]
        found: Tensor = None
        for call in self.calls:
            read = [values[tensor] for tensor in call.inputs]
            own = None if weights is None else weights.get(call)
            if call is last and is_softmax(call):
                found = sums(call, read[0], own) if has_kernel(call) else read[0]
                if observe is not None:
                    observe(call, read, found)
                break
            for tensor, value in zip(call.outputs, compute(call, read, observe, own), strict=True):
                values[tensor] = value
            for tensor in call.inputs:
                if self.last_readers.get(tensor) is call:
                    values.pop(tensor, None)
            found = values.get(self.outputs[0])
        answers = keras.ops.cast(found, "float32")
        return answers - keras.ops.mean(answers, axis=-1, keepdims=True)


def read_flat_graph(model: keras.Model) -> FlatGraph:
    """Read a functional or Sequential model, with all functional models nested in it.

    A nested model that is called twice, or as in training, stays one call.
    """
    graph = read_graph(model)
    numbers = _Numbers()
    calls = list(_flat(graph, (), numbers))
    uses = Counter(id(call.layer) for call, *_ in calls)
    flat = [
        FlatCall(call, (*path, call.name), inputs, outputs, uses[id(call.layer)] == 1)
        for call, path, inputs, outputs in calls
    ]
    return FlatGraph(
        graph.model,
        tuple(_in_chains(flat)),
        numbers.of(graph.model.inputs[0]),
        tuple(numbers.of(tensor) for tensor in graph.model.outputs),
        numbers.shapes,
    )


def has_kernel(call: FlatCall) -> bool:
    """True for convolutions and dense layers that read all channels at every output."""
    layer = call.layer
    if type(layer) is layers.Dense:
        return True
    return (
        type(layer) is layers.Conv2D and layer.groups == 1 and layer.data_format == "channels_last"
    )


def is_softmax(call: FlatCall) -> bool:
    """True if the call gives shares of classes, by an activation of its own or as a layer."""
    layer = call.layer
    if isinstance(layer, layers.Softmax):
        return bool(layer.axis in (-1, len(call.call.inputs[0].shape) - 1))
    known = has_kernel(call) or isinstance(layer, layers.Activation)
    return known and layer.activation is keras.activations.softmax


def sums(call: FlatCall, read: Tensor, weights: Weights | None = None) -> Tensor:
    """Compute a layer with a kernel, without its activation."""
    layer = call.layer
    bias = layer.bias if layer.use_bias else None
    kernel = layer.kernel
    if weights is not None:
        kernel, bias = weights.kernel, weights.bias
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
    return found if bias is None else found + bias


def compute(
    call: FlatCall,
    read: list[Tensor],
    observe: Observe | None = None,
    weights: Weights | None = None,
) -> tuple[Tensor, ...]:
    """Compute one call."""
    if has_kernel(call):
        found = sums(call, read[0], weights)
        if observe is not None:
            observe(call, read, found)
        activation = call.layer.activation
        return (found if activation is None else activation(found),)
    given = {id(tensor): value for tensor, value in zip(call.call.inputs, read, strict=True)}
    args, kwargs = call.call.node.arguments.fill_in(given)  # type: ignore[attr-defined]
    if isinstance(call.layer, layers.Layer) and call.layer._call_has_training_arg:
        kwargs = {**kwargs, "training": False}  # as Keras does, whatever the call says
    found = tuple(keras.tree.flatten(call.layer(*args, **kwargs)))
    if observe is not None:
        observe(call, read, found[0])
    return found


class _Numbers:
    """Numbers of tensors. What a nested model calls its input is what it was called with."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}
        self.shapes: dict[int, tuple[int | None, ...]] = {}

    def of(self, tensor: keras.KerasTensor) -> int:
        number = self._of.setdefault(id(tensor), len(self._of))
        self.shapes.setdefault(number, tuple(tensor.shape))
        return number

    def same(self, inner: keras.KerasTensor, outer: keras.KerasTensor) -> None:
        self._of[id(inner)] = self.of(outer)


_Found = tuple[Call, tuple[str, ...], tuple[int, ...], tuple[int, ...]]


def _flat(graph: KerasGraph, path: tuple[str, ...], numbers: _Numbers) -> Iterator[_Found]:
    for call in graph.calls:
        if _is_open(graph, call):
            nested = read_graph(call.layer)
            for inner, outer in zip(nested.model.inputs, call.inputs, strict=True):
                numbers.same(inner, outer)
            yield from _flat(nested, (*path, call.name), numbers)
            for inner, outer in zip(nested.model.outputs, call.outputs, strict=True):
                numbers.same(outer, inner)
        else:
            yield (
                call,
                path,
                tuple(numbers.of(tensor) for tensor in call.inputs),
                tuple(numbers.of(tensor) for tensor in call.outputs),
            )


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


def _is_open(graph: KerasGraph, call: Call) -> bool:
    layer = call.layer
    if not isinstance(layer, keras.Model) or call.training or not graph.called_once(call):
        return False
    return isinstance(layer, keras.Sequential) or hasattr(layer, "_nodes_by_depth")


def in_batches(pictures: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield pictures in batches of at most ``size``, float32."""
    for start in range(0, len(pictures), size):
        yield np.asarray(pictures[start : start + size], np.float32)
