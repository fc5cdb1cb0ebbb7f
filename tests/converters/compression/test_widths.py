"""Widths by hand, and limits that are kept."""

import numpy as np
import pytest

from converters.compression.channel_removal import RemovalOrder
from converters.compression.flat_graph import read_flat_graph
from converters.compression.tied_channels import find_tied_channels
from converters.compression.widths import (
    CostOfWidths,
    choose_widths,
    multiply_adds,
    widths_of,
)
from converters.multiply_adds import count_multiply_adds


def planned(model, prices: dict[str, float]):
    """A network whose groups lose so much per channel, the same for each of them."""
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    orders = [
        RemovalOrder(
            group, group.channels, prices.get(group.name, 1.0) * np.arange(len(group.channels))
        )
        for group in channels.groups
        if not group.fixed
    ]
    return CostOfWidths(graph, channels, orders, multiply_adds(graph)), orders


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1,)), (4, (1, 2, 3, 4)), (12, (2, 4, 6, 8, 10, 12)), (64, tuple(range(8, 65, 8)))],
)
def test_widths_that_kernels_like(count: int, expected: tuple[int, ...]) -> None:
    assert widths_of(count) == expected


def test_an_odd_count_can_stay_as_it_is() -> None:
    assert widths_of(67)[-2:] == (64, 67)


def test_the_whole_network_costs_its_multiply_adds(network) -> None:
    costs, orders = planned(network, {})
    full = [len(order.channels) for order in orders]
    assert costs.total(full) == count_multiply_adds(network)


def test_savings_are_differences_of_totals(network) -> None:
    costs, orders = planned(network, {})
    widths = [len(order.channels) for order in orders]
    for group, width in enumerate(widths):
        narrower = [*widths[:group], width // 2, *widths[group + 1 :]]
        expected = costs.total(widths) - costs.total(narrower)
        assert costs.saved(widths, group, width // 2) == expected > 0


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_a_limit_is_kept_and_not_undercut_by_much(network, share: float) -> None:
    costs, orders = planned(network, {})
    full = costs.total([len(order.channels) for order in orders])
    found = choose_widths(costs, orders, share * full)
    narrowest = [widths_of(len(order.channels))[0] for order in orders]
    limit = max(share * full, costs.total(narrowest))
    assert 0.6 * limit < found.cost <= limit
    assert found.cost == costs.total([found.kept[order.group.name] for order in orders])
    assert len(found.removed) == sum(
        len(order.channels) - found.kept[order.group.name] for order in orders
    )


def test_what_is_worth_nothing_goes_first(make) -> None:
    costs, orders = planned(make("residual"), {"block0_2": 1e-6})
    full = costs.total([len(order.channels) for order in orders])
    found = choose_widths(costs, orders, 0.99 * full)
    assert {name for name, kept in found.kept.items() if kept < 8} == {"block0_2"}


def test_where_the_limit_cannot_be_reached_all_are_as_narrow_as_they_can_be(make) -> None:
    costs, orders = planned(make("residual"), {})
    found = choose_widths(costs, orders, 1.0)
    assert found.kept == {order.group.name: widths_of(len(order.channels))[0] for order in orders}
    assert found.cost > 1.0


def test_the_error_is_the_sum_of_the_groups(make) -> None:
    costs, orders = planned(make("plain"), {"one": 2.0})
    full = costs.total([len(order.channels) for order in orders])
    found = choose_widths(costs, orders, 0.5 * full)
    gone = {
        order.group.name: len(order.channels) - found.kept[order.group.name] for order in orders
    }
    assert found.error == pytest.approx(2 * gone["one"] + gone["two"] + gone["hidden"])
