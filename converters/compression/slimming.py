"""A model without some of its channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from keras import layers

from converters.compression.flat_graph import (
    FlatCall,
    FlatGraph,
    has_kernel,
    read_flat_graph,
)
from converters.compression.tied_channels import TiedChannels
from converters.rewrites.keras_graph import (
    Change,
    KerasGraph,
    reconfigured,
    rewrite_graphs,
)


@dataclass(frozen=True)
class _New:
    """A layer of the slimmed model."""

    layer: layers.Layer
    weights: list[np.ndarray]


@dataclass(frozen=True)
class Slimmed:
    """A network before and after some of its channels are removed."""

    before: FlatGraph
    after: FlatGraph
    channels: TiedChannels
    """Of the network before."""
    removed: np.ndarray
    """Numbers of the removed channels, ascending."""

    @property
    def model(self) -> keras.Model:
        """The slimmed model."""
        return self.after.model

    def kept(self, tensor: int) -> np.ndarray:
        """Return which channels of a tensor are left, bool ``(channels,)``."""
        return ~np.isin(self.channels.of[tensor], self.removed)

    @cached_property
    def pairs(self) -> tuple[tuple[FlatCall, FlatCall], ...]:
        """Every call with its twin in the slimmed network."""
        twins: dict[tuple[str, ...], list[FlatCall]] = defaultdict(list)
        for call in self.after.calls:
            twins[call.path].append(call)
        return tuple((call, twins[call.path].pop(0)) for call in self.before.calls)

    def twin(self, call: FlatCall) -> FlatCall:
        """Return the call of the slimmed network in the place of one before."""
        return next(new for old, new in self.pairs if old is call)


def slim(graph: FlatGraph, channels: TiedChannels, removed: Iterable[int]) -> Slimmed:
    """Remove channels from a model.

    What is left computes exactly what the model computes with zeros in the place of the removed
    channels wherever a kernel reads them.

    Args:
        graph: The model. It is not changed.
        channels: Its channels.
        removed: Numbers of the channels to remove, of groups that are not fixed.

    Returns:
        A model with layers of the same names. None of Keras' own layers shares weights with the
        model before, but those that are called more than once.

    Raises:
        ValueError: A group would lose all its channels.
    """
    gone = np.array(sorted(set(removed)), int)
    for group in channels.groups:
        if np.isin(group.channels, gone).all():
            raise ValueError(f"no channel of {group.name} would be left")
    kept = {tensor: ~np.isin(own, gone) for tensor, own in channels.of.items()}
    new = {
        id(call.layer): made
        for call in graph.calls
        if (made := _slimmed(call, kept[call.inputs[0]], kept[call.outputs[0]])) is not None
    }

    def find(inner: KerasGraph) -> Change:
        found = {call.name: made for call in inner.calls if (made := new.get(id(call.layer)))}
        return Change(
            count=len(found),
            replaced={name: made.layer for name, made in found.items()},
            weights={name: made.weights for name, made in found.items() if made.weights},
        )

    after = read_flat_graph(rewrite_graphs(graph.model, find).model)
    return Slimmed(graph, after, channels, gone)


def _slimmed(call: FlatCall, read: np.ndarray, written: np.ndarray) -> _New | None:
    """Return the layer for a call, with weights of its own; None for those that can stay."""
    layer = call.layer
    if not call.is_only:
        return None
    if read.all() and written.all():
        return _copy(layer)
    if has_kernel(call):
        size = {"units" if isinstance(layer, layers.Dense) else "filters": int(written.sum())}
        kernel, *bias = layer.get_weights()
        kernel = kernel[..., read, :][..., written]
        return _New(reconfigured(layer, **size), [kernel, *(one[written] for one in bias)])
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel, *bias = layer.get_weights()
        weights = [kernel[..., read, :], *(one[read] for one in bias)]
        return _New(reconfigured(layer), weights)
    if isinstance(layer, layers.BatchNormalization):
        return _New(reconfigured(layer), [one[read] for one in layer.get_weights()])
    if isinstance(layer, layers.Reshape):
        shape = (*layer.target_shape[:-1], int(written.sum()))
        return _New(reconfigured(layer, target_shape=shape), [])
    return None


def _copy(layer: keras.Operation) -> _New | None:
    """Return a layer with the same weights; None for those without, and for users' own."""
    is_own = type(layer).__module__.startswith("keras.")
    if not is_own or isinstance(layer, keras.Model) or not getattr(layer, "weights", ()):
        return None
    return _New(reconfigured(layer), layer.get_weights())
