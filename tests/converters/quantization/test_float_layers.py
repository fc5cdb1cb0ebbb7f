"""Layers that go into float with others."""

import pytest

from converters.quantization.float_layers import FloatLayers


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ((), ()),
        (("two",), ("two",)),
        # "join", "max", "pool" and the preprocessing would only round what is float around them.
        (
            ("stem", "one", "two", "last"),
            ("serving", "stem", "average", "one", "two", "join", "max", "last", "pool"),
        ),
        # The average reads an integer "stem", so "join" stays an integer too.
        (("one", "two", "last"), ("one", "two", "last", "pool")),
    ],
)
def test_layers_between_layers_in_float(networks, chosen, found) -> None:
    network = networks["branching"].network
    assert FloatLayers(network, network.head).joined(chosen) == found
