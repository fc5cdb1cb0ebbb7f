"""How many channels every group keeps, so that the logits lose least for a given cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from converters.compression.channel_removal import RemovalOrder
from converters.compression.flat_graph import FlatCall, FlatGraph, has_kernel, is_depthwise
from converters.compression.tied_channels import TiedChannels
from converters.multiply_adds import count_multiply_adds, kernels_of

Cost = Callable[[FlatCall, int, int], float]
"""From a call and the numbers of channels that it reads and writes to what it costs."""


def multiply_adds(graph: FlatGraph) -> Cost:
    """Return the multiply-adds of calls for one picture."""
    each = {}
    for call in graph.calls:
        positions = math.prod(graph.shapes[call.outputs[0]][:-1])
        if has_kernel(call):
            each[call] = positions * math.prod(call.layer.kernel.shape[:-2])
        elif isinstance(call.layer, keras.Model):
            each[call] = count_multiply_adds(call.layer)
        else:
            each[call] = positions * sum(math.prod(own.shape) for own in kernels_of(call.layer))

    def cost(call: FlatCall, read: int, written: int) -> float:
        if has_kernel(call):
            return float(each[call] * read * written)
        if is_depthwise(call):
            return float(each[call] * read / call.layer.kernel.shape[2])
        return float(each[call])

    return cost


def channels_of(graph: FlatGraph, call: FlatCall) -> tuple[int, int]:
    """Return how many channels a call reads and writes now."""
    read, written = (graph.shapes[tensor][-1] for tensor in (call.inputs[0], call.outputs[0]))
    return read, written


def parameters(call: FlatCall, read: int, written: int) -> float:
    """Return the values in a call's kernels at other widths. A ``Cost``."""
    if has_kernel(call):
        return float(math.prod(call.layer.kernel.shape[:-2]) * read * written)
    kernels = sum(math.prod(own.shape) for own in kernels_of(call.layer))
    return kernels * read / call.layer.kernel.shape[2] if is_depthwise(call) else float(kernels)


def widths_of(count: int) -> tuple[int, ...]:
    """Return the numbers of channels that a group of ``count`` may keep, ascending.

    Wide groups keep multiples of 32 or 16: integer kernels take as long for what lies between, and
    the answers hardly lose by it.
    """
    steps = ((256, 32), (128, 16), (64, 8), (32, 4), (9, 2))
    step = next((step for least, step in steps if count >= least), 1)
    return (*range(step, count, step), count)


@dataclass(frozen=True)
class _Counts:
    """The channels of one tensor: so many for each that a group keeps, and others."""

    of_groups: tuple[tuple[int, int], ...]
    others: int

    def at(self, widths: Sequence[int]) -> int:
        """Return how many there are."""
        return self.others + sum(each * widths[group] for group, each in self.of_groups)


class CostOfWidths:
    """The cost of a network by the widths of its groups."""

    def __init__(
        self, graph: FlatGraph, channels: TiedChannels, orders: Sequence[RemovalOrder], cost: Cost
    ) -> None:
        numbers = {
            channel: place for place, order in enumerate(orders) for channel in order.channels
        }
        full = [len(order.channels) for order in orders]
        self._cost = cost
        self._calls = [
            (
                call,
                _counts(channels.of[call.inputs[0]], numbers, full),
                _counts(channels.of[call.outputs[0]], numbers, full),
            )
            for call in graph.calls
            if cost(call, *(len(channels.of[t]) for t in (call.inputs[0], call.outputs[0])))
        ]
        touched: list[list[int]] = [[] for _ in orders]
        for place, (_, read, written) in enumerate(self._calls):
            for group in sorted({group for group, _ in (*read.of_groups, *written.of_groups)}):
                touched[group].append(place)
        self._touched = touched
        self.neighbours = [
            [other for other in range(len(orders)) if not set(own).isdisjoint(touched[other])]
            for own in touched
        ]
        """The groups whose savings depend on the width of each, itself among them."""

    def total(self, widths: Sequence[int]) -> float:
        """Return the cost of the whole network."""
        return sum(self._of(place, widths) for place in range(len(self._calls)))

    def saved(self, widths: Sequence[int], group: int, width: int) -> float:
        """Return what it saves to give one group another width."""
        changed = [*widths[:group], width, *widths[group + 1 :]]
        return sum(
            self._of(place, widths) - self._of(place, changed) for place in self._touched[group]
        )

    def _of(self, place: int, widths: Sequence[int]) -> float:
        call, read, written = self._calls[place]
        return self._cost(call, read.at(widths), written.at(widths))


def _counts(own: np.ndarray, numbers: Mapping[int, int], full: Sequence[int]) -> _Counts:
    found = Counter(numbers.get(channel, -1) for channel in own.tolist())
    others = found.pop(-1, 0)
    return _Counts(tuple((group, n // full[group]) for group, n in found.items()), others)


@dataclass(frozen=True)
class Widths:
    """Channels that every group keeps."""

    kept: Mapping[str, int]
    """By the group's name."""
    removed: tuple[int, ...]
    """Numbers of the channels that go."""
    error: float
    """Estimated squared error of the logits, per picture, before anything is fitted anew."""
    cost: float
    share: float
    """The cost as a part of that of the network before, in (0, 1]."""


def choose_widths(costs: CostOfWidths, orders: Sequence[RemovalOrder], limit: float) -> Widths:
    """Narrow the group that loses least for what it saves, again and again.

    Args:
        costs: Of the network.
        orders: Of the groups that may be narrowed.
        limit: The cost at which to stop.

    Returns:
        The widths; the narrowest that there are where even they cost more.
    """
    widths = [len(order.channels) for order in orders]
    options = [widths_of(width) for width in widths]
    total = full = costs.total(widths)
    steps: dict[int, _Step | None] = {}
    while total > limit:
        for group, order in enumerate(orders):
            if group not in steps:
                steps[group] = _cheapest(costs, order, group, widths, options[group])
        possible = [step for step in steps.values() if step is not None]
        if not possible:
            break
        best = min(possible, key=lambda step: step.price)
        width = best.width
        for wider in options[best.group]:  # no further than the limit asks for
            if best.width < wider < widths[best.group]:
                if total - costs.saved(widths, best.group, wider) > limit:
                    break
                width = wider
        total -= costs.saved(widths, best.group, width)
        widths[best.group] = width
        for group in costs.neighbours[best.group]:
            steps.pop(group, None)
    gone = [len(order.channels) - width for order, width in zip(orders, widths, strict=True)]
    return Widths(
        {order.group.name: width for order, width in zip(orders, widths, strict=True)},
        tuple(
            channel for order, n in zip(orders, gone, strict=True) for channel in order.channels[:n]
        ),
        sum(float(order.errors[n]) for order, n in zip(orders, gone, strict=True)),
        total,
        total / full,
    )


@dataclass(frozen=True)
class _Step:
    """The narrowing of one group that loses least for what it saves."""

    group: int
    width: int
    price: float


def _cheapest(
    costs: CostOfWidths,
    order: RemovalOrder,
    group: int,
    widths: Sequence[int],
    options: Sequence[int],
) -> _Step | None:
    count, now = len(order.channels), widths[group]
    steps = []
    for width in options:
        if width >= now:
            break
        saved = costs.saved(widths, group, width)
        if saved > 0:
            rise = float(order.errors[count - width] - order.errors[count - now])
            steps.append(_Step(group, width, rise / saved))
    return min(steps, key=lambda step: step.price, default=None)
