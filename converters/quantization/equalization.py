"""Exact equalisation of activations: every channel uses more of the range of its tensor.

ReLU, sums, pooling and convolutions commute with a positive scale per channel. So a channel can be
multiplied by ``1 / s`` where it is written and by ``s`` where it is read. The float function stays
the same, while a channel that used a tenth of its tensor's range uses all of it. Weights have a
step per output channel, so the first factor costs them nothing. Nagel et al. 2019
(arXiv:1906.04721) do this for pairs of layers. Here all tensors that sums, pooling and padding
connect are one group: the whole residual stream of a stage, with all layers that write and read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.quantization.activation_extremes import Extremes, Statistics
from converters.quantization.tflite_network import (
    CONVOLUTION,
    DENSE,
    DEPTHWISE,
    Operation,
    Parameters,
    TfliteNetwork,
)

_COMMUTING_ACTIVATIONS = ("NONE", "RELU")
_ONE_IN_ONE_OUT = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "RELU", "LEAKY_RELU"})
SMALLEST_RATIO = 1e-4
"""A channel that uses less of its tensor's range than this is scaled as if it used this much."""


@dataclass(frozen=True)
class Group:
    """Tensors whose channels must be scaled alike, and the operators that apply the scales."""

    tensors: tuple[int, ...]
    writers: tuple[int, ...]
    """Operators with a kernel whose output channels are divided by the scale, by index."""
    readers: tuple[int, ...]
    """Operators with a kernel whose input channels are multiplied by the scale, by index."""


@dataclass(frozen=True)
class Equalized:
    """A network's weights and extremes after equalisation."""

    parameters: Mapping[int, Parameters]
    statistics: Statistics
    groups: tuple[Group, ...]
    output_scales: Mapping[int, np.ndarray]
    """Divisor of every output channel of an operator with a kernel, by its index. Operators outside
    all groups are missing."""


def find_groups(network: TfliteNetwork) -> tuple[Group, ...]:
    """Find the groups of tensors that can be scaled, from the graph only.

    A group ends at kernels, which apply the scale. A whole group is left alone if one of its
    tensors meets an operator that does not commute with a scale per channel: a product, a softmax,
    a ReLU6, a slice of the channels. So is the group of the image, and that of the answer.
    """
    parent: dict[int, int] = {}

    def find(tensor: int) -> int:
        while parent.setdefault(tensor, tensor) != tensor:
            tensor = parent[tensor]
        return tensor

    weighted = {operation.index for operation in network.weighted}
    fixed = {network.image, network.answer}
    for operation in network.operations:
        tensors = [t for t in operation.inputs if t >= 0 and t not in network.constants]
        match _binding(network, operation, weighted):
            case "border":
                if operation.activation not in _COMMUTING_ACTIVATIONS:
                    fixed.add(operation.output)
            case "same":
                for tensor in tensors:
                    parent[find(tensor)] = find(operation.output)
            case _:
                fixed.update(tensors, operation.outputs)
    frozen = {find(tensor) for tensor in fixed}
    members: dict[int, list[int]] = {}
    for tensor in sorted(parent.keys() | {op.output for op in network.operations}):
        members.setdefault(find(tensor), []).append(tensor)
    return tuple(
        _group(network, tuple(tensors), weighted)
        for root, tensors in members.items()
        if root not in frozen
    )


def equalize(
    network: TfliteNetwork,
    statistics: Statistics,
    strength: float,
    groups: tuple[Group, ...] | None = None,
) -> Equalized:
    """Scale every channel towards the range of its tensors.

    The scale of a channel is the largest share of a range that it uses in any tensor of its group,
    to the power of ``strength``. A channel that is zero on all pictures keeps the scale 1.

    Args:
        network: The graph with its weights.
        statistics: Extremes of every tensor.
        strength: From 0 (no change) to 1 (best for activations, worst for kernels).
        groups: The result of ``find_groups``, if the caller has it.

    Returns:
        New weights and extremes; the float function is that of ``network`` up to rounding.
    """
    scaled = dict(statistics)
    output_scales: dict[int, np.ndarray] = {}
    input_scales: dict[int, np.ndarray] = {}
    groups = find_groups(network) if groups is None else groups
    for group in groups:
        scale = _scale(group, statistics, strength)
        output_scales |= dict.fromkeys(group.writers, scale)
        input_scales |= dict.fromkeys(group.readers, scale)
        for tensor in group.tensors:
            scaled[tensor] = statistics[tensor].scaled(1 / scale)
    parameters = {}
    for operation in network.weighted:
        index, p = operation.index, network.parameters[operation.index]
        kernel, bias = p.kernel, p.bias
        if index in output_scales:
            bias = _divided(bias, output_scales[index])
            kernel = _divided(kernel, _along_outputs(kernel, operation.kind, output_scales[index]))
        if index in input_scales:
            factor = _along_inputs(kernel, operation.kind, input_scales[index])
            kernel = kernel * factor.astype(np.float32)
        parameters[index] = Parameters(kernel, bias)
    return Equalized(parameters, scaled, groups, output_scales)


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = values / by.astype(np.float32)
    return quotient


def _binding(network: TfliteNetwork, operation: Operation, weighted: set[int]) -> str:
    """Return the relation of the scales of an operator's tensors: border, same or none."""
    if operation.index in weighted:
        shape = network.shapes[operation.inputs[0]]
        kernel = network.parameters[operation.index].kernel
        if operation.kind == CONVOLUTION and kernel.shape[2] == shape[-1]:
            return "border"
        if operation.kind == DENSE and len(shape) == 2:
            return "border"
        if operation.kind == DEPTHWISE and kernel.shape[3] == 1 and _commutes(operation):
            return "border"
        return "none"
    if not _commutes(operation):
        return "none"
    constants = [tensor for tensor in operation.inputs if tensor in network.constants]
    if operation.kind == "ADD" and not constants:
        same = {network.shapes[t] for t in (*operation.inputs, operation.output)}
        return "same" if len(same) == 1 else "none"
    if operation.kind in _ONE_IN_ONE_OUT:
        return "same" if _keeps_channels(network, operation) else "none"
    if operation.kind == "MEAN":
        axes = network.constants[operation.inputs[1]].reshape(-1)
        last = len(network.shapes[operation.inputs[0]]) - 1
        return "none" if last in axes or -1 in axes else "same"
    if operation.kind in ("RESHAPE", "SQUEEZE"):
        before, after = (network.shapes[t] for t in (operation.inputs[0], operation.output))
        return "same" if before[-1] == after[-1] else "none"
    return "none"


def _commutes(operation: Operation) -> bool:
    return operation.activation in _COMMUTING_ACTIVATIONS


def _keeps_channels(network: TfliteNetwork, operation: Operation) -> bool:
    return network.shapes[operation.inputs[0]][-1] == network.shapes[operation.output][-1]


def _group(network: TfliteNetwork, tensors: tuple[int, ...], weighted: set[int]) -> Group:
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


def _scale(group: Group, statistics: Statistics, strength: float) -> np.ndarray:
    shares = [_shares(statistics[tensor]) for tensor in group.tensors]
    share = np.max(shares, axis=0)
    scale: np.ndarray = np.where(share > 0, np.maximum(share, SMALLEST_RATIO), 1.0) ** strength
    return scale


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
    return scale.reshape(kernel.shape[2:]) if kind == DEPTHWISE else scale[:, np.newaxis]
