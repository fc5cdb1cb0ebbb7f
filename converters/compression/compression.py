"""Networks of less cost: the channels that are worth least go, and the others make up for them.

Nothing is trained and no labels are needed. Measured once, a network can be slimmed to any cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from converters.compression.channel_removal import (
    Curvature,
    RemovalOrder,
    read_orders,
    removal_order,
    write_orders,
)
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
from converters.learning.memory_maps import forget_pages
from converters.preprocessing import Preprocessing

Progress = Callable[[str, int, int], None]
"""Gets what is done, steps done and their number."""

MOST_VALUES = 128_000_000
"""Bound of what one layer gives for all pictures that are used: 512 MB. The refit holds what some
layers give in memory."""

MOST_PICTURES = 1000

VALUES_PER_BATCH = 4_000_000
"""Bound of what one layer gives at once; a 3x3 convolution reads nine times as much."""


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

    def within(self, limits: Sequence[tuple[Cost, float]]) -> Widths | None:
        """Choose the channels to keep so that the network holds several limits.

        Args:
            limits: At least one: what calls cost, and what the whole network may.

        Returns:
            Widths that hold all of them, those that lose least among several mixtures of the
            costs; all channels where they hold them already. None if the narrowest do not.
        """
        single = [CostOfWidths(self.graph, self.channels, self.orders, cost) for cost, _ in limits]
        found = []
        for weights in _mixtures(len(limits)):
            pairs = zip(limits, weights, strict=True)
            mixed = _mixed([(cost, limit / weight) for (cost, limit), weight in pairs])
            costs = CostOfWidths(self.graph, self.channels, self.orders, mixed)
            allowed = 1.0
            while True:
                widths = choose_widths(costs, self.orders, allowed)
                kept = [widths.kept[order.group.name] for order in self.orders]
                totals = zip(single, limits, strict=True)
                over = max(one.total(kept) / limit for one, (_, limit) in totals)
                if over <= 1:
                    found.append(widths)
                if over <= 1 or widths.cost > allowed:
                    break
                allowed = min(allowed, widths.cost) / max(over, 1.01)
        return min(found, key=lambda widths: widths.error, default=None)

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
        return self.narrowed(self.widths(share, cost), progress)

    def narrowed(self, widths: Widths, progress: Progress) -> Slimming:
        """Slim the network to widths that were chosen before, and fit what is left anew."""
        slimmed = slim(self.graph, self.channels, widths.removed)
        refit(slimmed, self.pictures, _batch(self.graph), _named("fitting", progress))
        return Slimming(slimmed.model, widths)

    def at(self, graph: FlatGraph, pictures: np.ndarray) -> Compressible:
        """Return the same network for pictures of another size.

        What its channels are worth is not measured again.

        Args:
            graph: The network at that size, with the same layers.
            pictures: float32 ``(count, height, width, 3)``, what it expects. If there are more than
                ``most_pictures``, the first are used.
        """
        used = pictures[: most_pictures(graph)]
        return replace(self, graph=graph, channels=find_tied_channels(graph), pictures=used)


def measure(
    model: keras.Model,
    preprocessing: Preprocessing,
    pictures: np.ndarray,
    progress: Progress,
    kept: Path | None = None,
) -> Compressible:
    """Find out what the channels of a model are worth.

    Args:
        model: A functional or Sequential classifier of a fixed input size. It is not changed.
        preprocessing: What it expects.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map. No labels are
            needed. If there are more than ``most_pictures``, the first are used.
        progress: See ``Progress``.
        kept: A file for what is found out, or with what was found out before. Its name has to tell
            models and pictures apart.

    Raises:
        ModelConversionError: The model is no classifier of one picture, its answers are not finite,
            or no channel can be removed; or there are no pictures.
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
    if not len(pictures):
        raise ModelConversionError("no pictures; expected some that the model may see")
    used = np.asarray(pictures[: most_pictures(graph)], np.float32)
    forget_pages(pictures)
    used = preprocessing.apply(used)
    _check_answers(graph, used[: _batch(graph)])
    orders = None if kept is None else read_orders(kept, free)
    if orders is None:
        orders = _orders(graph, channels, free, used, progress)
        if kept is not None:
            write_orders(kept, orders)
    return Compressible(graph, channels, orders, used)


def _orders(
    graph: FlatGraph,
    channels: TiedChannels,
    free: Sequence[Group],
    used: np.ndarray,
    progress: Progress,
) -> tuple[RemovalOrder, ...]:
    statistics = dict(
        measure_layers(graph, used, _batch(graph), _named("measuring layers", progress))
    )
    curvatures = {}
    while statistics:  # a Gram matrix takes as much memory as its inverse
        call, own = statistics.popitem()
        curvatures[call] = Curvature.of(own)
    orders = []
    for done, group in enumerate(free, start=1):
        orders.append(removal_order(group, channels, curvatures))
        progress("ordering channels", done, len(free))
    return tuple(orders)


def most_pictures(graph: FlatGraph) -> int:
    """Return the number of pictures that are used at most."""
    return max(1, min(MOST_PICTURES, MOST_VALUES // _largest(graph)))


def _batch(graph: FlatGraph) -> int:
    return max(1, VALUES_PER_BATCH // _largest(graph))


def _largest(graph: FlatGraph) -> int:
    """Return the number of values of the largest tensor, for one picture."""
    return max(math.prod(shape) for shape in graph.shapes.values())


def _check_answers(graph: FlatGraph, pictures: np.ndarray) -> None:
    logits = np.asarray(graph.logits(pictures))
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ModelConversionError(
            f"{graph.model.name} answers {logits.shape[1:]} values; expected one for each of at "
            "least two classes"
        )
    if not np.isfinite(logits).all():
        raise ModelConversionError(
            f"{graph.model.name} gives answers that are not finite; check its weights and the "
            "preprocessing"
        )


def _mixtures(count: int) -> tuple[tuple[float, ...], ...]:
    """Return weights of several costs: all alike, and each of them nearly alone."""
    alike = (1 / count,) * count
    if count == 1:
        return (alike,)
    rest = 0.1 / (count - 1)
    return (
        alike,
        *(tuple(0.9 if n == main else rest for n in range(count)) for main in range(count)),
    )


def _mixed(limits: Sequence[tuple[Cost, float]]) -> Cost:
    """Return the sum of costs, each as a part of its limit."""
    return lambda call, read, written: sum(
        cost(call, read, written) / limit for cost, limit in limits
    )


def _named(words: str, progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress(words, done, total)
