"""Calls that commute with a subsampling of positions, channels last.

``subsample(f(x)) == f(subsample(x))`` holds for every operator that treats each position alike and
by itself. A convolution with neighbours does not commute, but can compute only the wanted
positions.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import keras
from keras import layers

from converters.rewrites.keras_graph import Call, KerasGraph

ELEMENTWISE: frozenset[Callable[..., object]] = frozenset(
    getattr(keras.activations, name)
    for name in (
        *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh"),
        *("leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid"),
        *("silu", "softplus", "softsign", "squareplus", "tanh"),
    )
)
"""Activations of single values."""

_FUNCTIONS = ELEMENTWISE | {keras.activations.softmax}
"""Activations whose value at a position depends on that position only. Softmax is over channels."""

ELEMENTWISE_LAYERS = (
    *(layers.ActivityRegularization, layers.AlphaDropout, layers.Dropout, layers.ELU),
    *(layers.GaussianDropout, layers.GaussianNoise, layers.Identity, layers.LeakyReLU),
    *(layers.ReLU, layers.SpatialDropout2D),
)
MERGES = (
    *(layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply),
    layers.Subtract,
)
ELEMENTWISE_OPS = frozenset({"Relu", "Relu6", "Sigmoid", "Silu", "Tanh"})
MERGE_OPS = frozenset({"Add", "Maximum", "Minimum", "Multiply", "Subtract"})


class Role(enum.Enum):
    """The effect of a call on a subsampling of its output."""

    ABSORBS = "a convolution with neighbours: computes fewer positions, reads all"
    CARRIES = "a 1x1 convolution: computes fewer positions, reads fewer"
    PICKS = "a 1x1 pooling: only its stride, which has a meaning"
    COMMUTES = "an operator on single positions: works on fewer"
    STOPS = "anything else"


def role_of(graph: KerasGraph, call: Call) -> Role:
    """Return the effect of a call on a subsampling of its output.

    Every call that is not known to be exact stops it. So does a convolution with a dilation, which
    has no stride in Keras, and one that is called twice, which has one stride for both calls.
    """
    pictures = (*call.inputs, *call.outputs)
    if call.training or len(call.outputs) != 1 or any(len(x.shape) != 4 for x in pictures):
        return Role.STOPS
    layer = call.layer
    if type(layer) in (layers.Conv2D, layers.DepthwiseConv2D):
        return _role_of_convolution(layer) if graph.called_once(call) else Role.STOPS
    if type(layer) in (layers.MaxPooling2D, layers.AveragePooling2D):
        one = layer.pool_size == (1, 1) and layer.data_format == "channels_last"
        return Role.PICKS if one and graph.called_once(call) else Role.STOPS
    single = len(call.inputs) == 1 and _is_single(layer)
    return Role.COMMUTES if single or _is_merge(call) else Role.STOPS


def subsample(step: tuple[int, int], name: str, dtype: object) -> layers.Layer:
    """Return a layer that keeps every ``step``-th row and column."""
    return layers.MaxPooling2D(1, strides=step, data_format="channels_last", name=name, dtype=dtype)


def _role_of_convolution(layer: layers.Layer) -> Role:
    if layer.data_format != "channels_last" or layer.activation not in _FUNCTIONS:
        return Role.STOPS
    if max(layer.dilation_rate) > 1:
        return Role.STOPS
    if max(layer.kernel_size) > 1:
        return Role.ABSORBS
    return Role.CARRIES if type(layer) is layers.Conv2D else Role.STOPS


def _is_single(layer: keras.Operation) -> bool:
    if type(layer) in ELEMENTWISE_LAYERS:
        return True
    if type(layer) is layers.Activation:
        return layer.activation in _FUNCTIONS
    if type(layer) in (layers.BatchNormalization, layers.Softmax):
        return layer.axis in (-1, 3)
    if type(layer) is layers.PReLU:
        return {1, 2} <= set(layer.shared_axes or ())
    return is_function(layer, ELEMENTWISE_OPS)


def is_sum(call: Call) -> bool:
    """True if the call adds tensors of one shape, by ``Add`` or by ``+``."""
    return _is_merge(call) and type(call.layer).__name__ == "Add"


def _is_merge(call: Call) -> bool:
    """True if the call joins tensors position by position, without broadcasting."""
    layer = call.layer
    if type(layer) is layers.Concatenate:
        return layer.axis in (-1, 3)
    is_known = type(layer) in MERGES or is_function(layer, MERGE_OPS)
    return is_known and len(call.inputs) > 1 and len({tuple(x.shape) for x in call.inputs}) == 1


def is_function(layer: keras.Operation, names: frozenset[str]) -> bool:
    """True if the call is of a function of ``keras.ops``, also by an operator such as ``+``."""
    return type(layer).__name__ in names and type(layer).__module__.startswith("keras.src.ops.")
