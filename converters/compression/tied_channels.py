"""Which channels of a network can be removed, and which of them only together.

The last axis of a tensor holds channels. A layer with a kernel makes new ones; operators on single
channels hand them on; a sum or a product ties those that it joins, because what is left of one
without the other would have no partner. Channels that anything else reads stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from converters.compression.flat_graph import FlatCall, FlatGraph, has_kernel, is_softmax

_POINTWISE_LAYERS = (
    *(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Dropout),
    *(layers.ActivityRegularization, layers.AlphaDropout, layers.GaussianDropout),
    *(layers.GaussianNoise, layers.SpatialDropout2D, layers.Rescaling),
)
_SPATIAL_LAYERS = (
    *(layers.MaxPooling2D, layers.AveragePooling2D, layers.ZeroPadding2D, layers.UpSampling2D),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Cropping2D),
)
_MERGES = (layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply)
_MERGES_OF_TWO = (layers.Subtract,)
_MERGE_FUNCTIONS = frozenset({"Add", "Subtract", "Multiply", "Maximum", "Minimum", "TrueDivide"})
_POINTWISE_FUNCTIONS = frozenset(
    {"Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Gelu", "HardSigmoid", "HardSilu", "Elu", "Erf"}
)
_OVER_CHANNELS = (keras.activations.softmax, keras.activations.log_softmax)


@dataclass(frozen=True)
class Group:
    """Channels that come from the same layers."""

    name: str
    """The first layer that makes them."""
    channels: tuple[int, ...]
    """Numbers of the channels that go one by one."""
    producers: tuple[FlatCall, ...]
    consumers: tuple[FlatCall, ...]
    """Layers with a kernel that read them."""
    fixed: str = ""
    """Why none of them can go; empty where they can."""


@dataclass(frozen=True)
class TiedChannels:
    """The channels of all tensors, and the groups that they form."""

    of: Mapping[int, np.ndarray]
    """The number of the channel at every place of a tensor's last axis. Tied ones have the same."""
    groups: tuple[Group, ...]


def find_tied_channels(graph: FlatGraph) -> TiedChannels:
    """Find the groups of a network, in the order in which they are computed."""
    walk = _Walk(graph)
    for call in graph.calls:
        walk.visit(call)
    for tensor in graph.outputs:
        walk.fix(walk.of[tensor], "they are the network's answers")
    return walk.result()


class _Walk:
    """The channels found so far."""

    def __init__(self, graph: FlatGraph) -> None:
        self._graph = graph
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self.of: dict[int, np.ndarray] = {}
        self._fresh(graph.image)
        self.fix(self.of[graph.image], "they are the picture's colours")

    def visit(self, call: FlatCall) -> None:
        """Find the channels that a call writes."""
        rule = _rule_of(self._graph, call)
        if rule is not None:
            rule(self, call)
            return
        kind = type(call.layer).__name__
        for tensor in call.inputs:
            self.fix(self.of[tensor], f"{call.name} ({kind}) reads them in a way that is not known")
        for tensor in call.outputs:
            self._fresh(tensor)
            self.fix(self.of[tensor], f"{call.name} ({kind}) makes them")

    def make(self, call: FlatCall) -> None:
        """Handle a layer with a kernel."""
        self._fresh(call.outputs[0])
        if not call.is_only:
            for tensor in (call.inputs[0], call.outputs[0]):
                self.fix(self.of[tensor], f"{call.name} is called more than once")
        elif is_softmax(call):
            self.fix(self.of[call.outputs[0]], "they are the network's answers")

    def keep(self, call: FlatCall) -> None:
        """Handle an operator on single channels."""
        self.of[call.outputs[0]] = self.of[call.inputs[0]]
        if getattr(call.layer, "weights", ()) and not call.is_only:
            self.fix(self.of[call.inputs[0]], f"{call.name} is called more than once")

    def tie(self, call: FlatCall) -> None:
        """Handle a sum or a product."""
        size = self._graph.shapes[call.outputs[0]][-1]
        read = [self.of[tensor] for tensor in call.inputs if len(self.of[tensor]) == size]
        for other in read[1:]:
            for one, two in zip(read[0], other, strict=True):
                self._join(int(one), int(two))
        self.of[call.outputs[0]] = read[0]

    def concatenate(self, call: FlatCall) -> None:
        """Handle a concatenation of channels."""
        self.of[call.outputs[0]] = np.concatenate([self.of[tensor] for tensor in call.inputs])

    def flatten(self, call: FlatCall) -> None:
        """Handle a flattening, which writes the channels once for every position."""
        read = self.of[call.inputs[0]]
        size = self._graph.shapes[call.outputs[0]][-1]
        assert size is not None
        self.of[call.outputs[0]] = np.tile(read, size // len(read))

    def fix(self, channels: np.ndarray, reason: str) -> None:
        """Forbid to remove channels; the first reason stays."""
        for channel in dict.fromkeys(channels.tolist()):
            self._reasons.setdefault(self._root(channel), reason)

    def result(self) -> TiedChannels:
        """Return all channels by their final numbers."""
        of = {
            tensor: np.array([self._root(int(one)) for one in channels])
            for tensor, channels in self.of.items()
        }
        reasons: dict[int, str] = {}
        for channel, reason in self._reasons.items():
            reasons.setdefault(self._root(channel), reason)
        return TiedChannels(of, tuple(_groups(self._graph, of, reasons)))

    def _fresh(self, tensor: int) -> None:
        size = self._graph.shapes[tensor][-1] or 0
        self.of[tensor] = np.arange(len(self._parents), len(self._parents) + size)
        self._parents.extend(range(len(self._parents), len(self._parents) + size))

    def _root(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def _join(self, one: int, other: int) -> None:
        one, other = sorted((self._root(one), self._root(other)))
        if one == other:
            return
        self._parents[other] = one
        reason = self._reasons.pop(other, None)
        if reason is not None:
            self._reasons.setdefault(one, reason)


_Rule = Callable[[_Walk, FlatCall], None]


def _rule_of(graph: FlatGraph, call: FlatCall) -> _Rule | None:
    """Return what a call does with channels; None where it is not known."""
    shapes = [graph.shapes[tensor] for tensor in (*call.inputs, *call.outputs)]
    if call.call.training or len(call.outputs) != 1 or not all(map(len, shapes)):
        return None
    if has_kernel(call):
        return _Walk.make
    layer = call.layer
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    if len(call.inputs) == 1:
        return _rule_of_single(call, shapes[0], shapes[-1])
    return _rule_of_merge(layer, shapes)


def _rule_of_single(
    call: FlatCall, read: Sequence[int | None], written: Sequence[int | None]
) -> _Rule | None:
    layer = call.layer
    if isinstance(layer, layers.DepthwiseConv2D):
        known = layer.depth_multiplier == 1 and layer.activation not in _OVER_CHANNELS
        return _Walk.keep if known else None
    if isinstance(layer, layers.BatchNormalization):
        return _Walk.keep if layer.axis in (-1, len(read) - 1) else None
    if isinstance(layer, layers.Activation):
        return None if layer.activation in _OVER_CHANNELS else _Walk.keep
    if isinstance(layer, (*_POINTWISE_LAYERS, *_SPATIAL_LAYERS)):
        return _Walk.keep
    if isinstance(layer, layers.Flatten):
        return _Walk.flatten
    if isinstance(layer, layers.Reshape):
        return _Walk.keep if _keeps_channels(read, written) else None
    return _Walk.keep if _is_function(layer, _POINTWISE_FUNCTIONS | _MERGE_FUNCTIONS) else None


def _rule_of_merge(layer: keras.Operation, shapes: Sequence[Sequence[int | None]]) -> _Rule | None:
    if isinstance(layer, layers.Concatenate):
        rank = len(shapes[-1])
        return _Walk.concatenate if rank > 1 and layer.axis in (-1, rank - 1) else None
    is_known = isinstance(layer, (*_MERGES, *_MERGES_OF_TWO)) or _is_function(
        layer, _MERGE_FUNCTIONS
    )
    broadcast = {shape[-1] for shape in shapes} - {1} == {shapes[-1][-1]}
    return _Walk.tie if is_known and broadcast else None


def _keeps_channels(read: Sequence[int | None], written: Sequence[int | None]) -> bool:
    """True if a reshaping only adds or takes axes of one position."""
    return [side for side in read[1:] if side != 1] == [side for side in written[1:] if side != 1]


def _is_function(layer: keras.Operation, names: frozenset[str]) -> bool:
    return type(layer).__name__ in names and type(layer).__module__.startswith("keras.src.ops.")


def _groups(
    graph: FlatGraph, of: Mapping[int, np.ndarray], reasons: Mapping[int, str]
) -> list[Group]:
    """Collect the channels by the layers that make them."""
    producers: dict[int, list[FlatCall]] = defaultdict(list)
    consumers: dict[int, list[FlatCall]] = defaultdict(list)
    for call in filter(has_kernel, graph.calls):
        for found, tensor in ((producers, call.outputs[0]), (consumers, call.inputs[0])):
            for channel in dict.fromkeys(of[tensor].tolist()):
                found[channel].append(call)
    together: dict[tuple[FlatCall, ...], list[int]] = defaultdict(list)
    for channel, made_by in producers.items():
        together[tuple(made_by)].append(channel)
    return [_group(made_by, channels, consumers, reasons) for made_by, channels in together.items()]


def _group(
    made_by: tuple[FlatCall, ...],
    channels: Sequence[int],
    consumers: Mapping[int, Sequence[FlatCall]],
    reasons: Mapping[int, str],
) -> Group:
    read_by = tuple(dict.fromkeys(call for channel in channels for call in consumers[channel]))
    fixed = next((reasons[channel] for channel in channels if channel in reasons), "")
    if not fixed and not read_by:
        fixed = "no layer with a kernel reads them"
    return Group(made_by[0].name, tuple(channels), made_by, read_by, fixed)
