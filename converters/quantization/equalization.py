"""Equalisation of activations: every channel uses more of the range of its tensor.

ReLU, sums, pooling and convolutions commute with a positive scale per channel. So a channel can be
multiplied by ``1 / s`` where it is written and by ``s`` where it is read. The float function stays
the same, while a channel that used a tenth of its tensor's range uses all of it. Weights have a
step per output channel, so the first factor costs them nothing. Nagel et al. 2019
(arXiv:1906.04721) do this for pairs of layers. Here all channels that sums, pooling, padding and
concatenations connect are one group: the whole residual stream of a stage, with all layers that
write and read it.

A depthwise kernel has a step per channel, so the second factor costs it nothing either. A group
that only depthwise kernels read is scaled by ``FREE_STRENGTH``.

ReLU6 commutes as long as no value reaches 6. A channel is scaled by at most the share of the range
that it uses, so a channel that reaches 6 is not scaled, and no value of a calibration picture meets
the bound that did not meet it before. On other pictures a value may be clipped that is larger than
those seen in its channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from converters.quantization.activation_extremes import Extremes, Statistics
from converters.quantization.tflite_network import (
    DENSE,
    DEPTHWISE,
    Operation,
    Parameters,
    TfliteNetwork,
)

_COMMUTING_ACTIVATIONS = ("NONE", "RELU", "RELU6")
_ONE_IN_ONE_OUT = frozenset(
    {"AVERAGE_POOL_2D", "LEAKY_RELU", "MAX_POOL_2D", "MIRROR_PAD", "PAD", "RELU", "RELU6"}
    | {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
)
_SAME_SHAPES = frozenset({"ADD", "MAXIMUM", "MINIMUM", "SUB"})
_REDUCTIONS = frozenset({"MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"})
_RESHAPES = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE"})

SMALLEST_RATIO = 1e-4
"""A channel that uses less of its tensor's range than this is scaled as if it used this much."""

FREE_STRENGTH = 0.9
"""Strength where kernels lose nothing. Less than 1, because another picture may hold larger values
than the calibration pictures, and a full channel would clip them."""


@dataclass(frozen=True)
class Group:
    """Tensors whose channels must be scaled alike, and the operators that apply the scales."""

    tensors: tuple[int, ...]
    writers: tuple[int, ...]
    """Operators with a kernel whose output channels are divided by the scale, by index."""
    readers: tuple[int, ...]
    """Operators with a kernel whose input channels are multiplied by the scale, by index."""


@dataclass(frozen=True)
class ChannelGroups:
    """Channels that must be scaled alike, from the graph only."""

    network: TfliteNetwork
    members: Mapping[int, np.ndarray]
    """Group of every channel of a computed tensor, int ``(channels,)``, by index of the tensor."""
    fixed: np.ndarray
    """True for a group that cannot be scaled, by its number."""
    free: np.ndarray
    """True for a group that only depthwise kernels read, by its number."""

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The tensors that scaled channels connect."""
        scaled = {t: ids[~self.fixed[ids]] for t, ids in self.members.items()}
        scaled = {t: ids for t, ids in scaled.items() if len(ids)}
        first: dict[int, int] = {}
        parent = {tensor: tensor for tensor in scaled}

        def find(tensor: int) -> int:
            while parent[tensor] != tensor:
                tensor = parent[tensor]
            return tensor

        for tensor, ids in scaled.items():
            for group in np.unique(ids).tolist():
                parent[find(tensor)] = find(first.setdefault(group, tensor))
        found: dict[int, list[int]] = {}
        for tensor in sorted(scaled):
            found.setdefault(find(tensor), []).append(tensor)
        return tuple(self._group(tuple(tensors)) for tensors in found.values())

    def _group(self, tensors: tuple[int, ...]) -> Group:
        network = self.network
        weighted = {operation.index for operation in network.weighted}
        writers = tuple(
            network.writers[t].index for t in tensors if network.writers[t].index in weighted
        )
        readers = tuple(
            operation.index
            for t in tensors
            for operation in network.readers.get(t, ())
            if operation.index in weighted and operation.inputs[0] == t
        )
        return Group(tensors, writers, readers)


@dataclass(frozen=True)
class Equalized:
    """A network's weights and extremes after equalisation."""

    parameters: Mapping[int, Parameters]
    statistics: Statistics
    output_scales: Mapping[int, np.ndarray]
    """Divisor of every output channel of an operator with a kernel, by its index. Operators outside
    all groups are missing."""


def find_channels(network: TfliteNetwork) -> ChannelGroups:
    """Find the groups of channels that can be scaled, from the graph only.

    A group ends at kernels, which apply the scale. A whole group is left alone if one of its
    channels meets an operator that does not commute with a scale per channel: a sigmoid, a softmax,
    a sum with a constant. So is the group of the image, and that of the answer.
    """
    weighted = {operation.index for operation in network.weighted}
    computed = [t for op in network.operations for t in op.outputs if t not in network.integers]
    tensors = sorted({network.image, *computed})
    sizes = [_channels(network, tensor) for tensor in tensors]
    starts = np.cumsum([0, *sizes])
    places = {
        tensor: np.arange(start, start + size)
        for tensor, start, size in zip(tensors, starts, sizes, strict=False)
    }
    fixed = [places[network.image], places[network.answer]]
    links = [(np.empty(0, int), np.empty(0, int))]
    heavy = [np.empty(0, int)]
    for operation in network.operations:
        read = [t for t in operation.inputs if t in places]
        if operation.index in weighted:
            source = places[operation.inputs[0]]
            if not _reads_whole_channels(network, operation):
                fixed.append(source)
            if operation.kind != DEPTHWISE:
                heavy.append(source)
            if operation.activation not in _COMMUTING_ACTIVATIONS:
                fixed.append(places[operation.output])
            continue
        pairs = list(_links(network, operation, places)) if _commutes(operation) else []
        linked = {int(id_) for pair in pairs for ids in pair for id_ in ids}
        links += pairs
        for tensor in (*read, *(t for t in operation.outputs if t in places)):
            fixed.append(places[tensor][[int(i) not in linked for i in places[tensor]]])
    edges = np.concatenate([np.stack(pair) for pair in links], axis=1)
    total = int(starts[-1])
    graph = coo_array((np.ones(edges.shape[1], bool), (edges[0], edges[1])), (total, total))
    count, labels = connected_components(graph, directed=False)
    is_fixed, is_heavy = np.zeros(count, bool), np.zeros(count, bool)
    is_fixed[labels[np.concatenate(fixed)]] = True
    is_heavy[labels[np.concatenate(heavy)]] = True
    members = {tensor: labels[ids] for tensor, ids in places.items()}
    return ChannelGroups(network, members, is_fixed, ~is_heavy)


def equalize(
    network: TfliteNetwork, statistics: Statistics, scales: Mapping[int, np.ndarray]
) -> Equalized:
    """Divide every channel by its scale where it is written, and take it back where it is read.

    Args:
        network: The graph with its weights.
        statistics: Extremes of every tensor.
        scales: Divisor of every channel, by index of the tensor: alike where channels are one
            group, as ``strength_scales`` and ``converters.quantization.least_noise`` give them.

    Returns:
        New weights and extremes; the float function is that of ``network`` up to rounding.
    """
    scaled = {
        tensor: extremes.scaled(1 / scales[tensor]) if tensor in scales else extremes
        for tensor, extremes in statistics.items()
    }
    parameters, output_scales = {}, {}
    for operation in network.weighted:
        index, p = operation.index, network.parameters[operation.index]
        kernel, bias = p.kernel, p.bias
        if operation.output in scales:
            output_scales[index] = scale = scales[operation.output]
            bias = _divided(bias, scale)
            kernel = _divided(kernel, _along_outputs(kernel, operation.kind, scale))
        if operation.inputs[0] in scales:
            factor = _along_inputs(kernel, operation.kind, scales[operation.inputs[0]])
            kernel = kernel * factor.astype(np.float32)
        parameters[index] = Parameters(kernel, bias)
    return Equalized(parameters, scaled, output_scales)


def strength_scales(
    channels: ChannelGroups, statistics: Statistics, strength: float
) -> dict[int, np.ndarray]:
    """Return scales by the range that a channel uses.

    The scale of a channel is the largest share of a range that it uses in any tensor of its group,
    to the power of ``strength``. A channel that is zero on all pictures keeps the scale 1.

    Args:
        channels: The channels that must be scaled alike.
        statistics: Extremes of every tensor.
        strength: From 0 (no change) to 1 (best for activations, worst for kernels).
    """
    share = range_shares(channels, statistics)
    power = np.where(channels.free, max(strength, FREE_STRENGTH if strength else 0.0), strength)
    scale: np.ndarray = np.where(share > 0, np.maximum(share, SMALLEST_RATIO), 1.0) ** power
    return scales_by_tensor(channels, scale)


def range_shares(channels: ChannelGroups, statistics: Statistics) -> np.ndarray:
    """Return the largest share of a tensor's range that each group of channels uses, in [0, 1]."""
    share = np.zeros(len(channels.fixed))
    for tensor, ids in channels.members.items():
        if tensor in statistics:
            np.maximum.at(share, ids, _shares(statistics[tensor]))
    return share


def scales_by_tensor(channels: ChannelGroups, scale: np.ndarray) -> dict[int, np.ndarray]:
    """Return the scales of groups by index of the tensor, without tensors that have none.

    Args:
        channels: The groups.
        scale: Divisor of every group, by its number. Those of fixed groups do not count.
    """
    scale = np.where(channels.fixed, 1.0, scale)
    return {
        tensor: scale[ids]
        for tensor, ids in channels.members.items()
        if not channels.fixed[ids].all()
    }


def _links(
    network: TfliteNetwork, operation: Operation, places: Mapping[int, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield channels of inputs and of the output that an operator gives one scale.

    Channels that it yields nowhere cannot be scaled.
    """
    out = places.get(operation.output)
    read = [tensor for tensor in operation.inputs if tensor in places]
    if out is None or not read:
        return
    source, shape = places[read[0]], network.shapes[operation.output]
    is_whole = len(source) == len(out)
    if operation.kind in _SAME_SHAPES:
        if all(network.shapes[tensor] == shape for tensor in operation.inputs) and len(read) > 1:
            yield from ((places[tensor], out) for tensor in read)
    elif operation.kind == "MUL":
        alike = [tensor for tensor in read if network.shapes[tensor] == shape]
        if len(set(read)) > 1 and alike:  # the other factor keeps its values
            yield places[alike[0]], out
    elif operation.kind in _ONE_IN_ONE_OUT and is_whole:
        yield source, out
    elif operation.kind in _REDUCTIONS:
        axes = network.constants[operation.inputs[1]].reshape(-1)
        if not {-1, len(network.shapes[read[0]]) - 1} & set(axes.tolist()):
            yield source, out
    elif operation.kind in _RESHAPES:
        if is_whole:
            yield source, out
        elif len(shape) == 2 and len(out) % len(source) == 0:  # a Flatten
            yield np.tile(source, len(out) // len(source)), out
    elif operation.kind == "CONCATENATION":
        if operation.options.axis in (-1, len(shape) - 1):  # type: ignore[attr-defined]
            ends = np.cumsum([len(places[tensor]) for tensor in read])
            if len(read) == len(operation.inputs):
                parts = np.split(out, ends[:-1])
                yield from ((places[t], part) for t, part in zip(read, parts, strict=True))
        elif len(read) == len(operation.inputs):
            yield from ((places[tensor], out) for tensor in read)


def _channels(network: TfliteNetwork, tensor: int) -> int:
    shape = network.shapes[tensor]
    return shape[-1] if shape else 1


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = values / by.astype(np.float32)
    return quotient


def _reads_whole_channels(network: TfliteNetwork, operation: Operation) -> bool:
    """True if every channel of the input has weights of its own, also for several groups."""
    kernel = network.parameters[operation.index].kernel
    inputs = kernel.shape[0] if operation.kind == DENSE else kernel.shape[2]
    return bool(inputs == _channels(network, operation.inputs[0]))


def _commutes(operation: Operation) -> bool:
    return operation.activation in _COMMUTING_ACTIVATIONS


def _shares(extremes: Extremes) -> np.ndarray:
    """Return the share of the tensor's range that each channel uses, in [0, 1]."""
    whole = extremes.range
    above = np.maximum(extremes.high, 0) / (whole.high or 1.0)
    below = np.minimum(extremes.low, 0) / (whole.low or -1.0)
    shares: np.ndarray = np.maximum(above, below)
    return shares


def _along_outputs(kernel: np.ndarray, kind: str, scale: np.ndarray) -> np.ndarray:
    return scale.reshape(kernel.shape[2:]) if kind == DEPTHWISE else scale


def _along_inputs(kernel: np.ndarray, kind: str, scale: np.ndarray) -> np.ndarray:
    """Return the scale of input channels, in a shape that multiplies a kernel."""
    return scale[:, np.newaxis]
