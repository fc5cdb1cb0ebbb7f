"""Networks of less cost: the channels that are worth least go, and the others make up for them.

Nothing is trained and no labels are needed. Measured once, a network can be slimmed to any cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from converters.compression.channel_removal import RemovalOrder, removal_order
from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.layer_statistics import measure_layers
from converters.compression.refit import refit
from converters.compression.slimming import slim
from converters.compression.tied_channels import Group, TiedChannels, find_tied_channels
from converters.compression.widths import (
    Cost,
    CostOfWidths,
    Widths,
    choose_widths,
    multiply_adds,
)
from converters.errors import ModelConversionError
from converters.preprocessing import Preprocessing

Progress = Callable[[str, int, int], None]
"""Gets what is done, steps done and their number."""

PIXELS_PER_BATCH = 64 * 64 * 64
MOST_PIXELS = 8_000_000
MOST_PICTURES = 1000
"""Bounds of the pictures that are used: the refit holds what all of them give in memory."""


@dataclass(frozen=True)
class Slimming:
    """A slimmed network."""

    model: keras.Model
    widths: Widths


@dataclass(frozen=True)
class Compressible:
    """A network, and what its channels are worth."""

    graph: FlatGraph
    channels: TiedChannels
    orders: tuple[RemovalOrder, ...]
    """Of the groups that can be narrowed."""
    pictures: np.ndarray
    """float32 ``(count, height, width, 3)``, what the model expects."""

    @property
    def fixed(self) -> tuple[Group, ...]:
        """The groups that cannot be narrowed. Each says why."""
        return tuple(group for group in self.channels.groups if group.fixed)

    def widths(self, share: float, cost: Callable[[FlatGraph], Cost] = multiply_adds) -> Widths:
        """Choose the channels to keep for a share of the cost, in (0, 1).

        They cost more than ``share`` only if the groups cannot be narrowed so far.
        """
        costs = CostOfWidths(self.graph, self.channels, self.orders, cost(self.graph))
        full = costs.total([len(order.channels) for order in self.orders])
        return choose_widths(costs, self.orders, share * full)

    def slimmed(
        self,
        share: float,
        progress: Progress,
        cost: Callable[[FlatGraph], Cost] = multiply_adds,
    ) -> Slimming:
        """Slim the network to a share of its cost.

        Args:
            share: In (0, 1).
            progress: See ``Progress``.
            cost: What the calls of a network cost.

        Returns:
            The network that loses least. It costs more than ``share`` only if its groups cannot be
            narrowed so far.
        """
        widths = self.widths(share, cost)
        slimmed = slim(self.graph, self.channels, widths.removed)
        refit(slimmed, self.pictures, _batch(self.pictures), _named("fitting", progress))
        return Slimming(slimmed.model, widths)


def measure(
    model: keras.Model, preprocessing: Preprocessing, pictures: np.ndarray, progress: Progress
) -> Compressible:
    """Find out what the channels of a model are worth.

    Args:
        model: A functional or Sequential classifier of a fixed input size. It is not changed.
        preprocessing: What it expects.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map. No labels are
            needed. Of more than ``MOST_PICTURES`` or ``MOST_PIXELS`` the first are used.
        progress: See ``Progress``.

    Raises:
        ModelConversionError: The model has no channel that can be removed.
    """
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    free = [group for group in channels.groups if not group.fixed]
    if not free:
        reasons = sorted({f"{group.name}: {group.fixed}" for group in channels.groups})
        raise ModelConversionError(
            f"{model.name} has no channel that can be removed; " + "; ".join(reasons)
            if reasons
            else f"{model.name} has no convolution or dense layer that could be narrowed"
        )
    used = preprocessing.apply(
        np.asarray(pictures[: most_pictures(*pictures.shape[1:3])], np.float32)
    )
    statistics = measure_layers(graph, used, _batch(used), _named("measuring layers", progress))
    orders = []
    for done, group in enumerate(free, start=1):
        orders.append(removal_order(group, channels, statistics))
        progress("ordering channels", done, len(free))
    return Compressible(graph, channels, tuple(orders), used)


def most_pictures(height: int, width: int) -> int:
    """Return the number of pictures of this size that are used at most."""
    return max(32, min(MOST_PICTURES, MOST_PIXELS // (height * width)))


def _batch(pictures: np.ndarray) -> int:
    height, width = pictures.shape[1:3]
    return max(1, PIXELS_PER_BATCH // int(height * width))


def _named(words: str, progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress(words, done, total)
