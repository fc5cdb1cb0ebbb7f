"""The order in which channels go, and what the logits lose with each.

The optimal brain surgeon (Hassibi and Stork 1993) for whole channels: the channel goes whose best
replacement by the others costs least, and the others replace it before the next is chosen (as in
ZipLM, Kurtic et al. 2023, arXiv:2302.04089).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.array_file import read_arrays, write_arrays
from converters.compression.flat_graph import FlatCall
from converters.compression.layer_statistics import LayerStatistics
from converters.compression.tied_channels import Group, TiedChannels

RIDGE = 0.01
"""Part of the Gram matrix's diagonal that is added to it: the price of a change, for every row in
units of what it reads."""

SMALLEST_ENERGY, TINY = 1e-6, 1e-20
"""A row that reads less than this part of the mean counts as one that reads as much."""

STEPS = 32
"""Times that a group's channels are looked at anew. Between them several go at once."""


@dataclass(frozen=True)
class RemovalOrder:
    """A group's channels from the first to go to the last, which stays."""

    group: Group
    channels: tuple[int, ...]
    errors: np.ndarray
    """float64 ``(channels,)``: squared error of the logits, per picture, without the first so many,
    from 0 of them on."""


@dataclass(frozen=True)
class Curvature:
    """What the logits lose by changes of one layer's kernel."""

    energy: np.ndarray
    """float32 ``(rows + 1,)``: see ``LayerStatistics``."""
    inverse: np.ndarray | None
    """float32 ``(rows + 1, rows + 1)``: of the Gram matrix with the price of a change; None where
    the rows are too many."""
    slopes: np.ndarray

    @classmethod
    def of(cls, statistics: LayerStatistics) -> Curvature:
        """Invert a layer's Gram matrix."""
        gram = statistics.gram
        inverse = None if gram is None else _inverse(gram)
        return cls(statistics.energy, inverse, statistics.slopes)


class _Consumer:
    """A layer that reads the group, while channels go."""

    def __init__(self, call: FlatCall, curvature: Curvature, places: list[np.ndarray]) -> None:
        kernel = np.asarray(call.layer.kernel, np.float32)
        outputs, inputs = kernel.shape[-1], kernel.shape[-2]
        spatial = np.arange(kernel[..., 0, 0].size)
        # Rows of the kernel that read a channel: at every place, in every spatial position.
        self._rows = np.stack([(spatial[:, None] * inputs + own).reshape(-1) for own in places])
        kernel = kernel.reshape(-1, outputs) * np.sqrt(curvature.slopes)
        self._weights = np.concatenate([kernel, np.zeros((1, outputs), np.float32)])
        self._energy = curvature.energy
        self._inverse = None if curvature.inverse is None else curvature.inverse.copy()

    def costs(self, left: np.ndarray) -> np.ndarray:
        """Return what the removal of each channel that is left costs."""
        rows = self._rows[left]
        if self._inverse is None:
            weights = self._weights[rows]
            return np.asarray((np.square(weights).sum(axis=2) * self._energy[rows]).sum(axis=1))
        blocks = np.linalg.inv(self._inverse[rows[:, :, None], rows[:, None, :]])
        weights = self._weights[rows]
        return np.asarray(np.einsum("cio,cij,cjo->c", weights, blocks, weights, optimize=True))

    def remove(self, gone: np.ndarray) -> float:
        """Let the other rows do what those of some channels did; return what that costs."""
        if self._inverse is None:
            return float(self.costs(gone).sum())
        rows = self._rows[gone].reshape(-1)
        block = np.linalg.inv(self._inverse[np.ix_(rows, rows)])
        weights = self._weights[rows]
        cost = float(np.einsum("io,ij,jo->", weights, block, weights, optimize=True))
        across = self._inverse[:, rows] @ block
        self._weights -= across @ weights
        self._inverse -= across @ self._inverse[rows]
        self._weights[rows] = 0
        return cost


def removal_order(
    group: Group, channels: TiedChannels, curvatures: Mapping[FlatCall, Curvature]
) -> RemovalOrder:
    """Find the order of one group, with all other channels there.

    Args:
        group: It is not fixed.
        channels: Of the network.
        curvatures: Of all layers that read the group.
    """
    consumers = [
        _Consumer(call, curvatures[call], _places(group.channels, channels.of[call.inputs[0]]))
        for call in group.consumers
    ]
    count = len(group.channels)
    left = np.arange(count)
    order: list[int] = []
    errors = [0.0]
    step = max(1, count // STEPS)
    while len(left) > 1:
        costs = np.sum([consumer.costs(left) for consumer in consumers], axis=0)
        chosen = np.argsort(costs, kind="stable")[: min(step, len(left) - 1)]
        order.extend(left[chosen].tolist())
        together = sum(consumer.remove(left[chosen]) for consumer in consumers)
        alone = np.cumsum(np.maximum(costs[chosen], 0))
        errors.extend(errors[-1] + alone * (together / alone[-1] if alone[-1] > 0 else 0.0))
        left = np.delete(left, chosen)
    order.extend(left.tolist())
    numbers = tuple(group.channels[place] for place in order)
    return RemovalOrder(group, numbers, np.array(errors))


def _inverse(gram: np.ndarray) -> np.ndarray:
    """Return the inverse of a Gram matrix with a price for every change."""
    energy = np.diagonal(gram)
    scale = np.sqrt(np.maximum(energy, SMALLEST_ENERGY * energy.mean() + TINY))
    scaled = gram / scale / scale[:, np.newaxis]
    scaled[np.diag_indices_from(scaled)] += RIDGE
    return np.asarray(np.linalg.inv(scaled) / scale / scale[:, np.newaxis])


def _places(wanted: Sequence[int], read: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(read == channel) for channel in wanted]


def write_orders(path: Path, orders: Sequence[RemovalOrder]) -> None:
    """Keep orders in a file."""
    arrays = {}
    for number, order in enumerate(orders):
        arrays[f"channels_{number}"] = np.array(order.channels, np.int64)
        arrays[f"errors_{number}"] = order.errors
    write_arrays(path, arrays, {"groups": [order.group.name for order in orders]})


def read_orders(path: Path, groups: Sequence[Group]) -> tuple[RemovalOrder, ...] | None:
    """Return what ``write_orders`` kept; None where it is missing, damaged or of other groups."""
    try:
        arrays, record = read_arrays(path)
        if record["groups"] != [group.name for group in groups]:
            return None
        orders = tuple(
            RemovalOrder(group, tuple(arrays[f"channels_{n}"].tolist()), arrays[f"errors_{n}"])
            for n, group in enumerate(groups)
        )
    except Exception:
        return None
    whole = all(
        sorted(order.channels) == sorted(order.group.channels)
        and len(order.errors) == len(order.channels)
        for order in orders
    )
    return orders if whole else None
