"""Which channels of a network can be removed, and which of them only together.

The last axis of a tensor holds channels. A layer with a kernel makes new ones; operators on single
channels hand them on; a sum or a product ties those that it joins, because what is left of one
without the other would have no partner. Channels that anything else reads stay.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from converters.compression.flat_graph import FlatCall, FlatGraph, has_kernel
from converters.rewrites.keras_graph import new_name
from converters.rewrites.subsampling import (
    ELEMENTWISE,
    ELEMENTWISE_LAYERS,
    ELEMENTWISE_OPS,
    MERGE_OPS,
    MERGES,
    is_function,
)

_SPATIAL_LAYERS = (
    *(layers.MaxPooling2D, layers.AveragePooling2D, layers.ZeroPadding2D, layers.UpSampling2D),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Cropping2D),
)
_ELEMENTWISE_OPS = ELEMENTWISE_OPS | {"Gelu", "HardSigmoid", "HardSilu", "Elu", "Erf"}
_MERGE_OPS = MERGE_OPS | {"TrueDivide"}


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
        elif not _is_elementwise(call.layer) and call.outputs[0] not in self._graph.outputs:
            name = keras.activations.serialize(call.layer.activation)
            self.fix(self.of[call.outputs[0]], f"the activation of {call.name} ({name}) joins them")

    def keep(self, call: FlatCall) -> None:
        """Handle an operator on single channels."""
        self.of[call.outputs[0]] = self.of[call.inputs[0]]
        depends = getattr(call.layer, "weights", ()) or isinstance(call.layer, layers.Reshape)
        if depends and not call.is_only:
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
        size = self._graph.shapes[tensor][-1]
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
    read = [graph.shapes[tensor] for tensor in call.inputs]
    if call.call.training or len(call.outputs) != 1:
        return None
    written = graph.shapes[call.outputs[0]]
    if not all(read) or not written:  # a scalar
        return None
    if has_kernel(call):
        return _Walk.make
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        return None
    if len(read) > 1:
        return _rule_of_merge(call.layer, read, written)
    rule = _rule_of_single(call, read[0], written)
    return None if rule is _Walk.keep and read[0][-1] != written[-1] else rule


def _rule_of_single(call: FlatCall, read: Sequence[int], written: Sequence[int]) -> _Rule | None:
    layer = call.layer
    match layer:
        case layers.DepthwiseConv2D():
            known = layer.depth_multiplier == 1 and _is_elementwise(layer)
        case layers.BatchNormalization():
            known = layer.axis in (-1, len(read))
        case layers.Activation():
            known = _is_elementwise(layer)
        case layers.Rescaling():
            known = np.ndim(layer.scale) == np.ndim(layer.offset) == 0
        case layers.Flatten():
            return _Walk.flatten
        case layers.Reshape():
            known = _keeps_channels(read, written)
        case _ if isinstance(layer, (*ELEMENTWISE_LAYERS, *_SPATIAL_LAYERS)):
            known = True
        case _:
            known = is_function(layer, _ELEMENTWISE_OPS | _MERGE_OPS)
            known = known and _has_only_scalars(call)
    return _Walk.keep if known else None


def _rule_of_merge(
    layer: keras.Operation, read: Sequence[Sequence[int]], written: Sequence[int]
) -> _Rule | None:
    if isinstance(layer, layers.Concatenate):
        return _Walk.concatenate if layer.axis in (-1, len(written)) else None
    is_known = isinstance(layer, MERGES) or is_function(layer, _MERGE_OPS)
    broadcast = {shape[-1] for shape in read} - {1} <= {written[-1]}
    return _Walk.tie if is_known and broadcast else None


def _is_elementwise(layer: layers.Layer) -> bool:
    """True if a layer's activation treats every value by itself."""
    return layer.activation is None or layer.activation in ELEMENTWISE


def _has_only_scalars(call: FlatCall) -> bool:
    """True if a function's other arguments are the same for all channels."""
    arguments = call.call.node.arguments  # type: ignore[attr-defined]
    values = keras.tree.flatten((arguments.args, arguments.kwargs))
    others = [value for value in values if not isinstance(value, keras.KerasTensor)]
    return all(np.ndim(value) == 0 for value in others if value is not None)


def _keeps_channels(read: Sequence[int], written: Sequence[int]) -> bool:
    """True if a reshaping only adds or takes axes of one position before the last."""
    return [side for side in read[:-1] if side != 1] == [side for side in written[:-1] if side != 1]


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
    taken: set[str] = set()
    groups = []
    for made, channels in together.items():
        read_by = tuple(dict.fromkeys(call for channel in channels for call in consumers[channel]))
        name = new_name(made[0].name, taken)
        fixed = _why_fixed(channels, read_by, of, reasons)
        groups.append(Group(name, tuple(channels), made, read_by, fixed))
    return groups


def _why_fixed(
    channels: Sequence[int],
    read_by: Sequence[FlatCall],
    of: Mapping[int, np.ndarray],
    reasons: Mapping[int, str],
) -> str:
    fixed = next((reasons[channel] for channel in channels if channel in reasons), "")
    if fixed:
        return fixed
    if not read_by:
        return "no layer with a kernel reads them"
    for call in read_by:
        read = Counter(of[call.inputs[0]].tolist())
        if len({read[channel] for channel in channels}) > 1:
            return f"{call.name} reads some of them more often than others"
    return ""
